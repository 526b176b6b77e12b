//! `verify`: a stack where everything holds, and each thing that may not, broken by itself.

use std::collections::BTreeSet;

use crate::harness::terminal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_github::{self as github, AppKey, Authorization, FaultKind, NewPullRequest, Selection};
use local_aws::lambda::binary;
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stack::{
    ACCOUNT, APP_SECRET_ID, INSPECTOR, OPERATOR, REPOSITORY, STACK, Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID,
    app_secret,
};

use crate::harness::agent::CLI;
use crate::harness::operator::Operator;

/// Every check, in the order of the list; a script may count on the names.
const CHECKS: [&str; 21] = [
    "stack",
    "webhook-function",
    "reconcile-function",
    "token-function",
    "tasks-table",
    "pull-requests-table",
    "tokens-table",
    "webhook-secret",
    "webhook-secret-at-github",
    "app-secret",
    "served-installations",
    "key",
    "app",
    "clock",
    "app-permissions",
    "installation",
    "installation-permissions",
    "webhook-config",
    "deliveries",
    "token",
    "clone",
];

const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";

/// A configured stack that a ping and a pull request have reached.
async fn healthy() -> Stack {
    let stack = Stack::start().await;
    stack.create_task(TASK, "Fix login", "pr_submitted");
    assert_eq!(stack.github.deliver(&stack.github.ping_event()).await.status, 200);
    let opened = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Fix login [kid: #4d9d444d]"));
    assert_eq!(stack.github.deliver(&opened).await.status, 200);
    stack
}

/// What `verify --json` found.
struct Verified {
    checks: Vec<Value>,
    error: String,
}

async fn verify(operator: &Operator<'_>, arguments: &[&str]) -> Verified {
    let ended = operator.cli(&[&["verify", "--json"], arguments].concat()).await;
    let found: Value = serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"));
    assert_eq!(found["ok"], ended.ok, "the exit status says what ok says: {ended:?}");
    let error = ended.stderr.lines().last().filter(|line| line.starts_with(CLI)).unwrap_or_default().to_owned();
    assert_eq!(error.is_empty(), ended.ok, "{ended:?}");
    Verified { checks: found["checks"].as_array().unwrap().clone(), error }
}

impl Verified {
    fn of(&self, verdict: &str) -> Vec<&str> {
        let of = self.checks.iter().filter(|check| check["verdict"] == verdict);
        of.map(|check| check["name"].as_str().unwrap()).collect()
    }

    fn check(&self, name: &str) -> &Value {
        self.checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {:#?}", self.checks))
    }

    /// Fails if another check failed, if others were skipped than those that need this one, or if what was seen and
    /// what to do are not in these words.
    fn assert_only(&self, failed: &str, skipped: &[&str], seen: &str, next: &[&str]) {
        assert_eq!(self.of("failed"), [failed], "{:#?}", self.checks);
        assert_eq!(self.of("skipped"), skipped, "{:#?}", self.checks);
        for name in skipped {
            assert_eq!(self.check(name)["needs"], failed);
        }
        assert_eq!(self.error, format!("{CLI}: 1 of {} checks failed: {failed}", self.checks.len()));
        self.assert_words(failed, seen, next);
    }

    fn assert_words(&self, name: &str, seen: &str, next: &[&str]) {
        let check = self.check(name);
        let text = |field: &str| check[field].as_str().unwrap_or_else(|| panic!("{check:#}")).to_owned();
        assert!(text("seen").contains(seen), "{seen:?}: {check:#}");
        for words in next {
            assert!(text("next").contains(words), "{words:?}: {check:#}");
        }
    }

    fn assert_all_hold(&self) {
        assert_eq!(self.of("ok").len(), self.checks.len(), "{:#?}", self.checks);
    }
}

/// The checks from this one on that ask GitHub as the App.
const AS_THE_APP: [&str; 9] = [
    "app",
    "clock",
    "app-permissions",
    "installation",
    "installation-permissions",
    "webhook-config",
    "deliveries",
    "token",
    "clone",
];

#[tokio::test]
async fn a_healthy_stack_passes_every_check_and_nothing_is_changed_or_left() {
    let stack = healthy().await;
    let mut operator = Operator::new(&stack);
    let temporary = operator.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    operator.set("TMPDIR", temporary.to_str().unwrap());
    let names = stack.dynamodb.names().clone();
    let secrets =
        async || (stack.secrets.versions(APP_SECRET_ID).await, stack.secrets.versions(WEBHOOK_SECRET_ID).await);
    let tables = || (stack.dynamodb.scan(&names.tasks), stack.dynamodb.scan(&names.pull_requests));
    let (secrets_before, tables_before, hook) = (secrets().await, tables(), stack.github.hook_config());
    let invocations = ["webhook", "reconcile"].map(|function| stack.lambda.invocations(function));
    stack.github.clear_requests();
    stack.dynamodb.clear_calls();
    stack.secrets.clear_calls();

    let people = operator.cli(&["verify"]).await;
    assert!(people.ok, "{people:?}");
    let lines: Vec<&str> = people.stdout.lines().collect();
    assert_eq!(lines.len(), CHECKS.len() + 1, "{people:?}");
    for (line, name) in lines.iter().zip(CHECKS) {
        assert!(line.starts_with(&format!("✓ {name} ")), "{name}: {line}");
    }
    assert_eq!(lines[CHECKS.len()], "21 checks: 21 ok, 0 failed, 0 skipped");
    let programs = operator.cli(&["verify", "--json", "--task", TASK]).await;
    assert!(programs.ok, "{programs:?}");
    let found: Value = serde_json::from_str(&programs.stdout).unwrap();
    assert_eq!(found.as_object().unwrap().keys().collect::<Vec<_>>(), ["checks", "ok"]);
    for (check, name) in found["checks"].as_array().unwrap().iter().zip(CHECKS.into_iter().chain(["task"])) {
        assert_eq!(check, &json!({"name": name, "verdict": "ok", "seen": check["seen"]}));
        assert!(check["seen"].as_str().is_some_and(|seen| !seen.is_empty()), "{check}");
    }
    let says = |name: &str| lines.iter().find(|line| line.contains(&format!("✓ {name} "))).unwrap().to_string();
    let app = stack.github.app();
    for (name, words) in [
        ("stack", format!("{STACK} in eu-west-1 is in CREATE_COMPLETE")),
        ("key", format!("SHA256:{}", app.fingerprint)),
        ("app", format!("App ID {}", app.id)),
        ("app-permissions", "contents: read, metadata: read, pull_requests: write, the event pull_request".to_owned()),
        ("installation", format!("{ACCOUNT} ({}, all repositories)", stack.installation)),
        ("webhook-config", stack.front.url()),
        ("deliveries", "of the latest 2, 2 answered 200; the latest, pull_request.opened, at 20".to_owned()),
        ("clone", format!("{REPOSITORY} (private)")),
    ] {
        assert!(says(name).contains(&words), "{words}: {}", says(name));
    }

    assert_eq!(secrets().await, secrets_before);
    assert_eq!(tables(), tables_before);
    assert_eq!(stack.github.hook_config(), hook);
    assert_eq!(["webhook", "reconcile"].map(|function| stack.lambda.invocations(function)), invocations);
    let calls = stack.dynamodb.calls().into_iter().chain(stack.secrets.calls());
    let operations: BTreeSet<String> =
        calls.filter(|call| call.access_key_id == OPERATOR).map(|call| call.operation).collect();
    let reads = ["DescribeSecret", "DescribeTable", "GetSecretValue", "Query"];
    assert_eq!(operations.into_iter().collect::<Vec<_>>(), reads);
    let posted: BTreeSet<String> = stack
        .github
        .requests()
        .into_iter()
        .filter(|request| request.method != "GET")
        .map(|request| request.route)
        .collect();
    assert_eq!(posted.into_iter().collect::<Vec<_>>(), ["POST /app/installations/{id}/access_tokens", "git"]);
    assert_eq!(stack.github.minted().len(), 1, "one token, and the second run found it in the cache");
    assert_eq!(stack.github.minted()[0].permissions["contents"], "read");

    assert_eq!(std::fs::read_dir(&temporary).unwrap().count(), 0, "the clone is removed");
    operator.assert_no_token_was_left(&[&people, &programs]);
    let said = format!("{people:?}{programs:?}{}", std::fs::read_to_string(operator.path("trace")).unwrap());
    for secret in [WEBHOOK_SECRET, "PRIVATE KEY", app.pem.lines().nth(1).unwrap(), "eyJ"] {
        assert!(!said.contains(secret), "{secret} is in what was said");
    }
    stack.github.assert_nothing_unexpected();
}

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
async fn the_webhooks_secret_has_to_be_one_and_to_have_reached_github() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    for (value, seen) in
        [(json!("typed in by hand"), "not the JSON object"), (json!({"webhook_secret": "changeme"}), "a placeholder")]
    {
        stack.secrets.put(WEBHOOK_SECRET_ID, &value).await;
        let found = verify(&operator, &[]).await;
        found.assert_only(
            "webhook-secret",
            &["webhook-secret-at-github", "served-installations"],
            seen,
            &["--rotate webhook-secret"],
        );
    }
    stack.secrets.put_bytes(WEBHOOK_SECRET_ID, b"\xff\xfe{\0}\0").await;
    verify(&operator, &[]).await.assert_only(
        "webhook-secret",
        &["webhook-secret-at-github", "served-installations"],
        "not the JSON object",
        &["--rotate webhook-secret"],
    );
    let good = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [stack.installation]});
    stack.secrets.put_bytes(WEBHOOK_SECRET_ID, good.to_string().as_bytes()).await;
    verify(&operator, &[]).await.assert_all_hold();

    // As a rotation leaves it that ended between writing the secret and telling GitHub.
    let versions = stack.secrets.versions(WEBHOOK_SECRET_ID).await;
    let current = versions.iter().find(|version| version.stages.contains(&"AWSCURRENT".to_owned())).unwrap();
    let label = stack.secrets.sdk("a test").update_secret_version_stage().secret_id(WEBHOOK_SECRET_ID);
    label.version_stage("GITHUB").move_to_version_id(&current.id).send().await.unwrap();
    let told = verify(&operator, &[]).await;
    told.assert_all_hold();
    assert_eq!(told.check("webhook-secret-at-github")["seen"], "configure told GitHub the version in service");
    stack
        .secrets
        .put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": "another one", "installations": [stack.installation]}))
        .await;
    let found = verify(&operator, &[]).await;
    let next = ["finish it with `konduktor-github-app configure --rotate webhook-secret`"];
    found.assert_only("webhook-secret-at-github", &[], "has not reached GitHub", &next);

    stack.secrets.fail(Rule::new(Fault::AccessDenied).operation("DescribeSecret"));
    let found = verify(&operator, &[]).await;
    found.assert_only("webhook-secret-at-github", &[], "could not", &["secretsmanager:DescribeSecret"]);
}

