//! `configure`: from a deployed stack to an answered ping, and every mistake on the way there.

use fake_github::{AppKey, Selection};
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::{ACCOUNT, APP_SECRET_ID, GENERATED_SECRET, STACK, Stack, WEBHOOK_SECRET_ID};

use crate::harness::operator::Operator;

const ANSWERED: &str = "ping → 200 {\"outcome\":\"pong\"}";

/// A deployed stack, and an App made by hand whose webhook points nowhere yet.
pub async fn deployed() -> Stack {
    let stack = Stack::deployed().await;
    stack.github.set_hook("http://127.0.0.1:9/not-there-yet", "typed into the form");
    stack.github.deliver(&stack.github.ping_event()).await;
    stack
}

/// What the secret's version with this label says.
pub async fn value(stack: &Stack, secret: &str, label: &str) -> Option<Value> {
    let versions = stack.secrets.versions(secret).await;
    let found = versions.into_iter().find(|version| version.stages.iter().any(|stage| stage == label))?;
    Some(serde_json::from_str(&found.value).unwrap())
}

async fn assert_nothing_was_stored(stack: &Stack) {
    assert_eq!(stack.secrets.versions(APP_SECRET_ID).await, []);
    let versions = stack.secrets.versions(WEBHOOK_SECRET_ID).await;
    assert_eq!(versions.len(), 1);
    assert_eq!(value(stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, Some(json!({"webhook_secret": GENERATED_SECRET})));
    assert_eq!(stack.github.hook_config().secret.as_deref(), Some("typed into the form"));
    let alive: Vec<_> = stack.github.minted().into_iter().filter(|minted| !minted.revoked).collect();
    assert_eq!(alive, []);
}

pub fn flags<'a>(app_id: &'a str, pem: &'a str) -> Vec<&'a str> {
    vec!["configure", "--app-id", app_id, "--pem", pem, "--yes"]
}

#[tokio::test]
async fn the_dialogue_of_the_guide_ends_with_an_answered_ping() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("downloads/app.pem", &app.pem);
    let id = app.id.to_string();
    let (succeeded, screen) = operator
        .converse(
            &["configure"],
            &[
                ("App ID:", "konduktor"),
                ("App ID:", &id),
                ("Webhook secret", ""),
                ("Path to PEM file:", "~/downloads/nowhere.pem"),
                ("Path to PEM file:", "gitconfig"),
                ("Path to PEM file:", "~/downloads/app.pem"),
                ("Shall it deliver to", "y"),
            ],
        )
        .await;
    assert!(succeeded, "{screen}");
    let mut rest = screen.as_str();
    for line in [
        "=== GitHub App Setup ===",
        "the App ID is the number near the top",
        "downloads/nowhere.pem: No such file",
        "not a PEM",
        &format!("Key fingerprint: SHA256:{}", app.fingerprint),
        "Discovering installation ID...",
        &format!("Found installation ID: {}", stack.installation),
        "Minted one, and revoked it.",
        ANSWERED,
        "GitHub App configured.",
    ] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is not there, or too early:\n{screen}"));
        rest = &rest[at + line.len()..];
    }
    let stored = value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap();
    let pem = app.pkcs8_pem;
    assert_eq!(
        stored,
        json!({"app_id": app.id, "client_id": app.client_id, "installation_id": stack.installation, "private_key": pem})
    );
    let hook = stack.github.hook_config();
    assert_eq!(hook.url, Some(stack.front.url()));
    assert_eq!(hook.secret.as_deref(), Some(GENERATED_SECRET));
    assert!(stack.github.minted().iter().all(|minted| minted.revoked), "the trial token is revoked");
    assert!(!screen.contains("PRIVATE KEY") && !screen.contains(GENERATED_SECRET), "{screen}");
    let token = stack.lambda.invoke("token", json!({})).await.unwrap();
    assert_eq!(token["installation_id"], stack.installation);
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn a_typed_webhook_secret_is_hidden_stored_and_told_to_github() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let id = app.id.to_string();
    let (succeeded, screen) = operator
        .converse(
            &["configure", "--yes"],
            &[("App ID:", &id), ("Webhook secret", "hunter2hunter2hunter2"), ("Path to PEM file:", "app.pem")],
        )
        .await;
    assert!(succeeded && screen.contains(ANSWERED), "{screen}");
    assert!(!screen.contains("hunter2"), "{screen}");
    let typed = json!({"webhook_secret": "hunter2hunter2hunter2", "installations": [stack.installation]});
    let typed = Some(typed);
    assert_eq!(value(&stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, typed);
    assert_eq!(stack.github.hook_config().secret.as_deref(), Some("hunter2hunter2hunter2"));
}

