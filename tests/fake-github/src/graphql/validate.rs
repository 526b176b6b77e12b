//! Checks a query against the schema before anything is read.

use std::collections::BTreeSet;

use async_graphql_parser::types::{
    ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet,
};
use async_graphql_parser::{Pos, Positioned};
use serde_json::{Value, json};

use super::refused;
use super::schema::fields_of;
use crate::answer::RouteResponse;

struct Check<'a> {
    document: &'a ExecutableDocument,
    declared: BTreeSet<&'a str>,
    used: BTreeSet<String>,
    open_fragments: Vec<&'a str>,
    errors: Vec<Value>,
}

pub(super) fn validate(document: &ExecutableDocument, operation: &OperationDefinition) -> Result<(), RouteResponse> {
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