#[tokio::test]
async fn the_apps_secret_its_key_and_its_app_are_told_apart() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let good = app_secret(&stack.github, stack.installation);
    let with = |field: &str, value: Value| {
        let mut changed = good.clone();
        changed[field] = value;
        changed
    };
    let (to_key, to_app): (Vec<_>, Vec<_>) =
        (["served-installations", "key"].into_iter().chain(AS_THE_APP).collect(), AS_THE_APP.to_vec());
    let half = good["private_key"].as_str().unwrap()[..400].to_owned();
    let other = &AppKey::second().fingerprint;
    let configure = "`konduktor-github-app configure`";
    for (value, failed, skipped, seen, next) in [
        (json!("{\"app_id\": 1, \"private_key\": "), "app-secret", &to_key[..], "not the JSON object", configure),
        (
            with("private_key", json!("<PEM>")),
            "app-secret",
            &to_key,
            "private_key is empty or a placeholder",
            configure,
        ),
        (with("private_key", json!(half)), "key", &to_app, "truncated", configure),
        (with("private_key", json!(AppKey::second().pem)), "app", &to_app[1..], "which App the key belongs to", other),
        (with("app_id", json!(7)), "app", &to_app[1..], "which App the key belongs to", "for the App 7: "),
        (
            with("client_id", json!("Iv23liAnother")),
            "app",
            &to_app[1..],
            "the secret says client id Iv23liAnother",
            configure,
        ),
    ] {
        stack.secrets.put(APP_SECRET_ID, &value).await;
        let ended = operator.cli(&["verify"]).await;
        assert!(!ended.stdout.contains("PRIVATE KEY") && !ended.stdout.contains(&half[40..100]), "{ended:?}");
        verify(&operator, &[]).await.assert_only(failed, skipped, seen, &[next]);
    }
    stack.secrets.put(APP_SECRET_ID, &good).await;
    verify(&operator, &[]).await.assert_all_hold();
    let found = verify(&operator, &["--github-api-url", "http://127.0.0.1:9"]).await;
    found.assert_only("app", &to_app[1..], "", &["GitHub at http://127.0.0.1:9 does not answer"]);
}