#[tokio::test]
async fn a_script_gets_json_and_a_second_run_writes_nothing() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let id = app.id.to_string();
    let first = operator.json(&flags(&id, "app.pem")).await;
    assert_eq!(
        first,
        json!({"app_id": app.id, "client_id": app.client_id, "slug": app.slug, "installation_id": stack.installation,
            "fingerprint": format!("SHA256:{}", app.fingerprint), "account": ACCOUNT, "app_secret": "written",
            "webhook": "set", "webhook_url": stack.front.url(),
            "ping": {"status": 200, "answer": "{\"outcome\":\"pong\"}"}})
    );
    let before = (stack.secrets.versions(APP_SECRET_ID).await, stack.secrets.versions(WEBHOOK_SECRET_ID).await);
    let pem = app.pkcs8_pem.replace('\n', "\\n");
    let ended = operator.cli_with(&[&flags(&id, "-")[..], &["--json"]].concat(), &pem).await;
    assert!(ended.ok, "{ended:?}");
    let second: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(second["app_secret"], "unchanged", "the same key in another shape is the same key");
    let after = (stack.secrets.versions(APP_SECRET_ID).await, stack.secrets.versions(WEBHOOK_SECRET_ID).await);
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_self_hosted_set_up_is_taken_over_from_its_files() {
    let stack = deployed().await;
    let mut operator = Operator::new(&stack);
    let app = stack.github.app();
    stack.github.install("elsewhere", Selection::All);
    let set_up = json!({"app_id": app.id.to_string(), "installation_id": stack.installation, "webhook_secret": "from the server"});
    for folder in [".konduktor", "data", "named"] {
        operator.file(&format!("{folder}/github-app.json"), &set_up.to_string());
        operator.file(&format!("{folder}/github-app.pem"), &app.pem);
    }
    let named = operator.json(&["configure", "--from", "named", "--yes"]).await;
    assert_eq!((&named["installation_id"], &named["ping"]["status"]), (&json!(stack.installation), &json!(200)));
    let taken = Some(json!({"webhook_secret": "from the server", "installations": [stack.installation]}));
    assert_eq!(value(&stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, taken);
    assert_eq!(operator.json(&["configure", "--from", "--yes"]).await["app_secret"], "unchanged");
    operator.set("KONDUKTOR_DIR", "data");
    assert_eq!(operator.json(&["configure", "--from", "--yes"]).await["app_secret"], "unchanged");

    operator.file("named/github-app.json", "{\"app_id\": 1, \"webhook_secret\": [\"from the server\"]}");
    let line = operator.refused(&["configure", "--from", "named"]).await;
    assert!(line.contains("named/github-app.json is not what configure-github-app writes"), "{line}");
    assert!(!line.contains("from the server"), "{line}");
    let line = operator.refused(&["configure", "--from", "nowhere"]).await;
    assert!(line.starts_with("nowhere/github-app.json: No such file"), "{line}");
}

#[tokio::test]
async fn of_several_installations_one_is_named_or_chosen() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    let id = app.id.to_string();
    operator.file("app.pem", &app.pem);
    let other = stack.github.install("elsewhere", Selection::only(&[]));
    stack.github.suspend(other);
    let ended = operator.cli(&flags(&id, "app.pem")).await;
    assert!(!ended.ok && ended.stderr.contains("Multiple installations found"), "{ended:?}");
    assert!(ended.stderr.contains("--installation-id"), "{ended:?}");
    for text in [&stack.installation.to_string(), &other.to_string(), ACCOUNT, "elsewhere", "all", "selected"] {
        assert!(ended.stdout.contains(text), "{text} {ended:?}");
    }
    assert_nothing_was_stored(&stack).await;

    let line = operator.refused(&[&flags(&id, "app.pem")[..], &["--installation-id", "1"]].concat()).await;
    assert!(line.starts_with("the App has no installation 1: "), "{line}");
    let suspended = other.to_string();
    let line = operator.refused(&[&flags(&id, "app.pem")[..], &["--installation-id", &suspended]].concat()).await;
    assert!(line.starts_with(&format!("the installation {other} is suspended")), "{line}");
    assert_nothing_was_stored(&stack).await;

    let wanted = stack.installation.to_string();
    let (succeeded, screen) = operator.converse(&flags(&id, "app.pem"), &[("Installation ID:", &wanted)]).await;
    assert!(succeeded && screen.contains(&format!("Found installation ID: {wanted}")), "{screen}");
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap()["installation_id"], stack.installation);
}

