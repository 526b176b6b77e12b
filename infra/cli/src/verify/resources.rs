//! The stack in AWS: its state, its functions and its tables.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{KeySchemaElement, TableStatus};
use aws_sdk_lambda::types::{LastUpdateStatus, State};
use domain::policy::Policy;

use super::report::Failed;
use crate::aws::Call;
use crate::stack::{Stack, after};

pub(super) const DEPLOY: &str = "deploy the stack again with `make deploy`";

/// Whether CloudFormation is done with it.
pub(super) fn state(stack: &Stack) -> Result<String, Failed> {
    let Stack { name, status, session, .. } = stack;
    let seen = format!("{name} in {} is in {status}", session.region);
    match status.as_str() {
        "CREATE_COMPLETE" | "UPDATE_COMPLETE" | "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS" | "IMPORT_COMPLETE" => Ok(seen),
        _ => Err(Failed::new(seen, after(status, name))),
    }
}

pub(super) async fn webhook_function(stack: &Stack) -> Result<String, Failed> {
    let variables = [
        ("TASKS_TABLE", &stack.tasks_table),
        ("PULL_REQUESTS_TABLE", &stack.pull_requests_table),
        ("WEBHOOK_SECRET_ID", &stack.webhook_secret),
    ];
    function(stack, &stack.webhook_function, &variables).await
}

pub(super) async fn reconcile_function(stack: &Stack) -> Result<String, Failed> {
    let tokens = stack.tokens_of_reconcile();
    let variables = [
        ("TASKS_TABLE", &stack.tasks_table),
        ("PULL_REQUESTS_TABLE", &stack.pull_requests_table),
        ("TOKEN_FUNCTION", &tokens),
    ];
    function(stack, &stack.reconcile_function, &variables).await
}

pub(super) async fn token_function(stack: &Stack) -> Result<String, Failed> {
    let variables = [("APP_SECRET_ID", &stack.app_secret), ("TOKENS_TABLE", &stack.tokens_table)];
    let seen = function(stack, &stack.token_function, &variables).await?;
    match stack.token_policy.as_deref().map(Policy::parse) {
        Some(Err(reason)) => Err(Failed::new(
            format!("TokenPolicy is not understood: {reason}"),
            "correct it and deploy with it as the parameter TokenPolicy: until then nobody gets a token",
        )),
        Some(Ok(policy)) if policy.is_old() => Ok(format!(
            "{seen}; its TokenPolicy knows no profiles and bounds agents alone: give each alias its own, see TokenPolicy in \
             infra/template.yaml"
        )),
        Some(Ok(_)) | None => Ok(seen),
    }
}

/// Whether the function can be invoked and works on this stack's tables and secrets.
/// <https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html>
async fn function(stack: &Stack, name: &str, variables: &[(&str, &String)]) -> Result<String, Failed> {
    let client = aws_sdk_lambda::Client::new(&stack.session.config);
    let answer = client.get_function_configuration().function_name(name).send().await;
    let found = answer.map_err(|error| {
        let call = Call {
            service: "Lambda",
            action: "lambda:GetFunctionConfiguration",
            resource: &format!("function {name}"),
            if_missing: DEPLOY,
            session: &stack.session,
        };
        call.failure(&error)
    })?;
    let because = |reason: Option<&str>| reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    match found.state() {
        Some(State::Active) | None => {}
        Some(state) => {
            let seen = format!("{name} is {state}{}", because(found.state_reason()));
            return Err(Failed::new(seen, format!("wait a minute if it is Pending, else {DEPLOY}")));
        }
    }
    match found.last_update_status() {
        Some(LastUpdateStatus::Successful) | None => {}
        Some(status) => {
            let seen = format!("{name}: its last update is {status}{}", because(found.last_update_status_reason()));
            return Err(Failed::new(seen, format!("wait a minute if it is InProgress, else {DEPLOY}")));
        }
    }
    let set = found.environment.and_then(|environment| environment.variables).unwrap_or_default();
    let others: Vec<String> = variables.iter().filter_map(|(key, value)| differs(&set, key, value)).collect();
    if others.is_empty() {
        return Ok(format!("{name} is Active"));
    }
    Err(Failed::new(
        format!("{name} is not set up for this stack: {}", others.join(", ")),
        format!("somebody changed it by hand: take that back in the Lambda console, or {DEPLOY}"),
    ))
}

fn differs(set: &HashMap<String, String>, key: &str, value: &str) -> Option<String> {
    match set.get(key) {
        Some(there) if there == value => None,
        Some(there) => Some(format!("{key} is {there} and not {value}")),
        None => Some(format!("{key} is missing")),
    }
}

pub(super) async fn tasks_table(stack: &Stack) -> Result<String, Failed> {
    table(stack, &stack.tasks_table, &["prefix", "id"]).await
}

pub(super) async fn pull_requests_table(stack: &Stack) -> Result<String, Failed> {
    table(stack, &stack.pull_requests_table, &["repository_id", "item"]).await
}

pub(super) async fn tokens_table(stack: &Stack) -> Result<String, Failed> {
    table(stack, &stack.tokens_table, &["cache_key"]).await
}

/// Whether the table takes reads and writes, and has the keys that the functions use: Tasks may be somebody else's.
async fn table(stack: &Stack, name: &str, keys: &[&str]) -> Result<String, Failed> {
    let client = aws_sdk_dynamodb::Client::new(&stack.session.config);
    let answer = client.describe_table().table_name(name).send().await;
    let found = answer.map_err(|error| {
        let call = Call {
            service: "DynamoDB",
            action: "dynamodb:DescribeTable",
            resource: &format!("table {name}"),
            if_missing: DEPLOY,
            session: &stack.session,
        };
        call.failure(&error)
    })?;
    let table = found.table.unwrap_or_else(|| aws_sdk_dynamodb::types::TableDescription::builder().build());
    match table.table_status() {
        // A table that is being changed is in service.
        Some(TableStatus::Active | TableStatus::Updating) => {}
        status => {
            let status = status.map_or("in an unknown state", TableStatus::as_str);
            let next = format!("wait a minute if it is CREATING, else see the table {name} in the DynamoDB console");
            return Err(Failed::new(format!("{name} is {status}"), next));
        }
    }
    let there: Vec<&str> = table.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
    if there != keys {
        return Err(Failed::new(
            format!("{name} has the keys {} and not {}", there.join(", "), keys.join(", ")),
            format!("it is another kind of table: name the right one as ExistingTasksTable, and {DEPLOY}"),
        ));
    }
    Ok(format!("{name} is ACTIVE"))
}