#[tokio::test]
async fn without_the_right_to_read_the_apps_secret_tokens_and_clones_are_still_proved() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    stack.secrets.fail(Rule::new(Fault::AccessDenied).operation("GetSecretValue").on(APP_SECRET_ID).from(OPERATOR));
    let found = verify(&operator, &[]).await;
    let skipped = [
        "served-installations",
        "key",
        "app",
        "clock",
        "app-permissions",
        "installation",
        "installation-permissions",
        "webhook-config",
        "deliveries",
    ];
    found.assert_only("app-secret", &skipped, "could not", &["secretsmanager:GetSecretValue", APP_SECRET_ID]);
    assert!(found.of("ok").ends_with(&["token", "clone"]));
}

#[tokio::test]
async fn who_may_only_look_gets_a_token_of_their_own_profile_and_no_secret() {
    let stack = healthy().await;
    let mut inspector = Operator::new(&stack);
    inspector.set("AWS_ACCESS_KEY_ID", INSPECTOR);
    stack.secrets.fail(Rule::new(Fault::AccessDenied).from(INSPECTOR));
    let found = verify(&inspector, &[]).await;
    assert!(found.of("ok").ends_with(&["token", "clone"]), "{:?}", found.of("ok"));
    assert_eq!(found.of("failed"), ["webhook-secret", "app-secret"]);
    stack.lambda.log_line("token", |line| line.contains("\"profile\":\"inspect\"")).await;
    let explained = inspector.cli(&["explain", TASK]).await;
    assert!(explained.stdout.contains("Fix login"), "{explained:?}");
    assert!(inspector.cli(&["task", "list"]).await.printed().contains("Fix login"));
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
async fn a_clock_that_is_off_fails_by_itself() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    for (skew, seen) in [(800, " s behind GitHub's"), (-400, " s ahead of GitHub's")] {
        stack.github.set_clock_skew(skew);
        verify(&operator, &[]).await.assert_only("clock", &[], seen, &["set this machine's clock"]);
    }
    stack.github.set_clock_skew(20);
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    assert!(found.check("clock")["seen"].as_str().unwrap().ends_with("s behind GitHub's"), "it is told");
}