#[tokio::test]
async fn every_page_of_installations_is_read() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let install = |number: u32| stack.github.install(&format!("account-{number}"), Selection::All);
    let last = (0..130).map(install).fold(0, |_, id| id);
    let (id, last) = (app.id.to_string(), last.to_string());
    let done = operator.json(&[&flags(&id, "app.pem")[..], &["--installation-id", &last]].concat()).await;
    assert_eq!(done["account"], "account-129");
}

#[tokio::test]
async fn what_is_no_private_key_is_named_before_anything_is_asked() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    // Not the key: that is taken under whatever label it stands.
    let block = |label: &str| format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", "AAAA".repeat(300));
    let half = app.pem.lines().take(12).collect::<Vec<_>>().join("\n");
    for (text, words) in [
        (half, "truncated"),
        (block("PUBLIC KEY"), "public key"),
        (block("CERTIFICATE"), "certificate"),
        (block("OPENSSH PRIVATE KEY"), "SSH key"),
        (block("ENCRYPTED PRIVATE KEY"), "encrypted"),
        ("hunter2".to_owned(), "not a PEM"),
        (app.pem.replace('M', "N"), "damaged"),
        ("x".repeat(70_000), "65536"),
    ] {
        operator.file("app.pem", &text);
        let line = operator.refused(&flags("1", "app.pem")).await;
        assert!(line.contains(words), "{words}: {line}");
    }
    let line = operator.refused(&flags("1", "nowhere.pem")).await;
    assert!(line.starts_with("nowhere.pem: No such file"), "{line}");
    assert_eq!(stack.github.requests().len(), 0);
    assert_eq!(stack.cloudformation.calls().len(), 0);
    assert_nothing_was_stored(&stack).await;
}

#[tokio::test]
async fn a_wrong_app_id_and_a_wrong_key_are_told_apart_as_far_as_github_does() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    operator.file("another.pem", &AppKey::second().pem);
    let id = app.id.to_string();
    for (id, pem, fingerprint) in
        [("1", "app.pem", &app.fingerprint), (&id, "another.pem", &AppKey::second().fingerprint)]
    {
        let line = operator.refused(&flags(id, pem)).await;
        assert!(line.starts_with(&format!("GitHub does not accept this key for the App {id}: ")), "{line}");
        assert!(line.contains(fingerprint), "the operator can compare it with the settings: {line}");
    }
    assert_nothing_was_stored(&stack).await;
    let ended = operator.cli(&flags("konduktor", "app.pem")).await;
    assert!(!ended.ok && ended.stderr.contains("the App ID is the number"), "{ended:?}");
    assert_eq!(operator.json(&flags(&app.client_id, "app.pem")).await["app_id"], app.id, "the client id does as well");
}

#[tokio::test]
async fn a_key_that_is_seconds_old_is_waited_for() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    stack.github.remove_key(AppKey::first());
    let id = app.id.to_string();
    let arguments = flags(&id, "app.pem");
    let later = async {
        while stack.github.count("GET /app") == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        stack.github.add_key(AppKey::first());
    };
    let (ended, ()) = tokio::join!(operator.cli(&arguments), later);
    assert!(ended.ok && ended.stdout.contains("GitHub does not know the key yet"), "{ended:?}");
    assert!(ended.stdout.ends_with("GitHub App configured.\n"), "{ended:?}");
}

