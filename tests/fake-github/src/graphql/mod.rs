//! The part of GitHub's GraphQL schema that is about pull requests.
//!
//! A query is checked against `SCHEMA` first, as GitHub does, so that a misspelt field fails even where nothing is
//! listed; `tests/conformance` holds `SCHEMA` against what GitHub publishes. The parser is async-graphql's own. Directives, backward paging and mutations but for the one
//! that opens a pull request are not here: they are refused.

mod arguments;
mod fields;
mod schema;
mod validate;

use std::collections::BTreeMap;

use async_graphql_parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql_parser::{Pos, Positioned, parse_query};
use serde_json::{Map, Value, json};

use crate::answer::{Call, Reply, RouteResponse};
use crate::auth::Caller;
use crate::deliveries::Event;
use crate::mergeability::Observation;
use crate::state::State;

pub use schema::schema;

use fields::{pull_field, timeline};
use validate::validate;

impl State {
    pub(super) fn graphql(&mut self, call: &Call) -> Reply {
        let caller = match self.caller(call)? {
            Caller::Anonymous => {
                return Err(RouteResponse::error(401, "This endpoint requires you to be authenticated."));
            }
            caller => caller,
        };
        let request = call.json()?;
        let Some(query) = request["query"].as_str() else {
            return Err(refused(vec![json!({"message": "A query attribute must be specified and must be a string."})]));
        };
        let document = parse_query(query).map_err(|error| refused(vec![json!({"message": error.to_string()})]))?;
        let operation = choose(&document, request["operationName"].as_str())?;
        let variables = variables(operation, &request["variables"])?;
        validate(&document, operation)?;
        self.graphql.queries += 1;
        let root = if operation.ty == OperationType::Mutation { Object::Mutation } else { Object::Query };
        let mut run = Run {
            state: self,
            call,
            caller,
            document: &document,
            variables,
            path: vec![],
            errors: vec![],
            timed_out: false,
            event: None,
        };
        let data = run.select(&[&operation.selection_set.node], &root);
        if run.timed_out {
            return Err(RouteResponse::new(502, "text/html", "<html><h1>502 Bad Gateway</h1></html>"));
        }
        let mut body = json!({"data": data});
        if !run.errors.is_empty() {
            body["errors"] = Value::Array(std::mem::take(&mut run.errors));
        }
        Ok(RouteResponse { event: run.event, ..RouteResponse::json(200, body) })
    }
}

fn refused(errors: Vec<Value>) -> RouteResponse {
    RouteResponse::json(200, json!({"errors": errors}))
}

fn choose<'a>(document: &'a ExecutableDocument, name: Option<&str>) -> Result<&'a OperationDefinition, RouteResponse> {
    let mut operations = document.operations.iter();
    let found = match name {
        None if operations.len() > 1 => None,
        None => operations.next(),
        Some(name) => operations.find(|(known, _)| known.is_none_or(|known| known.as_str() == name)),
    };
    let operation = found.map(|(_, operation)| &operation.node);
    let operation = operation.ok_or_else(|| refused(vec![json!({"message": "An operation name is required"})]))?;
    if operation.ty == OperationType::Subscription {
        return Err(refused(vec![json!({"message": "this fake has no subscriptions"})]));
    }
    Ok(operation)
}

fn variables(operation: &OperationDefinition, given: &Value) -> Result<Map<String, Value>, RouteResponse> {
    let mut variables = Map::new();
    for definition in &operation.variable_definitions {
        let definition = &definition.node;
        let name = definition.name.node.as_str();
        let default = || definition.default_value().cloned().and_then(|value| value.into_json().ok());
        let value = given.get(name).cloned().or_else(default);
        let Some(value) = value.filter(|value| definition.var_type.node.nullable || !value.is_null()) else {
            let kind = &definition.var_type.node;
            let message = format!("Variable ${name} of type {kind} was provided invalid value");
            return Err(refused(vec![json!({"message": message})]));
        };
        variables.insert(name.to_owned(), value);
    }
    Ok(variables)
}

#[derive(Debug, Clone)]
enum Object {
    Query,
    Mutation,
    Repository(u64),
    Pull { repository: u64, number: u64, listed: bool },
    Plain(&'static str, BTreeMap<&'static str, Thing>),
}

impl Object {
    fn kind(&self) -> &'static str {
        match self {
            Object::Query => "Query",
            Object::Mutation => "Mutation",
            Object::Repository(_) => "Repository",
            Object::Pull { .. } => "PullRequest",
            Object::Plain(kind, _) => kind,
        }
    }

    fn is(&self, condition: &str) -> bool {
        let node = matches!(self, Object::Repository(_) | Object::Pull { .. });
        let kind = self.kind();
        condition == kind
            || (condition == "Node" && node)
            || (condition == "User" && kind == "Actor")
            || (condition == "Actor" && kind == "Bot")
    }
}

#[derive(Debug, Clone)]
enum Thing {
    Leaf(Value),
    One(Object),
    Many(Vec<Thing>),
    /// Null, with a reason.
    Failed(FieldError),
}

#[derive(Debug, Clone)]
struct FieldError {
    kind: &'static str,
    message: String,
}

impl FieldError {
    fn not_found(message: String) -> FieldError {
        FieldError { kind: "NOT_FOUND", message }
    }

