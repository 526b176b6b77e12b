//! The part of GitHub's GraphQL schema that is about pull requests.
//!
//! A query is checked against `SCHEMA` first, as GitHub does, so that a misspelt field fails even where nothing is
//! listed; `tests/conformance` holds `SCHEMA` against what GitHub publishes. The parser is async-graphql's own. Directives, backward paging and mutations but for the one
//! that opens a pull request are not here: they are refused.

use std::collections::{BTreeMap, BTreeSet};

use async_graphql_parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql_parser::{Pos, Positioned, parse_query};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::answer::{Call, Reply, RouteResponse};
use super::auth::Caller;
use super::deliveries::Event;
use super::faults::LargePage;
use super::mergeability::{Observation, Pull, PullState, TimelineEvent, pull_node};
use super::repositories::repository_node;
use super::shapes::time;
use super::state::{NodeRef, State};

type FieldRow = (&'static str, &'static str, &'static [&'static str]);

const NONE: &[&str] = &[];
const NO_FIELDS: &[FieldRow] = &[];

/// Type, then its fields as name, type and arguments; `!` marks a required argument.
const SCHEMA: &[(&str, &[FieldRow])] = &[
    (
        "Query",
        &[
            ("repository", "Repository", &["owner!", "name!", "followRenames"]),
            ("node", "Node", &["id!"]),
            ("nodes", "Node", &["ids!"]),
            ("rateLimit", "RateLimit", NONE),
        ],
    ),
    ("Mutation", &[("createPullRequest", "CreatePullRequestPayload", &["input!"])]),
    ("CreatePullRequestPayload", &[("pullRequest", "PullRequest", NONE)]),
    ("Node", &[("id", "ID", NONE)]),
    (
        "Repository",
        &[
            ("id", "ID", NONE),
            ("databaseId", "Int", NONE),
            ("name", "String", NONE),
            ("nameWithOwner", "String", NONE),
            ("isPrivate", "Boolean", NONE),
            ("isFork", "Boolean", NONE),
            ("url", "URI", NONE),
            ("owner", "Actor", NONE),
            ("pullRequest", "PullRequest", &["number!"]),
            ("pullRequests", "PullRequestConnection", LIST_ARGUMENTS),
            ("ref", "Ref", &["qualifiedName!"]),
            // What `gh` asks of a repository before it opens a pull request.
            ("defaultBranchRef", "Ref", NONE),
            ("description", "String", NONE),
            ("hasIssuesEnabled", "Boolean", NONE),
            ("hasWikiEnabled", "Boolean", NONE),
            ("mergeCommitAllowed", "Boolean", NONE),
            ("rebaseMergeAllowed", "Boolean", NONE),
            ("squashMergeAllowed", "Boolean", NONE),
            ("viewerPermission", "RepositoryPermission", NONE),
            ("parent", "Repository", NONE),
        ],
    ),
    ("Ref", &[("name", "String", NONE), ("target", "Commit", NONE)]),
    (
        "PullRequestConnection",
        &[
            ("nodes", "PullRequest", NONE),
            ("edges", "PullRequestEdge", NONE),
            ("pageInfo", "PageInfo", NONE),
            ("totalCount", "Int", NONE),
        ],
    ),
    ("PullRequestEdge", &[("cursor", "String", NONE), ("node", "PullRequest", NONE)]),
    (
        "PageInfo",
        &[
            ("hasNextPage", "Boolean", NONE),
            ("endCursor", "String", NONE),
            ("hasPreviousPage", "Boolean", NONE),
            ("startCursor", "String", NONE),
        ],
    ),
    (
        "PullRequest",
        &[
            ("id", "ID", NONE),
            ("databaseId", "Int", NONE),
            ("fullDatabaseId", "BigInt", NONE),
            ("number", "Int", NONE),
            ("title", "String", NONE),
            ("url", "URI", NONE),
            ("state", "PullRequestState", NONE),
            ("isDraft", "Boolean", NONE),
            ("closed", "Boolean", NONE),
            ("merged", "Boolean", NONE),
            ("mergeable", "MergeableState", NONE),
            ("mergeStateStatus", "MergeStateStatus", NONE),
            ("mergeCommit", "Commit", NONE),
            ("headRefOid", "GitObjectID", NONE),
            ("headRefName", "String", NONE),
            ("baseRefOid", "GitObjectID", NONE),
            ("baseRefName", "String", NONE),
            ("updatedAt", "DateTime", NONE),
            ("createdAt", "DateTime", NONE),
            ("closedAt", "DateTime", NONE),
            ("mergedAt", "DateTime", NONE),
            ("author", "Actor", NONE),
            ("isCrossRepository", "Boolean", NONE),
            ("headRepository", "Repository", NONE),
            ("headRepositoryOwner", "RepositoryOwner", NONE),
            ("baseRepository", "Repository", NONE),
            ("repository", "Repository", NONE),
            ("timelineItems", "PullRequestTimelineItemsConnection", &["first", "last", "itemTypes"]),
        ],
    ),
    ("PullRequestTimelineItemsConnection", &[("nodes", "PullRequestTimelineItems", NONE), ("totalCount", "Int", NONE)]),
    // A union: its members' fields are reached through fragments alone.
    ("PullRequestTimelineItems", NO_FIELDS),
    (
        "RenamedTitleEvent",
        &[("createdAt", "DateTime", NONE), ("previousTitle", "String", NONE), ("currentTitle", "String", NONE)],
    ),
    ("MergedEvent", &[("createdAt", "DateTime", NONE)]),
    ("Actor", &[("login", "String", NONE), ("url", "URI", NONE), ("avatarUrl", "URI", NONE)]),
    ("RepositoryOwner", &[("id", "ID", NONE), ("login", "String", NONE)]),
    ("User", &[("id", "ID", NONE), ("login", "String", NONE), ("name", "String", NONE), ("url", "URI", NONE)]),
    ("Commit", &[("oid", "GitObjectID", NONE)]),
    (
        "RateLimit",
        &[
            ("cost", "Int", NONE),
            ("limit", "Int", NONE),
            ("remaining", "Int", NONE),
            ("used", "Int", NONE),
            ("nodeCount", "Int", NONE),
            ("resetAt", "DateTime", NONE),
        ],
    ),
];