#[tokio::test]
async fn what_the_app_or_an_account_has_not_granted_is_named() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    stack.github.set_permissions(&[("contents", "read"), ("metadata", "read"), ("pull_requests", "read")]);
    stack.github.set_events(&[]);
    let settings = format!("https://github.com/settings/apps/{}/permissions", app.slug);
    let lacks = "the permission pull_requests: write, the event pull_request";
    let found = verify(&operator, &[]).await;
    found.assert_only("app-permissions", &[], &format!("the App lacks {lacks}"), &[&settings]);

    stack.github.accept_permissions(stack.installation);
    stack.github.set_permissions(&[("contents", "read"), ("metadata", "read"), ("pull_requests", "write")]);
    stack.github.set_events(&["pull_request"]);
    let found = verify(&operator, &[]).await;
    let page = format!("/settings/installations/{}", stack.installation);
    found.assert_only("installation-permissions", &[], &format!("{ACCOUNT} has not granted {lacks}"), &[&page]);

    // Another account has not accepted either, and is not served.
    stack.github.accept_permissions(stack.installation);
    stack.github.set_permissions(&[("metadata", "read")]);
    let other = stack.github.install("elsewhere", Selection::All);
    stack.github.set_permissions(&[("contents", "read"), ("metadata", "read"), ("pull_requests", "write")]);
    let both = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [stack.installation, other]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &both).await;
    let found = verify(&operator, &[]).await;
    found.assert_only(
        "installation-permissions",
        &[],
        "elsewhere has not granted the permission contents: read",
        &[&other.to_string()],
    );
    let only_ours = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [stack.installation]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &only_ours).await;
    verify(&operator, &[]).await.assert_all_hold();
}

#[tokio::test]
async fn the_webhook_has_to_know_whose_events_to_take() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET})).await;
    let found = verify(&operator, &[]).await;
    found.assert_only("served-installations", &[], "lists no installations", &["`konduktor-github-app configure`"]);
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET, "installations": []})).await;
    let found = verify(&operator, &[]).await;
    found.assert_only("served-installations", &[], "events of nobody", &["`konduktor-github-app configure`"]);
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

#[tokio::test]
async fn the_installation_has_to_be_there_served_and_not_suspended_and_others_are_listed() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let skipped = ["installation-permissions", "token", "clone"];
    let other = stack.github.install("elsewhere", Selection::only(&[]));
    stack.github.suspend(other);
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    let seen = found.check("installation")["seen"].as_str().unwrap();
    assert!(seen.contains(&format!("; also elsewhere ({other}, selected repositories, suspended since 20")), "{seen}");

    stack.github.suspend(stack.installation);
    let found = verify(&operator, &[]).await;
    found.assert_only("installation", &skipped, "suspended since", &["an owner of acme unsuspends it at https://"]);
    stack.github.unsuspend(stack.installation);

    let only_theirs = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [other]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &only_theirs).await;
    let found = verify(&operator, &[]).await;
    let adds = format!("configure --installation-id {}` adds it", stack.installation);
    found.assert_only("installation", &skipped, "its events are ignored", &[&adds]);
    stack
        .secrets
        .put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET, "installations": [stack.installation]}))
        .await;

    stack.github.uninstall(stack.installation);
    let found = verify(&operator, &[]).await;
    let seen = format!("names the installation {}, and GitHub has elsewhere ({other}", stack.installation);
    found.assert_only("installation", &skipped, &seen, &["configure --installation-id ID"]);
    stack.github.uninstall(other);
    let found = verify(&operator, &[]).await;
    let link = "https://github.com/apps/konduktor-fake/installations/new";
    found.assert_only("installation", &skipped, "No installations found", &[link]);
}