    fn forbidden() -> FieldError {
        FieldError { kind: "FORBIDDEN", message: "Resource not accessible by integration".to_owned() }
    }
}

struct Run<'a> {
    state: &'a mut State,
    call: &'a Call,
    caller: Caller,
    document: &'a ExecutableDocument,
    variables: Map<String, Value>,
    path: Vec<Value>,
    errors: Vec<Value>,
    timed_out: bool,
    /// What a mutation brought about.
    event: Option<Box<Event>>,
}

impl<'a> Run<'a> {
    fn select(&mut self, sets: &[&'a SelectionSet], object: &Object) -> Value {
        let mut fields: Vec<(&str, Vec<&'a Positioned<Field>>)> = Vec::new();
        for set in sets {
            self.collect(set, object, &mut fields);
        }
        let asks = |name: &str| fields.iter().any(|(_, same)| same[0].node.name.node == name);
        let seen = match object {
            Object::Pull { repository, number, listed } if asks("mergeable") || asks("mergeStateStatus") => {
                Some(self.state.observe(*repository, *number, *listed))
            }
            _ => None,
        };
        let mut answer = Map::new();
        for (key, same) in fields {
            self.path.push(json!(key));
            let value = self.field(&same, object, seen.as_ref());
            self.path.pop();
            answer.insert(key.to_owned(), value);
        }
        Value::Object(answer)
    }

    fn collect(&self, set: &'a SelectionSet, object: &Object, fields: &mut Vec<(&'a str, Vec<&'a Positioned<Field>>)>) {
        for item in &set.items {
            match &item.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.as_str();
                    match fields.iter_mut().find(|(known, _)| *known == key) {
                        Some((_, same)) => same.push(field),
                        None => fields.push((key, vec![field])),
                    }
                }
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map(|on| on.node.on.node.as_str());
                    if on.is_none_or(|on| object.is(on)) {
                        self.collect(&fragment.node.selection_set.node, object, fields);
                    }
                }
                Selection::FragmentSpread(spread) => {
                    let fragment = &self.document.fragments[spread.node.fragment_name.node.as_str()];
                    if object.is(fragment.node.type_condition.node.on.node.as_str()) {
                        self.collect(&fragment.node.selection_set.node, object, fields);
                    }
                }
            }
        }
    }

    fn field(&mut self, same: &[&'a Positioned<Field>], object: &Object, seen: Option<&Observation>) -> Value {
        let field = same[0];
        let name = field.node.name.node.as_str();
        if name == "__typename" {
            return json!(if object.kind() == "Actor" { "User" } else { object.kind() });
        }
        let arguments = self.arguments(&field.node);
        let sets: Vec<&'a SelectionSet> = same.iter().map(|field| &field.node.selection_set.node).collect();
        match self.resolve(object, name, &arguments, seen) {
            Ok(thing) => self.complete(thing, &sets),
            Err(failure) => {
                self.fail(field.pos, failure);
                Value::Null
            }
        }
    }

    fn fail(&mut self, pos: Pos, failure: FieldError) {
        self.errors.push(json!({
            "type": failure.kind,
            "path": self.path,
            "locations": [{"line": pos.line, "column": pos.column}],
            "message": failure.message,
        }));
    }

    fn arguments(&self, field: &Field) -> Map<String, Value> {
        let variable = |name: &str| self.variables.get(name).cloned().unwrap_or(Value::Null);
        let arguments = field.arguments.iter().map(|(name, argument)| {
            let filled = argument.node.clone().into_const_with(|name| serde_json::from_value(variable(&name)));
            let value = filled.and_then(|value| value.into_json()).unwrap_or(Value::Null);
            (name.node.to_string(), value)
        });
        arguments.collect()
    }

    fn complete(&mut self, thing: Thing, sets: &[&'a SelectionSet]) -> Value {
        match thing {
            Thing::Leaf(value) => value,
            Thing::One(object) => self.select(sets, &object),
            Thing::Failed(failure) => {
                self.fail(Pos::default(), failure);
                Value::Null
            }
            Thing::Many(things) => {
                let mut values = Vec::with_capacity(things.len());
                for (at, thing) in things.into_iter().enumerate() {
                    self.path.push(json!(at));
                    values.push(self.complete(thing, sets));
                    self.path.pop();
                }
                Value::Array(values)
            }
        }
    }

    fn resolve(
        &mut self,
        object: &Object,
        field: &str,
        arguments: &Map<String, Value>,
        seen: Option<&Observation>,
    ) -> Result<Thing, FieldError> {
        match object {
            Object::Query => self.query_field(field, arguments),
            Object::Mutation => self.create_pull_request(arguments),
            Object::Repository(id) => self.repository_field(*id, field, arguments),
            Object::Pull { repository, number, .. } => {
                let pull = &self.state.pulls[&(*repository, *number)];
                match (field, self.state.barred(*repository, Some(*number))) {
                    ("headRepository", Some(message)) => Err(FieldError { kind: "FORBIDDEN", message }),
                    ("timelineItems", _) => Ok(timeline(pull, arguments)),
                    _ => Ok(pull_field(self.state, pull, field, seen)),
                }
            }
            Object::Plain(_, fields) => Ok(fields.get(field).cloned().unwrap_or(Thing::Leaf(Value::Null))),
        }
    }
}
