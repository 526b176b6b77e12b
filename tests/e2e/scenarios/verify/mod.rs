//! `verify`: a stack where everything holds, and each thing that may not, broken by itself.

mod app;
mod clone;
mod deliveries;
mod pull_request;
mod resources;

use std::collections::BTreeSet;

use fake_github::NewPullRequest;
use local_aws::lambda::binary;
use serde_json::{Value, json};
use stack::{ACCOUNT, APP_SECRET_ID, OPERATOR, REPOSITORY, STACK, Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID};

use crate::harness::agent::CLI;
use crate::harness::operator::Operator;
use crate::harness::terminal;

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
