//! What AWS has of the stack.

use local_aws::{Fault, Rule};
use serde_json::json;
use stack::{OPERATOR, STACK, Stack};

use super::{AS_THE_APP, CHECKS, healthy, verify};
use crate::harness::operator::Operator;

#[tokio::test]
async fn a_stack_as_deployed_is_told_to_be_configured_and_then_passes() {
    let stack = Stack::deployed().await;
    let operator = Operator::new(&stack);
    let found = verify(&operator, &[]).await;
    let skipped: Vec<&str> = ["served-installations", "key"].into_iter().chain(AS_THE_APP).collect();
    found.assert_only("app-secret", &skipped, "it is empty", &["run `konduktor-github-app configure`"]);
    let people = operator.cli(&["verify"]).await;
    assert!(!people.ok, "{people:?}");
    for line in [
        "✗ app-secret                konduktor/app cannot be used: it is empty",
        "                            → run `konduktor-github-app configure`",
        "– 11 skipped                because app-secret did not pass: served-installations, key, app, clock, app-permissions, \
         installation, installation-permissions, webhook-config, deliveries, token, clone",
        "21 checks: 9 ok, 1 failed, 11 skipped",
    ] {
        assert!(people.stdout.lines().any(|there| there == line), "{line}\n{}", people.stdout);
    }
    assert_eq!(people.stdout.lines().count(), 13, "what was skipped is one line: {}", people.stdout);

    operator.file("app.pem", &stack.github.app().pem);
    let id = stack.github.app().id.to_string();
    let configured = operator.cli(&["configure", "--app-id", &id, "--pem", "app.pem", "--yes"]).await;
    assert!(configured.ok, "{configured:?}");
    let found = verify(&operator, &[]).await;
    assert_eq!((found.of("ok").len(), found.of("unproven")), (20, vec!["deliveries"]), "{:#?}", found.checks);
    let people = operator.cli(&["verify"]).await;
    assert!(people.ok && people.stdout.contains("\n○ deliveries "), "{people:?}");
    assert!(people.stdout.ends_with("21 checks: 20 ok, 0 failed, 0 skipped, 1 not proven yet\n"), "{people:?}");
    assert_eq!(found.check("webhook-secret-at-github")["seen"], "configure told GitHub the version in service");
    let seen = found.check("deliveries")["seen"].as_str().unwrap();
    assert!(seen.contains("none") && seen.contains("the next event"), "no ping was ever on record: {seen}");
}

#[tokio::test]
async fn the_stacks_state_is_looked_at_and_the_rest_nevertheless() {
    let stack = healthy().await;
    let mut operator = Operator::new(&stack);
    for (status, words) in [
        ("UPDATE_ROLLBACK_COMPLETE", "`make deploy`"),
        ("UPDATE_IN_PROGRESS", "wait until it is done"),
        ("UPDATE_ROLLBACK_FAILED", "describe-stack-events --stack-name konduktor-github-app"),
    ] {
        let mut description = stack.cloudformation.get(STACK);
        description.status = status.to_owned();
        stack.cloudformation.put(STACK, description);
        verify(&operator, &[]).await.assert_only("stack", &[], status, &[words]);
    }
    stack.cloudformation.fail(Rule::new(Fault::AccessDenied));
    verify(&operator, &[]).await.assert_only(
        "stack",
        &CHECKS[1..],
        "could not be looked at",
        &["cloudformation:DescribeStacks"],
    );
    stack.cloudformation.clear_faults();
    let missing = verify(&operator, &["--stack", "nobody-deployed-this"]).await;
    missing.assert_only(
        "stack",
        &CHECKS[1..],
        "",
        &["there is no stack nobody-deployed-this", "`make deploy`", "--stack"],
    );
    operator.set("AWS_REGION", "");
    verify(&operator, &[]).await.assert_only("stack", &CHECKS[1..], "", &["no AWS region"]);
}