const LIST_ARGUMENTS: &[&str] = &["first", "after", "states", "baseRefName", "headRefName", "orderBy"];

fn fields_of(kind: &str) -> Option<&'static [FieldRow]> {
    SCHEMA.iter().find(|(name, _)| *name == kind).map(|(_, fields)| *fields)
}

/// What of GitHub's schema is known here, as type → field → `type` and `arguments`, to be held against what GitHub publishes.
pub fn schema() -> Value {
    let field =
        |(name, returns, arguments): &FieldRow| ((*name).to_owned(), json!({"type": returns, "arguments": arguments}));
    let kind =
        |(name, fields): &(&str, &[FieldRow])| ((*name).to_owned(), Value::Object(fields.iter().map(field).collect()));
    Value::Object(SCHEMA.iter().map(kind).collect())
}

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

struct Check<'a> {
    document: &'a ExecutableDocument,
    declared: BTreeSet<&'a str>,
    used: BTreeSet<String>,
    open_fragments: Vec<&'a str>,
    errors: Vec<Value>,
}

fn validate(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<(), RouteResponse> {
    let declared = operation.variable_definitions.iter().map(|definition| definition.node.name.node.as_str()).collect();
    let mut check = Check { document, declared, used: BTreeSet::new(), open_fragments: vec![], errors: vec![] };
    let root = if operation.ty == OperationType::Mutation { "Mutation" } else { "Query" };
    check.selection(&operation.selection_set.node, root);
    let unused: Vec<&str> = check.declared.iter().copied().filter(|name| !check.used.contains(*name)).collect();
    for name in unused {
        check.errors.push(json!({"message": format!("Variable ${name} is declared by the query but not used")}));
    }
    if check.errors.is_empty() { Ok(()) } else { Err(refused(check.errors)) }
}

impl<'a> Check<'a> {
    fn selection(&mut self, set: &'a SelectionSet, kind: &'a str) {
        for item in &set.items {
            if let Some(directive) = item.node.directives().first() {
                self.fail(directive.pos, "this fake knows no directives".to_owned(), json!({}));
            }
            match &item.node {
                Selection::Field(field) => self.field(field, kind),
                Selection::InlineFragment(fragment) => {
                    let on = fragment.node.type_condition.as_ref().map_or(kind, |on| on.node.on.node.as_str());
                    self.fragment(&fragment.node.selection_set.node, on, fragment.pos);
                }
                Selection::FragmentSpread(spread) => self.spread(spread.node.fragment_name.node.as_str(), spread.pos),
            }
        }
    }

    fn spread(&mut self, name: &'a str, pos: Pos) {
        let document = self.document;
        match document.fragments.get(name) {
            _ if self.open_fragments.contains(&name) => {
                self.fail(pos, format!("Fragment {name} contains an infinite loop"), json!({}));
            }
            None => self.fail(pos, format!("Fragment {name} was used, but not defined"), json!({})),
            Some(fragment) => {
                self.open_fragments.push(name);
                let on = fragment.node.type_condition.node.on.node.as_str();
                self.fragment(&fragment.node.selection_set.node, on, pos);
                self.open_fragments.pop();
            }
        }
    }

    fn fragment(&mut self, set: &'a SelectionSet, on: &'a str, pos: Pos) {
        let on = if matches!(on, "Bot" | "Organization") { "Actor" } else { on };
        if fields_of(on).is_some() {
            self.selection(set, on);
        } else {
            self.fail(pos, format!("No such type {on}, so it can't be a fragment condition"), json!({}));
        }
    }

    fn field(&mut self, field: &'a Positioned<Field>, kind: &'a str) {
        let name = field.node.name.node.as_str();
        if name == "__typename" {
            return;
        }
        let Some((_, returns, arguments)) = fields_of(kind).and_then(|fields| fields.iter().find(|row| row.0 == name))
        else {
            let more = json!({"code": "undefinedField", "typeName": kind, "fieldName": name});
            return self.fail(field.pos, format!("Field '{name}' doesn't exist on type '{kind}'"), more);
        };
        self.arguments(field, arguments);
        let chosen = &field.node.selection_set.node;
        match (fields_of(returns), chosen.items.is_empty()) {
            (Some(_), true) => {
                let text = format!(
                    "Field must have selections (field '{name}' returns {returns} but has no selections. Did you mean '{name} {{ ... }}'?)"
                );
                self.fail(field.pos, text, json!({}));
            }
            (None, false) => {
                let text = format!(
                    "Selections can't be made on scalars (field '{name}' returns {returns} but has selections)"
                );
                self.fail(field.pos, text, json!({}));
            }
            (Some(_), false) => self.selection(chosen, returns),
            (None, true) => {}
        }
    }

    fn arguments(&mut self, field: &'a Positioned<Field>, known: &[&str]) {
        let name = field.node.name.node.as_str();
        for (argument, value) in &field.node.arguments {
            let argument_name = argument.node.as_str();
            if !known.iter().any(|known| known.trim_end_matches('!') == argument_name) {
                let more = json!({"code": "argumentNotAccepted", "name": name, "argumentName": argument_name});
                self.fail(argument.pos, format!("Field '{name}' doesn't accept argument '{argument_name}'"), more);
            }
            let mut asked = Vec::new();
            // Nothing is looked up yet: every variable stands for null.
            let _ = value.node.clone().into_const_with(|variable| {
                asked.push(variable.to_string());
                serde_json::from_value::<_>(Value::Null)
            });
            for variable in asked {
                if !self.declared.contains(variable.as_str()) {
                    let text = format!("Variable ${variable} is used by the query but not declared");
                    self.fail(value.pos, text, json!({"code": "variableNotDefined"}));
                }
                self.used.insert(variable);
            }
        }
        let given = |wanted: &str| field.node.get_argument(wanted).is_some();
        let missing: Vec<&str> =
            known.iter().filter_map(|known| known.strip_suffix('!')).filter(|wanted| !given(wanted)).collect();
        if !missing.is_empty() {
            let text = format!("Field '{name}' is missing required arguments: {}", missing.join(", "));
            self.fail(field.pos, text, json!({"code": "missingRequiredArguments"}));
        }
    }

    fn fail(&mut self, pos: Pos, message: String, extensions: Value) {
        let locations = json!([{"line": pos.line, "column": pos.column}]);
        self.errors.push(json!({"message": message, "locations": locations, "extensions": extensions}));
    }
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

    /// As the REST route does it: the same rules, and the same delivery.
    fn create_pull_request(&mut self, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let input = arguments.get("input").cloned().unwrap_or_default();
        let node = input["repositoryId"].as_str().unwrap_or_default();
        let unknown = || FieldError::not_found(format!("Could not resolve to a node with the global id of '{node}'."));
        let Some(NodeRef::Repository(repository)) = self.state.nodes.get(node).copied() else {
            return Err(unknown());
        };
        let name = self.state.repositories[&repository].full_name.clone();
        let asked = json!({"title": input["title"], "body": input["body"], "draft": input["draft"],
            "head": input["headRefName"], "base": input["baseRefName"]});
        let Call { method, path, query, headers, base, .. } = self.call;
        let (method, path, query) = (method.clone(), path.clone(), query.clone());
        let call =
            Call { method, path, query, headers: headers.clone(), body: asked.to_string().into(), base: base.clone() };
        let refused = |answer: RouteResponse| {
            let said: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            FieldError { kind: "UNPROCESSABLE", message: said["message"].as_str().unwrap_or_default().to_owned() }
        };
        let opened = self.state.post_pull(&call, &name).map_err(refused)?;
        let pull: Value = serde_json::from_slice(&opened.body).unwrap_or_default();
        self.event = opened.event;
        let pull = Object::Pull { repository, number: pull["number"].as_u64().unwrap_or_default(), listed: true };
        Ok(Thing::One(Object::Plain("CreatePullRequestPayload", [("pullRequest", Thing::One(pull))].into())))
    }

    fn query_field(&mut self, field: &str, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        match field {
            "repository" => {
                let name = format!("{}/{}", text("owner"), text("name"));
                let unknown =
                    || FieldError::not_found(format!("Could not resolve to a Repository with the name '{name}'."));
                let former = self.state.repositories.formerly(&name);
                let id = self.state.named(&name).or(former).ok_or_else(unknown)?;
                let readable = self.state.require_repository(&self.caller, id, "metadata");
                readable.map_err(|answer| if answer.status == 404 { unknown() } else { FieldError::forbidden() })?;
                match self.state.barred(id, None) {
                    Some(message) => Err(FieldError { kind: "FORBIDDEN", message }),
                    None => Ok(Thing::One(Object::Repository(id))),
                }
            }
            "node" => self.node(&text("id")),
            "nodes" => {
                let ids = arguments.get("ids").and_then(Value::as_array).cloned().unwrap_or_default();
                let mut found = Vec::new();
                for (at, id) in ids.iter().enumerate() {
                    self.path.push(json!(at));
                    let node = self.node(id.as_str().unwrap_or_default()).unwrap_or_else(|failure| {
                        self.fail(Pos::default(), failure);
                        Thing::Leaf(Value::Null)
                    });
                    self.path.pop();
                    found.push(node);
                }
                Ok(Thing::Many(found))
            }
            _ => Ok(self.rate_limit()),
        }
    }

    fn node(&self, id: &str) -> Result<Thing, FieldError> {
        let unknown = || FieldError::not_found(format!("Could not resolve to a node with the global id of '{id}'"));
        let node = *self.state.nodes.get(id).ok_or_else(unknown)?;
        let (repository, permission, object) = match node {
            NodeRef::Repository(id) => (id, "metadata", Object::Repository(id)),
            NodeRef::Pull(repository, number) => {
                (repository, "pull_requests", Object::Pull { repository, number, listed: false })
            }
        };
        if !self.state.repositories.contains_key(&repository) {
            return Err(unknown());
        }
        let readable = self.state.require_repository(&self.caller, repository, permission);
        readable.map_err(|answer| if answer.status == 404 { unknown() } else { FieldError::forbidden() })?;
        Ok(Thing::One(object))
    }

    fn rate_limit(&self) -> Thing {
        let used = self.state.graphql.queries;
        let reset = self.state.now() + SignedDuration::from_mins(60);
        plain(
            "RateLimit",
            [
                ("cost", json!(1)),
                ("limit", json!(5_000)),
                ("remaining", json!(5_000_usize.saturating_sub(used))),
                ("used", json!(used)),
                ("nodeCount", json!(self.state.graphql.nodes)),
                ("resetAt", json!(reset.to_string())),
            ],
        )
    }

    fn repository_field(&mut self, id: u64, field: &str, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let repository = &self.state.repositories[&id];
        let leaf = match field {
            "id" => json!(repository_node(id)),
            "databaseId" => json!(id),
            "name" => json!(repository.short_name()),
            "nameWithOwner" => json!(repository.full_name),
            "isPrivate" => json!(repository.private),
            "isFork" => json!(repository.fork),
            "url" => json!(format!("https://github.com/{}", repository.full_name)),
            "owner" => return Ok(actor(self.state, repository.owner())),
            "description" | "parent" => Value::Null,
            "hasIssuesEnabled" | "hasWikiEnabled" | "mergeCommitAllowed" | "rebaseMergeAllowed"
            | "squashMergeAllowed" => json!(true),
            "viewerPermission" => json!("WRITE"),
            "defaultBranchRef" => return Ok(plain("Ref", [("name", json!("main"))])),
            "ref" => {
                self.state.require_repository(&self.caller, id, "contents").map_err(|_| FieldError::forbidden())?;
                let name = arguments.get("qualifiedName").and_then(Value::as_str).unwrap_or_default();
                let name = name.strip_prefix("refs/heads/").unwrap_or_default().to_owned();
                if let Some(message) = self.state.faults.barred_branch(&repository.full_name, &name) {
                    return Err(Failure { kind: "FORBIDDEN", message });
                }
                let tip = repository.branches.get(&name).map(|branch| branch.tip.clone());
                let Some(tip) = tip else { return Ok(Thing::Leaf(Value::Null)) };
                let target = plain("Commit", [("oid", json!(tip))]);
                let fields = [("name", Thing::Leaf(json!(name))), ("target", target)];
                return Ok(Thing::One(Object::Plain("Ref", fields.into())));
            }
            "pullRequest" => {
                self.may_read_pulls(id)?;
                let number = arguments.get("number").and_then(Value::as_u64).unwrap_or(0);
                let message = format!("Could not resolve to a PullRequest with the number of {number}.");
                let pull = self.state.pulls.get(&(id, number)).ok_or_else(|| FieldError::not_found(message))?;
                return Ok(Thing::One(Object::Pull { repository: id, number: pull.number, listed: false }));
            }
            _ => {
                self.may_read_pulls(id)?;
                return self.list(id, arguments);
            }
        };
        Ok(Thing::Leaf(leaf))
    }

    fn may_read_pulls(&self, id: u64) -> Result<(), FieldError> {
        self.state.require_repository(&self.caller, id, "pull_requests").map_err(|_| FieldError::forbidden())
    }

    fn list(&mut self, id: u64, arguments: &Map<String, Value>) -> Result<Thing, FieldError> {
        let first = page_size(arguments.get("first").and_then(Value::as_u64))?;
        let states = states(arguments.get("states"))?;
        let order = Order::of(arguments.get("orderBy").unwrap_or(&Value::Null))?;
        let is =
            |name: &str, value: &str| arguments.get(name).and_then(Value::as_str).is_none_or(|wanted| wanted == value);
        let wanted = |pull: &&Pull| {
            !pull.hidden_in_lists
                && (states.is_empty() || states.contains(&pull.state))
                && is("baseRefName", &pull.base)
                && is("headRefName", &pull.head_branch)
        };
        let mut keys: Vec<(i64, u64)> = self.state.pulls_of(id).filter(wanted).map(|pull| order.key(pull)).collect();
        keys.sort_unstable();
        if order.descending {
            keys.reverse();
        }
        let total = keys.len();
        let after = arguments.get("after").and_then(Value::as_str).map(cursor_key).transpose()?;
        if let Some(after) = after {
            keys.retain(|key| if order.descending { *key < after } else { *key > after });
        }
        let more = keys.len() > first;
        keys.truncate(first);
        self.state.graphql.nodes += keys.len();
        let too_large = self.state.faults.largest_page.filter(|(largest, _)| first > *largest);
        self.timed_out |= matches!(too_large, Some((_, LargePage::BadGateway)));
        let shown = too_large.map_or(usize::MAX, |(largest, _)| largest);
        let object = |at: usize, number: u64| {
            let message = "Resource limits for this query exceeded.".to_owned();
            match at < shown {
                true => Thing::One(Object::Pull { repository: id, number, listed: true }),
                false => Thing::Failed(FieldError { kind: "RESOURCE_LIMITS_EXCEEDED", message }),
            }
        };
        let edge = |(at, key): (usize, &(i64, u64))| {
            let fields = [("cursor", Thing::Leaf(json!(cursor(*key)))), ("node", object(at, key.1))];
            Thing::One(Object::Plain("PullRequestEdge", fields.into()))
        };
        let page = [
            ("hasNextPage", json!(more)),
            ("endCursor", json!(keys.last().map(|key| cursor(*key)))),
            ("hasPreviousPage", json!(after.is_some())),
            ("startCursor", json!(keys.first().map(|key| cursor(*key)))),
        ];
        let fields = [
            ("nodes", Thing::Many(keys.iter().enumerate().map(|(at, key)| object(at, key.1)).collect())),
            ("edges", Thing::Many(keys.iter().enumerate().map(edge).collect())),
            ("pageInfo", plain("PageInfo", page)),
            ("totalCount", Thing::Leaf(json!(total))),
        ];
        Ok(Thing::One(Object::Plain("PullRequestConnection", fields.into())))
    }
}

fn page_size(first: Option<u64>) -> Result<usize, FieldError> {
    let message = match first {
        Some(count @ 1..=100) => return Ok(count as usize),
        Some(count) if count > 100 => {
            let text = format!(
                "Requesting {count} records on the `pullRequests` connection exceeds the `first` limit of 100 records."
            );
            return Err(FieldError { kind: "EXCESSIVE_PAGINATION", message: text });
        }
        _ => "You must provide a `first` or `last` value to properly paginate the `pullRequests` connection.",
    };
    Err(FieldError { kind: "MISSING_PAGINATION_BOUNDARIES", message: message.to_owned() })
}

fn states(argument: Option<&Value>) -> Result<Vec<PullState>, FieldError> {
    let list = match argument {
        None | Some(Value::Null) => vec![],
        Some(Value::Array(items)) => items.clone(),
        Some(one) => vec![one.clone()],
    };
    let state = |value: Value| match value.as_str() {
        Some("OPEN") => Ok(PullState::Open),
        Some("CLOSED") => Ok(PullState::Closed),
        Some("MERGED") => Ok(PullState::Merged),
        _ => Err(invalid("states", &value)),
    };
    list.into_iter().map(state).collect()
}

fn invalid(argument: &str, value: &Value) -> FieldError {
    let message = format!("Argument '{argument}' on Field 'pullRequests' has an invalid value ({value}).");
    FieldError { kind: "argumentLiteralsIncompatible", message }
}

struct Order {
    by_update: bool,
    descending: bool,
}

impl Order {
    fn of(argument: &Value) -> Result<Order, FieldError> {
        if argument.is_null() {
            return Ok(Order { by_update: false, descending: false });
        }
        let by_update = match argument["field"].as_str() {
            Some("UPDATED_AT") => true,
            Some("CREATED_AT") => false,
            _ => return Err(invalid("orderBy", argument)),
        };
        match argument["direction"].as_str() {
            Some("DESC") => Ok(Order { by_update, descending: true }),
            Some("ASC") => Ok(Order { by_update, descending: false }),
            _ => Err(invalid("orderBy", argument)),
        }
    }

    fn key(&self, pull: &Pull) -> (i64, u64) {
        let time = if self.by_update { pull.updated_at } else { pull.created_at };
        (time.as_second(), pull.number)
    }
}

/// A cursor names a place in the order, not an offset: what moved meanwhile is seen again or not, as at GitHub.
fn cursor(key: (i64, u64)) -> String {
    STANDARD.encode(format!("cursor:v2:{}:{}", key.0, key.1))
}

fn cursor_key(cursor: &str) -> Result<(i64, u64), FieldError> {
    let decoded = STANDARD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let key = decoded
        .as_deref()
        .and_then(|text| text.strip_prefix("cursor:v2:")?.split_once(':'))
        .and_then(|(time, number)| Some((time.parse().ok()?, number.parse().ok()?)));
    let message = format!("`{cursor}` does not appear to be a valid cursor.");
    key.ok_or(FieldError { kind: "INVALID_CURSOR_ARGUMENTS", message })
}

fn plain<const N: usize>(kind: &'static str, leaves: [(&'static str, Value); N]) -> Thing {
    Thing::One(Object::Plain(kind, leaves.map(|(name, value)| (name, Thing::Leaf(value))).into()))
}