#[tokio::test]
async fn the_webhook_at_github_has_to_be_as_deployed() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let good = stack.github.hook_config();
    let mut elsewhere = good.clone();
    elsewhere.url = Some("https://elsewhere.example/hook".to_owned());
    let (mut nowhere, mut form, mut unsigned) = (good.clone(), good.clone(), good.clone());
    nowhere.url = None;
    form.content_type = "form".to_owned();
    unsigned.secret = None;
    for (hook, seen) in [
        (&elsewhere, "GitHub delivers to https://elsewhere.example/hook and not to http"),
        (&nowhere, "no webhook URL"),
        (&form, "the content type is form"),
        (&unsigned, "no webhook secret"),
    ] {
        stack.github.set_hook_config(hook.clone());
        let next = ["`konduktor-github-app configure`", "--webhook-url"];
        verify(&operator, &[]).await.assert_only("webhook-config", &[], seen, &next);
    }
    stack.github.set_hook_config(elsewhere);
    let found = verify(&operator, &["--webhook-url", "https://elsewhere.example/hook"]).await;
    assert_eq!(found.check("webhook-config")["verdict"], "ok");
    found.assert_only("deliveries", &[], "none to https://elsewhere.example/hook", &["edit the title", "configure"]);
    stack.github.set_hook_config(good);
    stack.github.fault(github::Fault::always("/app/hook/config", FaultKind::ServerError));
    verify(&operator, &[]).await.assert_only("webhook-config", &[], "could not", &["does not answer"]);
}

#[tokio::test]
async fn failed_deliveries_are_told_with_their_answers_and_what_each_means() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let pull_request =
        stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Fix logout [kid: #4d9d444d]"));
    let configure = "run `konduktor-github-app configure`";
    let not_configured = json!({"outcome": "not_configured", "reason": "the GitHub App is not configured"}).to_string();
    for (status, outcome, body, seen, next) in [
        (0, "failed to connect to host", "", "→ failed to connect to host", "its certificate is valid"),
        (301, "Invalid HTTP Response: 301", "<html>moved</html>", "→ 301: <html>moved</html>", "--webhook-url"),
        (400, "Invalid HTTP Response: 400", "{\"reason\": \"no JSON\"}", "→ 400: no JSON", "content type"),
        (
            404,
            "Invalid HTTP Response: 404",
            "{\"message\":\"Not Found\"}",
            "→ 404: Not Found",
            "does not lead to the webhook",
        ),
        (
            413,
            "Invalid HTTP Response: 413",
            "{\"message\":\"Request Entity Too Large\"}",
            "→ 413: Request",
            "over 6 MB",
        ),
        (429, "Invalid HTTP Response: 429", "{\"message\":\"Too Many Requests\"}", "→ 429: Too Many", "ThrottlingRate"),
        (
            500,
            "Invalid HTTP Response: 500",
            "{\"message\":\"Internal Server Error\"}",
            "→ 500: Internal",
            "aws logs tail /aws/lambda/webhook",
        ),
        (502, "Invalid HTTP Response: 502", "", "→ 502", "aws logs tail"),
        (
            503,
            "Invalid HTTP Response: 503",
            "{\"message\":\"Service Unavailable\"}",
            "→ 503: Service",
            "WebhookConcurrency",
        ),
        (503, "Invalid HTTP Response: 503", &not_configured, "→ 503: the GitHub App is not configured", configure),
        (504, "timed out", "{\"message\":\"Endpoint request timed out\"}", "→ 504: Endpoint", "aws logs tail"),
    ] {
        stack.github.forget_deliveries();
        stack.github.deliver(&stack.github.ping_event()).await;
        stack.github.record_delivery(&pull_request, status, outcome, body);
        let found = verify(&operator, &[]).await;
        found.assert_only("deliveries", &[], "pull_request.opened at 20", &[next]);
        found.assert_words("deliveries", seen, &[]);
        found.assert_words("deliveries", "of the latest 2, ", &[]);
    }
    // The real webhook refuses what is signed with another secret.
    stack.github.forget_deliveries();
    stack.github.set_hook(&stack.front.url(), "another secret");
    assert_eq!(stack.github.deliver(&pull_request).await.status, 401);
    let found = verify(&operator, &[]).await;
    let seen = "→ 401: the signature is missing or wrong";
    found.assert_only("deliveries", &[], seen, &["GitHub signs with another secret than the stack's", configure]);
    // Several at once are told one by one.
    stack.github.record_delivery(&stack.github.installation_event(stack.installation, "created"), 429, "", "");
    let found = verify(&operator, &[]).await;
    found.assert_only(
        "deliveries",
        &[],
        "1 answered 401, 1 answered 429; installation.created at",
        &["ThrottlingRate", configure],
    );
}