#[tokio::test]
async fn a_function_that_is_not_ready_or_not_this_stacks_is_named() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let names = ["webhook", "reconcile", "token"];
    for name in names {
        let check = format!("{name}-function");
        stack.lambda.set_state(name, "Failed", "Successful");
        verify(&operator, &[]).await.assert_only(&check, &[], &format!("{name} is Failed"), &["`make deploy`"]);
        stack.lambda.set_state(name, "Active", "Failed");
        verify(&operator, &[]).await.assert_only(&check, &[], "its last update is Failed", &["`make deploy`"]);
        stack.lambda.set_state(name, "Active", "Successful");
    }
    for (name, variable) in
        [("webhook", "TASKS_TABLE"), ("reconcile", "TOKEN_FUNCTION"), ("webhook", "WEBHOOK_SECRET_ID")]
    {
        let before = match variable {
            "TOKEN_FUNCTION" => "token:reconcile".to_owned(),
            _ => stack.environment().into_iter().find(|(name, _)| *name == variable).unwrap().1,
        };
        stack.lambda.set_variable(name, variable, "others");
        let seen = format!("{variable} is others and not {before}");
        verify(&operator, &[]).await.assert_only(&format!("{name}-function"), &[], &seen, &["by hand"]);
        stack.lambda.set_variable(name, variable, before);
    }
    for name in ["webhook", "reconcile"] {
        stack.lambda.deny(OPERATOR, name);
        let found = verify(&operator, &[]).await;
        found.assert_words(&format!("{name}-function"), "could not", &["lambda:GetFunctionConfiguration", name]);
    }
    stack.lambda.deny(OPERATOR, "token");
    let found = verify(&operator, &[]).await;
    assert_eq!(found.of("failed"), ["webhook-function", "reconcile-function", "token-function", "token"]);
    assert_eq!(found.of("skipped"), ["clone"]);
    found.assert_words("token", "could not", &["lambda:InvokeFunction"]);
}

#[tokio::test]
async fn a_table_that_is_missing_not_active_or_of_other_keys_is_named() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let names = stack.dynamodb.names().clone();
    for (check, table) in
        [("tasks-table", &names.tasks), ("pull-requests-table", &names.pull_requests), ("tokens-table", &names.tokens)]
    {
        stack.dynamodb.set_table_status(table, "INACCESSIBLE_ENCRYPTION_CREDENTIALS");
        let seen = format!("{table} is INACCESSIBLE_ENCRYPTION_CREDENTIALS");
        verify(&operator, &[]).await.assert_only(check, &[], &seen, &["DynamoDB console"]);
        stack.dynamodb.set_table_status(table, "ACTIVE");
        stack.dynamodb.fail(Rule::new(Fault::AccessDenied).operation("DescribeTable").on(table));
        verify(&operator, &[]).await.assert_only(check, &[], "could not", &["dynamodb:DescribeTable", table]);
        stack.dynamodb.clear_faults();
    }
    stack.dynamodb.drop_table(&names.pull_requests);
    verify(&operator, &[]).await.assert_only("pull-requests-table", &[], "", &["there is no table", "`make deploy`"]);
    let other = json!({"TableName": names.pull_requests, "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]});
    stack.dynamodb.database().create_table(serde_json::from_value(other).unwrap()).unwrap();
    let seen = "has the keys id and not repository_id, item";
    verify(&operator, &[]).await.assert_only("pull-requests-table", &[], seen, &["`make deploy`"]);
}

#[tokio::test]
async fn a_stack_from_before_there_were_aliases_is_asked_without() {
    let stack = healthy().await;
    let mut described = stack.cloudformation.get(STACK);
    described.outputs.remove("InspectTokens");
    stack.cloudformation.put(STACK, described);
    stack.lambda.set_variable("reconcile", "TOKEN_FUNCTION", "token");
    verify(&Operator::new(&stack), &[]).await.assert_all_hold();
}

#[tokio::test]
async fn a_policy_of_before_there_were_profiles_is_told_and_fails_nothing() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let with_policy = |policy: &str| {
        let mut described = stack.cloudformation.get(STACK);
        described.parameters.insert("TokenPolicy".to_owned(), policy.to_owned());
        stack.cloudformation.put(STACK, described);
    };
    with_policy(r#"{"permissions":{"contents":"read"}}"#);
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    assert!(found.check("token-function")["seen"].as_str().unwrap().contains("knows no profiles"));
    with_policy(r#"{"profiles":{"agents":{"repositories":["*/app"]}}}"#);
    let found = verify(&operator, &[]).await;
    found.assert_only("token-function", &[], "repositories[0] can match another account", &["TokenPolicy"]);
}