/// The last entries of the types asked for.
fn timeline(pull: &Pull, arguments: &Map<String, Value>) -> Thing {
    let types = arguments.get("itemTypes").and_then(Value::as_array);
    let wanted = |kind: &str| types.is_none_or(|types| types.iter().any(|wanted| wanted == kind));
    let events = pull.timeline.iter().filter_map(|event| match event {
        TimelineEvent::Renamed { at, from, to } => wanted("RENAMED_TITLE_EVENT").then(|| {
            let fields =
                [("createdAt", json!(at.to_string())), ("previousTitle", json!(from)), ("currentTitle", json!(to))];
            plain("RenamedTitleEvent", fields)
        }),
        TimelineEvent::Merged { at } => {
            wanted("MERGED_EVENT").then(|| plain("MergedEvent", [("createdAt", json!(at.to_string()))]))
        }
    });
    let mut events: Vec<_> = events.collect();
    let last = arguments.get("last").and_then(Value::as_u64).map_or(events.len(), |last| last as usize);
    events.drain(..events.len().saturating_sub(last));
    let fields = [("totalCount", Thing::Leaf(json!(events.len()))), ("nodes", Thing::Many(events))];
    Thing::One(Object::Plain("PullRequestTimelineItemsConnection", fields.into()))
}

fn actor(state: &State, login: &str) -> Thing {
    let account = state.account_json(login);
    let (url, avatar) = (account["html_url"].clone(), account["avatar_url"].clone());
    // The REST API writes `[bot]` behind the login of one, GraphQL does not.
    let (kind, login) = login.strip_suffix("[bot]").map_or(("Actor", login), |login| ("Bot", login));
    plain(kind, [("login", json!(login)), ("url", url), ("avatarUrl", avatar)])
}