#[tokio::test]
async fn a_failure_that_later_deliveries_disprove_is_told_and_fails_nothing() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let installed = stack.github.installation_event(stack.installation, "created");
    let opened = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Another"));
    let secret = stack.github.hook_config();
    stack.github.forget_deliveries();
    // An event that comes once in an App's life, refused for its signature: any later success disproves it.
    stack.github.set_hook(&stack.front.url(), "another secret");
    assert_eq!(stack.github.deliver(&installed).await.status, 401);
    stack.github.set_hook_config(secret.clone());
    stack.github.deliver(&stack.github.ping_event()).await;
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    let seen = found.check("deliveries")["seen"].as_str().unwrap().to_owned();
    for words in
        ["1 answered 200, 1 answered 401", "1 failed before and no longer do, installation.created at 20", "(401)"]
    {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    // What a pull request broke, a ping does not disprove; another pull request does.
    stack.github.record_delivery(&opened, 500, "Invalid HTTP Response: 500", "");
    stack.github.deliver(&stack.github.ping_event()).await;
    verify(&operator, &[]).await.assert_only("deliveries", &[], "pull_request.opened at", &["the function's log"]);
    stack.github.deliver(&opened).await;
    verify(&operator, &[]).await.assert_all_hold();
    // What another server answered says nothing about this one, in neither direction.
    stack.github.set_hook("https://elsewhere.example/hook", WEBHOOK_SECRET);
    stack.github.record_delivery(&opened, 500, "Invalid HTTP Response: 500", "");
    stack.github.set_hook_config(secret.clone());
    verify(&operator, &[]).await.assert_all_hold();
    stack.github.set_hook("https://elsewhere.example/hook", WEBHOOK_SECRET);
    stack.github.record_delivery(&opened, 200, "OK", "");
    stack.github.set_hook_config(secret);
    verify(&operator, &[]).await.assert_only("deliveries", &[], "none to http", &["edit the title"]);
    stack.github.forget_deliveries();
    verify(&operator, &[]).await.assert_only("deliveries", &[], "is on record", &["/advanced", "not Active"]);
}

#[tokio::test]
async fn the_token_functions_own_words_are_passed_on() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    stack.lambda.set_variable("token", "TOKEN_POLICY", json!({"permissions": {"metadata": "read"}}).to_string());
    let found = verify(&operator, &[]).await;
    found.assert_only("token", &["clone"], "this is not granted", &["contents"]);
    stack.lambda.set_variable("token", "TOKEN_POLICY", json!({"repositories": ["acme/app"]}).to_string());
    let found = verify(&operator, &[]).await;
    found.assert_only("token", &["clone"], "", &["repositories has to be named", "; name one with --clone"]);
    let found = verify(&operator, &["--clone", "ACME/App"]).await;
    found.assert_all_hold();
    let minted = stack.github.minted();
    assert_eq!(
        (minted.len(), &minted[0].repositories[..]),
        (1, &["acme/app".to_owned()][..]),
        "git got the same token"
    );
    let refused = verify(&operator, &["--clone", "acme/other"]).await;
    refused.assert_only("token", &["clone"], "this is not granted", &["other"]);
}