#[tokio::test]
async fn clocks_that_differ_are_measured_and_allowed_for() {
    for (skew, words) in [(-400, "400 s ahead of GitHub's"), (800, "800 s behind GitHub's")] {
        let stack = deployed().await;
        let operator = Operator::new(&stack);
        let app = stack.github.app();
        operator.file("app.pem", &app.pem);
        stack.github.set_clock_skew(skew);
        let ended = operator.cli(&flags(&app.id.to_string(), "app.pem")).await;
        assert!(ended.ok, "{ended:?}");
        let near = |line: &str| {
            // A second may pass between the two readings.
            let seconds: i64 = words.split(' ').next().unwrap().parse().unwrap();
            (-2..=2).any(|off| line.contains(&words.replacen(&seconds.to_string(), &(seconds + off).to_string(), 1)))
        };
        assert!(ended.stdout.lines().any(near), "{ended:?}");
    }
}

#[tokio::test]
async fn an_app_that_lacks_what_is_needed_is_told_what() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let id = app.id.to_string();
    stack.github.set_permissions(&[("metadata", "read"), ("pull_requests", "read")]);
    stack.github.set_events(&[]);
    let line = operator.refused(&flags(&id, "app.pem")).await;
    for words in ["contents: read", "pull_requests: write", "the event pull_request", "/permissions"] {
        assert!(line.contains(words), "{words}: {line}");
    }
    assert!(!line.contains("metadata"), "{line}");
    assert_nothing_was_stored(&stack).await;

    // The App asks for enough by now; the account's owner has not accepted.
    stack.github.accept_permissions(stack.installation);
    stack.github.set_permissions(&[("contents", "read"), ("metadata", "read"), ("pull_requests", "write")]);
    stack.github.set_events(&["pull_request"]);
    let line = operator.refused(&flags(&id, "app.pem")).await;
    assert!(line.starts_with("acme has not granted the permission contents: read"), "{line}");
    assert!(line.contains(&format!("/settings/installations/{}", stack.installation)), "{line}");
    assert_nothing_was_stored(&stack).await;
}

#[tokio::test]
async fn an_app_that_is_not_installed_gets_the_link() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    stack.github.uninstall(stack.installation);
    let line = operator.refused(&flags(&app.id.to_string(), "app.pem")).await;
    assert!(line.starts_with("No installations found"), "{line}");
    assert!(line.contains("https://github.com/apps/konduktor-fake/installations/new"), "{line}");
    assert_nothing_was_stored(&stack).await;
}

#[tokio::test]
async fn whatever_aws_refuses_is_named_and_nothing_is_half_done() {
    let stack = deployed().await;
    let mut operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let id = app.id.to_string();
    let run = flags(&id, "app.pem");
    stack.cloudformation.fail(Rule::new(Fault::AccessDenied));
    let line = operator.refused(&run).await;
    assert!(line.contains("stack konduktor-github-app") && line.contains("cloudformation:DescribeStacks"), "{line}");
    stack.cloudformation.clear_faults();
    for operation in ["GetSecretValue", "PutSecretValue"] {
        stack.secrets.fail(Rule::new(Fault::AccessDenied).operation(operation));
        let line = operator.refused(&run).await;
        assert!(line.contains("konduktor/") && line.contains(&format!("secretsmanager:{operation}")), "{line}");
        assert_nothing_was_stored(&stack).await;
        stack.secrets.clear_faults();
    }
    for (service, name) in [(&*stack.cloudformation, "CloudFormation"), (&*stack.secrets, "Secrets Manager")] {
        service.set_unreachable(true);
        let line = operator.refused(&run).await;
        assert!(line.starts_with(&format!("{name} in eu-west-1 does not answer")), "{line}");
        service.set_unreachable(false);
    }
    let line = operator.refused(&[&run[..], &["--stack", "nobody-deployed-this"]].concat()).await;
    assert!(
        line.starts_with("there is no stack nobody-deployed-this in eu-west-1: deploy it with `make deploy`"),
        "{line}"
    );
    let mut half = stack.cloudformation.get(STACK);
    half.outputs.clear();
    half.status = "CREATE_IN_PROGRESS".to_owned();
    stack.cloudformation.put("nobody-finished-this", half);
    let line = operator.refused(&[&run[..], &["--stack", "nobody-finished-this"]].concat()).await;
    assert!(line.starts_with("the stack nobody-finished-this is in CREATE_IN_PROGRESS and has no output"), "{line}");
    operator.set("AWS_REGION", "");
    let line = operator.refused(&run).await;
    assert!(line.starts_with("no AWS region"), "{line}");
    assert_nothing_was_stored(&stack).await;
}