fn pull_field(state: &State, pull: &Pull, field: &str, seen: Option<&Observation>) -> Thing {
    let repository = &state.repositories[&pull.repository];
    let merged = pull.state == PullState::Merged;
    let leaf = match field {
        "id" => json!(pull_node(pull.id)),
        "databaseId" => json!(pull.id),
        "fullDatabaseId" => json!(pull.id.to_string()),
        "number" => json!(pull.number),
        "title" => json!(pull.title),
        "url" => json!(format!("https://github.com/{}/pull/{}", repository.full_name, pull.number)),
        "state" => json!(match pull.state {
            PullState::Open => "OPEN",
            PullState::Closed => "CLOSED",
            PullState::Merged => "MERGED",
        }),
        "isDraft" => json!(pull.draft),
        "closed" => json!(pull.state != PullState::Open),
        "merged" => json!(merged),
        "mergeable" => json!(match seen.and_then(|seen| seen.mergeable) {
            Some(true) => "MERGEABLE",
            Some(false) => "CONFLICTING",
            None => "UNKNOWN",
        }),
        "mergeStateStatus" => json!(seen.map_or("UNKNOWN".to_owned(), |seen| seen.state.to_uppercase())),
        "mergeCommit" => match &pull.merge_commit {
            Some(sha) => return plain("Commit", [("oid", json!(sha))]),
            None => Value::Null,
        },
        "headRefOid" => json!(seen.map_or(&pull.head, |seen| &seen.head)),
        "headRefName" => json!(pull.head_branch),
        "baseRefOid" => json!(pull.base_sha),
        "baseRefName" => json!(pull.base),
        "updatedAt" => json!(pull.updated_at.to_string()),
        "createdAt" => json!(pull.created_at.to_string()),
        "closedAt" => time(pull.closed_at),
        "mergedAt" => time(pull.closed_at.filter(|_| merged)),
        "author" => return actor(state, &pull.author),
        "isCrossRepository" => json!(pull.head_repository != Some(pull.repository)),
        "headRepositoryOwner" => {
            let login = &pull.head_owner;
            return plain(
                "User",
                [("id", json!(format!("U_{login}"))), ("login", json!(login)), ("name", json!(login))],
            );
        }
        "headRepository" => match pull.head_repository {
            Some(id) => return Thing::One(Object::Repository(id)),
            None => Value::Null,
        },
        _ => return Thing::One(Object::Repository(pull.repository)),
    };
    Thing::Leaf(leaf)
}