#[tokio::test]
async fn a_clone_is_made_with_this_commands_token_and_nothing_else() {
    let stack = healthy().await;
    let mut operator = Operator::new(&stack);
    let url = stack.github.url();
    let mark = |name: &str| {
        let program = operator.file(name, &format!("#!/bin/sh\ntouch '{}'\n", operator.path("asked").display()));
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        program.display().to_string()
    };
    let (helper, askpass) = (mark("helper"), mark("askpass"));
    operator.file(
        "gitconfig",
        &format!(
            "[credential]\n\thelper = {helper}\n[credential \"{url}\"]\n\thelper = {helper}\n[core]\n\taskPass = {askpass}\n\
             [url \"ssh://git@nowhere.example/\"]\n\tinsteadOf = {url}/\n\
             [http \"{url}/\"]\n\textraHeader = Authorization: Basic bm9ib2R5Om5vdGhpbmc=\n"
        ),
    );
    operator.file(".netrc", "machine 127.0.0.1 login nobody password nothing\n");
    operator.set("GIT_ASKPASS", &askpass);
    operator.set("GIT_TERMINAL_PROMPT", "");
    verify(&operator, &[]).await.assert_all_hold();
    stack.github.create_repository("acme/open", false);
    stack.github.create_git_repository("acme/open", &[("README.md", "# open\n")]).await;
    let found = verify(&operator, &["--clone", "acme/open"]).await;
    found.assert_all_hold();
    assert!(found.check("clone")["seen"].as_str().unwrap().starts_with("acme/open (public)"));
    let hash = |token: &str| STANDARD.encode(Sha256::digest(token));
    let ours: BTreeSet<String> = stack.github.minted().iter().map(|minted| hash(&minted.token)).collect();
    for request in stack.github.requests().into_iter().filter(|request| request.route == "git") {
        let with_ours = matches!(&request.authorization, Authorization::Token(hash) if ours.contains(hash));
        assert!(with_ours || !asks_first().await, "{request:?}");
    }

    let refusal = FaultKind::Status(
        401,
        String::new(),
        vec![("www-authenticate".to_owned(), "Basic realm=\"GitHub\"".to_owned())],
    );
    stack.github.fault(github::Fault::always("/acme/app.git", refusal));
    let found = verify(&operator, &[]).await;
    found.assert_only("clone", &[], "git does not clone acme/app: ", &["the token itself is good", "proxy"]);
    stack.github.clear_faults();
    stack.github.fault(github::Fault::always("/acme/app.git", FaultKind::ServerError));
    verify(&operator, &[]).await.assert_only("clone", &[], "502", &["proxy"]);
    stack.github.clear_faults();
    // The helper itself has nothing to give: its words are told, and nobody else is asked.
    stack.github.clear_requests();
    let late = FaultKind::Delay(std::time::Duration::from_secs(1));
    stack.github.fault(github::Fault::once("/installation/repositories", late));
    let meanwhile = async {
        while !stack.github.requests().iter().any(|request| request.path.starts_with("/installation/repositories")) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        stack.lambda.set_concurrency("token", 0);
    };
    let (found, ()) = tokio::join!(verify(&operator, &[]), meanwhile);
    found.assert_only("clone", &[], "too many calls of the function token", &["proxy"]);
    stack.lambda.set_concurrency("token", 10);
    assert!(!operator.path("asked").exists(), "nobody else was asked for a password");

    stack.github.fresh_token_answers(401, 1);
    let refusal = FaultKind::Status(401, String::new(), vec![("www-authenticate".to_owned(), "Basic".to_owned())]);
    stack.github.fault(github::Fault::once("/acme/app.git", refusal));
    verify(&operator, &["--clone", "acme/app"]).await.assert_all_hold();
    operator.set("PATH", "/nowhere");
    verify(&operator, &[]).await.assert_only("clone", &[], "git cannot be run", &["install git"]);
}

/// Whether this git asks its helper before it is challenged (`http.proactiveAuth`).
async fn asks_first() -> bool {
    let output = tokio::process::Command::new("git").arg("version").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (2, 46)
}

#[tokio::test]
async fn every_page_of_repositories_is_looked_through_for_a_private_one() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    stack.github.create_repository("acme/public-0", false);
    let only_public = stack.github.create_repository("acme/public", false);
    assert_ne!(only_public, 0);
    stack.github.remove_from_installation(stack.installation, REPOSITORY);
    let found = verify(&operator, &[]).await;
    assert_eq!(found.of("unproven"), ["clone"], "{:#?}", found.checks);
    assert_eq!(found.of("ok").len() + 1, found.checks.len(), "{:#?}", found.checks);
    assert!(found.check("clone")["seen"].as_str().unwrap().contains("no private repository"));
    for number in 1..120 {
        stack.github.create_repository(&format!("acme/public-{number}"), false);
        stack.github.add_to_installation(stack.installation, &format!("acme/public-{number}"));
    }
    stack.github.create_git_repository("acme/secret", &[("README.md", "# secret\n")]).await;
    stack.github.add_to_installation(stack.installation, "acme/secret");
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    assert!(found.check("clone")["seen"].as_str().unwrap().starts_with("acme/secret (private)"));
}