#[tokio::test]
async fn a_webhook_url_that_can_be_overheard_and_a_github_that_is_not_there_are_refused() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let id = app.id.to_string();
    let with = |flag, value| [&flags(&id, "app.pem")[..], &[flag, value]].concat();
    let line = operator.refused(&with("--webhook-url", "http://hooks.example.com/api/webhooks/github")).await;
    assert!(line.starts_with("the webhook URL cannot be used") && line.ends_with("must begin with https://"), "{line}");
    let line = operator.refused(&with("--github-api-url", "http://github.example.com")).await;
    assert!(line.contains("must begin with https://"), "{line}");
    let line = operator.refused(&with("--github-api-url", "http://127.0.0.1:9")).await;
    assert!(line.starts_with("GitHub at http://127.0.0.1:9 does not answer"), "{line}");
    assert_nothing_was_stored(&stack).await;
}

#[tokio::test]
async fn an_app_or_a_webhook_in_use_is_replaced_on_purpose_only() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    let mut other = stack::app_secret(&stack.github, stack.installation);
    other["app_id"] = json!(7);
    stack.secrets.put(APP_SECRET_ID, &other).await;
    operator.file("app.pem", &app.pem);
    let id = app.id.to_string();
    let quiet: Vec<&str> = flags(&id, "app.pem").into_iter().filter(|flag| *flag != "--yes").collect();
    let line = operator.refused(&quiet).await;
    assert!(line.starts_with("The stack serves the App 7.") && line.contains("--yes"), "{line}");
    let (succeeded, screen) = operator.converse(&quiet, &[("take its place? [y/N]", "n")]).await;
    assert!(!succeeded && screen.contains("nothing was changed"), "{screen}");
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await, Some(other));

    stack.github.set_hook("https://elsewhere.example/hook", "theirs");
    stack.secrets.put(APP_SECRET_ID, &stack::app_secret(&stack.github, stack.installation)).await;
    let line = operator.refused(&quiet).await;
    assert!(line.starts_with("GitHub delivers to https://elsewhere.example/hook."), "{line}");
    let ended = operator.cli(&[&quiet[..], &["--no-webhook"]].concat()).await;
    assert!(ended.ok, "{ended:?}");
    assert_eq!(stack.github.hook_config().url.as_deref(), Some("https://elsewhere.example/hook"));
}

#[tokio::test]
async fn nobody_at_the_terminal_is_asked_nothing() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let line = operator.refused(&["configure"]).await;
    assert!(line.contains("--app-id") && line.contains("--pem"), "{line}");
}

#[tokio::test]
async fn who_has_no_stack_is_told_before_typing_anything() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let (succeeded, screen) = operator.converse(&["configure", "--stack", "nobody-deployed-this"], &[]).await;
    assert!(!succeeded && screen.contains("there is no stack nobody-deployed-this"), "{screen}");
    assert!(!screen.contains("App ID:"), "{screen}");
}

#[tokio::test]
async fn another_account_than_the_last_time_is_asked_about() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    operator.file("app.pem", &stack.github.app().pem);
    let id = stack.github.app().id.to_string();
    let arguments = ["configure", "--app-id", &id, "--pem", "app.pem"];
    let ended = operator.cli(&[&arguments[..], &["--yes"]].concat()).await;
    assert!(ended.ok && ended.stdout.contains("Stack konduktor-github-app in the AWS account "), "{ended:?}");
    operator.file(".local/state/konduktor-github-app/last-account", "999999999999\n");
    let line = operator.refused(&arguments).await;
    assert!(line.starts_with("The last time it was the account 999999999999. Go on in "), "{line}");
    assert!(operator.cli(&[&arguments[..], &["--yes"]].concat()).await.ok);
    assert!(operator.cli(&arguments).await.ok, "it is the last one now");
}