#[tokio::test]
async fn a_tag_has_to_name_one_task_and_its_column_is_told() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let seen = async |tag: &str| {
        let found = verify(&operator, &["--task", tag]).await;
        found.assert_all_hold();
        found.check("task")["seen"].as_str().unwrap().to_owned()
    };
    let linked = seen("4d9d444d").await;
    assert!(linked.starts_with(&format!("{TASK} is in pr_submitted; https://")), "{linked}");
    assert!(linked.ends_with("(open, current)"), "{linked}");
    let other = "aaaaaaaa0198c5c27f00aabbccddeeff";
    stack.create_task(other, "Another", "in_progress");
    let idle = seen("#AAAAAAAA").await;
    assert_eq!(
        idle,
        format!("{other} is in in_progress, and a merge moves a task out of pr_submitted only; it has no pull request")
    );
    stack.create_task("aaaaaaaa0198c5c27f00aabbccddee00", "Its twin", "to_do");
    let found = verify(&operator, &["--task", "aaaaaaaa"]).await;
    found.assert_only("task", &[], "", &["more than one task", "give more digits"]);
    let found = verify(&operator, &["--task", "00000000"]).await;
    found.assert_only("task", &[], "", &["no task has an id that begins with 00000000", "task list"]);
    stack.dynamodb.fail(Rule::new(Fault::AccessDenied).operation("Query").from(OPERATOR));
    verify(&operator, &["--task", TASK]).await.assert_only("task", &[], "could not", &["dynamodb:Query"]);
    let ended = operator.cli(&["verify", "--task", "4d9d"]).await;
    assert!(!ended.ok && ended.stdout.is_empty() && ended.stderr.contains("8 to 32 hex digits"), "{ended:?}");
}

#[tokio::test]
async fn a_pull_request_is_followed_from_its_title_to_its_card() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let follow = async |number: u64| {
        let url = format!("https://github.com/{REPOSITORY}/pull/{number}");
        verify(&operator, &["--pull-request", &url]).await
    };
    let asked = follow(1).await;
    assert_eq!(asked.of("unproven"), ["pull-request"], "whether it merges is still being asked: {:#?}", asked.checks);
    stack.stream.drain().await;
    let open = follow(1).await;
    open.assert_all_hold();
    assert!(open.check("pull-request")["seen"].as_str().unwrap().contains("moves to done when"), "{:#?}", open.checks);
    stack.github.deliver(&stack.github.merge(REPOSITORY, 1)).await;
    let merged = follow(1).await;
    merged.assert_all_hold();
    assert!(merged.check("pull-request")["seen"].as_str().unwrap().contains("is done, by the merge of"));

    let untagged = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("No tag"));
    stack.github.deliver(&untagged).await;
    follow(untagged.number()).await.assert_only("pull-request", &[], "no_tag", &["[kid: #"]);
    let unknown = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Nobody's [kid: #00000000]"));
    stack.github.deliver(&unknown).await;
    follow(unknown.number()).await.assert_only("pull-request", &[], "no_task", &["00000000"]);
    follow(99).await.assert_only("pull-request", &[], "not_found", &["99"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_a_terminal_and_other_peoples_words_cannot_write_to_it() {
    let stack = healthy().await;
    let mut operator = Operator::new(&stack);
    operator.set("TERM", "xterm-256color");
    let on_a_terminal = |operator: &Operator<'_>| {
        let mut command = operator.command(&binary(CLI), &["verify"]).into_std();
        command.stderr(std::process::Stdio::null());
        terminal::run(command, 160)
    };
    let screen = on_a_terminal(&operator);
    assert!(screen.ends_with("\u{1b}[1m21 checks: 21 ok, 0 failed, 0 skipped\u{1b}[0m\n"), "{screen:?}");
    let piped = operator.cli(&["verify"]).await.stdout;
    assert!(!piped.contains('\u{1b}'), "{piped:?}");
    let ping = stack.github.ping_event();
    stack.github.record_delivery(&ping, 418, "", "\u{1b}[2J\u{202e}I am \r\n a teapot");
    let (succeeded, screen) = operator.converse(&["verify"], &[]).await;
    assert!(!succeeded && screen.contains("\u{1b}[31m✗ deliveries"), "{screen:?}");
    assert!(screen.contains("→ 418: [2J I am a teapot") && !screen.contains("\u{1b}[2J"), "{screen:?}");
    operator.set("NO_COLOR", "1");
    let (_, screen) = operator.converse(&["verify"], &[]).await;
    assert!(screen.contains("✗ deliveries") && !screen.contains('\u{1b}'), "{screen:?}");
}
