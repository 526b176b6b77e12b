//! `configure --rotate`: new secrets while deliveries arrive and tokens are minted, and interruptions anywhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fake_github::{self as github, AppKey, FaultKind};
use local_aws::lambda::binary;
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::{APP_SECRET_ID, Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID, app_secret};
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::harness::agent::{CLI, Ended};
use crate::harness::operator::Operator;
use crate::scenarios::configure::{deployed, flags, value};

const ROTATE_SECRET: [&str; 3] = ["configure", "--rotate", "webhook-secret"];
const ROTATE_KEY: [&str; 5] = ["configure", "--rotate", "key", "--pem", "new.pem"];
const ROTATE_BACK: [&str; 5] = ["configure", "--rotate", "key", "--pem", "old.pem"];
const RETIRE_SECRET: [&str; 4] = ["configure", "--rotate", "webhook-secret", "--retire-previous"];
const RETIRE_KEY: [&str; 4] = ["configure", "--rotate", "key", "--retire-previous"];

/// A ping that is signed with this secret.
fn signed_with(stack: &Stack, secret: &str) -> reqwest::RequestBuilder {
    let body = stack.github.ping_event().payload.to_string();
    let request = stack.http.post(stack.front.url()).header("x-github-event", "ping");
    let request = request.header("x-hub-signature-256", github::sign(secret.as_bytes(), body.as_bytes()));
    request.body(body)
}

/// What the webhook answers to it.
async fn answered(request: reqwest::RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

async fn secret_in(stack: &Stack, label: &str) -> String {
    value(stack, WEBHOOK_SECRET_ID, label).await.unwrap()["webhook_secret"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_webhook_secret_is_rotated_by_two_operators_in_turn_without_a_refused_delivery() {
    let stack = Stack::start().await;
    let (operator, other) = (Operator::new(&stack), Operator::new(&stack));
    stack.lambda.set_concurrency("webhook", 3);
    let ping = stack.github.ping_event();
    assert_eq!(stack.github.deliver(&ping).await.status, 200);
    // Forged ones come in all the time. After one an environment looks for a new secret, and then not for 30 s.
    let forged = signed_with(&stack, "somebody else's");
    assert_eq!(answered(forged.try_clone().unwrap()).await, 401);
    let done = Arc::new(AtomicBool::new(false));
    let deliveries = {
        let (github, done, ping) = (stack.github.clone(), Arc::clone(&done), ping.clone());
        tokio::spawn(async move {
            let mut answers = Vec::new();
            while !done.load(Ordering::SeqCst) {
                // Two at once, so that more than one environment has to learn of it.
                let pair = tokio::join!(github.deliver(&ping), github.deliver(&ping));
                answers.extend([pair.0.status, pair.1.status]);
                assert_eq!(answered(forged.try_clone().unwrap()).await, 401);
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            answers
        })
    };
    let both = [operator.cli(&ROTATE_SECRET).await, other.cli(&ROTATE_SECRET).await];
    let between = secret_in(&stack, "AWSCURRENT").await;
    assert_eq!(stack.github.hook_config().secret.as_deref(), Some(between.as_str()), "{both:?}");
    let ended = operator.cli(&ROTATE_SECRET).await;
    assert_eq!(stack.github.deliver(&ping).await.status, 200);
    done.store(true, Ordering::SeqCst);
    let answers = deliveries.await.unwrap();
    assert!(ended.ok && ended.stdout.contains("ping → 200"), "{ended:?}");
    assert!(!answers.is_empty() && answers.iter().all(|status| *status == 200), "{answers:?}");

    let fresh = secret_in(&stack, "AWSCURRENT").await;
    assert_eq!(secret_in(&stack, "AWSPREVIOUS").await, between);
    assert_eq!(stack.github.hook_config().secret.as_deref(), Some(fresh.as_str()));
    assert!(fresh.len() == 64 && fresh.bytes().all(|byte| byte.is_ascii_hexdigit()), "as `openssl rand -hex 32`");
    assert!(!ended.stdout.contains(&fresh) && !ended.stderr.contains(&fresh), "{ended:?}");

    let retired = operator.json(&RETIRE_SECRET).await;
    assert_eq!(retired, json!({"retired": true}));
    stack.lambda.kill_environments("webhook");
    assert_eq!(answered(signed_with(&stack, &fresh)).await, 200);
    for old in [&between, WEBHOOK_SECRET] {
        assert_eq!(answered(signed_with(&stack, old)).await, 401, "the old one is out of service");
    }
    assert_eq!(operator.json(&RETIRE_SECRET).await, json!({"retired": false}));
    stack.github.assert_nothing_unexpected();
}

/// Runs a command until it says this, and kills it then, as a closed laptop does.
async fn killed_at(operator: &Operator<'_>, arguments: &[&str], words: &str) {
    let mut command = operator.command(&binary(CLI), arguments);
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains(words) {
            child.kill().await.unwrap();
            return;
        }
    }
    panic!("{words:?} was never said");
}

#[tokio::test]
async fn a_rotation_whose_version_was_replaced_while_it_waited_is_not_told_to_github() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    let before = stack.github.hook_config().secret;
    let mut rotation = operator.start(&ROTATE_SECRET);
    rotation.shows("Waiting 35 s").await;
    for secret in ["theirs", "theirs again"] {
        let value = json!({"webhook_secret": secret, "installations": [stack.installation]});
        stack.secrets.put(WEBHOOK_SECRET_ID, &value).await;
    }
    let ended = rotation.ends().await;
    let told = format!("somebody else changed the secret {WEBHOOK_SECRET_ID} at the same time");
    assert!(!ended.ok && ended.stderr.contains(&told), "{ended:?}");
    assert_eq!(stack.github.hook_config().secret, before, "GitHub was told nothing");
}

#[tokio::test]
async fn a_rotation_that_was_interrupted_is_finished_and_pushes_nothing_out_of_service() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    operator.file("mine", "a secret of my own choice\n");
    killed_at(&operator, &ROTATE_SECRET, "Waiting 35 s").await;
    let fresh = secret_in(&stack, "AWSCURRENT").await;
    assert_ne!(fresh, WEBHOOK_SECRET);
    assert_eq!(stack.github.deliver(&stack.github.ping_event()).await.status, 200, "GitHub signs with the old one");

    let line = operator.refused(&RETIRE_SECRET).await;
    assert!(line.starts_with("GitHub still signs with the previous webhook secret"), "{line}");
    operator.file("app.pem", &stack.github.app().pem);
    let id = stack.github.app().id.to_string();
    for begin in [ROTATE_SECRET.to_vec(), flags(&id, "app.pem")] {
        let line = operator.refused(&[&begin[..], &["--webhook-secret-file", "mine"]].concat()).await;
        assert!(line.starts_with("an earlier rotation has not reached GitHub yet"), "{line}");
    }
    assert_eq!(secret_in(&stack, "AWSPREVIOUS").await, WEBHOOK_SECRET, "what GitHub signs with is in service");

    let ended = operator.cli(&ROTATE_SECRET).await;
    assert!(ended.ok && ended.stdout.contains("Finishing the rotation"), "{ended:?}");
    assert_eq!(secret_in(&stack, "AWSCURRENT").await, fresh, "no third secret");
    assert_eq!(stack.github.hook_config().secret, Some(fresh));
    assert_eq!(secret_in(&stack, "AWSPREVIOUS").await, WEBHOOK_SECRET);
}

#[tokio::test]
async fn a_secret_of_ones_own_is_handed_over_with_the_same_care() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    operator.file("mine", "a secret of my own choice\n");
    operator.file("app.pem", &stack.github.app().pem);
    let before = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [stack.installation]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &before).await;
    let id = stack.github.app().id.to_string();
    let ended = operator.cli(&[&flags(&id, "app.pem")[..], &["--webhook-secret-file", "mine"]].concat()).await;
    assert!(ended.ok && ended.stdout.contains("Waiting 35 s"), "GitHub delivers here already: {ended:?}");
    let after = json!({"webhook_secret": "a secret of my own choice", "installations": [stack.installation]});
    assert_eq!(value(&stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, Some(after), "the rest of it is kept");
    for bad in ["", "two\nlines"] {
        operator.file("mine", bad);
        let line = operator.refused(&[&ROTATE_SECRET[..], &["--webhook-secret-file", "mine"]].concat()).await;
        assert!(line.starts_with("a webhook secret is one line of text"), "{line}");
    }
}

#[tokio::test]
async fn a_key_is_rotated_twice_while_tokens_are_minted() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    operator.file("new.pem", &AppKey::second().pem);
    let line = operator.refused(&ROTATE_KEY).await;
    assert!(line.contains("does not accept this key") && line.contains(&AppKey::second().fingerprint), "{line}");
    let before = app_secret(&stack.github, stack.installation);
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await, Some(before.clone()), "nothing was stored");

    stack.github.add_key(AppKey::second());
    let mint = |repository: String| {
        stack.github.create_repository(&format!("acme/{repository}"), true);
        stack.lambda.invoke("token", json!({"repositories": [repository]}))
    };
    mint("before".to_owned()).await.unwrap();
    let other = Operator::new(&stack);
    other.file("new.pem", &AppKey::second().pem);
    operator.file("old.pem", &AppKey::first().pem);
    let done = AtomicBool::new(false);
    let rotations = async {
        for ended in [other.cli(&ROTATE_KEY).await, operator.cli(&ROTATE_BACK).await] {
            assert!(ended.ok && ended.stdout.contains("Key rotated"), "{ended:?}");
        }
        done.store(true, Ordering::SeqCst);
    };
    let minting = async {
        let mut number = 0;
        while !done.load(Ordering::SeqCst) || number < 20 {
            mint(format!("during-{number}")).await.unwrap();
            number += 1;
        }
    };
    tokio::join!(rotations, minting);
    for (label, key) in [("AWSCURRENT", AppKey::first()), ("AWSPREVIOUS", AppKey::second())] {
        let stored = value(&stack, APP_SECRET_ID, label).await.unwrap();
        assert_eq!(stored["private_key"], key.pkcs8_pem, "{label}");
        assert_eq!(stored["installation_id"], before["installation_id"]);
    }

    stack.github.remove_key(AppKey::second());
    mint("after".to_owned()).await.unwrap();
    assert_eq!(operator.json(&RETIRE_KEY).await, json!({"retired": true}));
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSPREVIOUS").await, None);
    stack.lambda.kill_environments("token");
    mint("retired".to_owned()).await.unwrap();
}

/// Two commands that change the same secret begin in the same moment, and the first label that one of them moves is slow.
async fn at_once(stack: &Stack, operators: [&Operator<'_>; 2], arguments: [&[&str]; 2]) -> [Ended; 2] {
    let slow = Fault::Delay(Duration::from_millis(300));
    stack.secrets.fail(Rule::new(slow).operation("UpdateSecretVersionStage").times(1));
    let ([first, second], [one, other]) = (operators, arguments);
    tokio::join!(first.cli(one), second.cli(other)).into()
}

/// One at least has stored his, and who has not is told why.
fn assert_told(ended: &[Ended; 2], secret: &str) {
    let outrun = format!("somebody else changed the secret {secret} at the same time");
    assert!(ended.iter().any(|ended| ended.ok), "{ended:?}");
    assert!(ended.iter().all(|ended| ended.ok || ended.stderr.contains(&outrun)), "{ended:?}");
}

async fn assert_nothing_pending(stack: &Stack, secret: &str) {
    let labels = stack.secrets.versions(secret).await.into_iter().flat_map(|version| version.stages);
    assert!(labels.into_iter().all(|label| label != "AWSPENDING"));
}

#[tokio::test]
async fn two_operators_rotate_the_key_in_the_same_moment_and_no_token_request_fails() {
    let stack = Stack::start().await;
    let operators = [Operator::new(&stack), Operator::new(&stack)];
    let keys = [AppKey::first(), AppKey::second(), AppKey::third()];
    for key in &keys[1..] {
        stack.github.add_key(key);
    }
    let done = AtomicBool::new(false);
    let rotations = async {
        for _ in 0..6 {
            let current = value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap();
            let live = |key: &&&AppKey| [&key.pem, &key.pkcs8_pem].iter().any(|pem| current["private_key"] == **pem);
            let fresh: Vec<_> = keys.iter().filter(|key| !live(key)).collect();
            for (operator, key) in operators.iter().zip(&fresh) {
                operator.file("new.pem", &key.pem);
            }
            let ended = at_once(&stack, operators.each_ref(), [&ROTATE_KEY; 2]).await;
            assert_told(&ended, APP_SECRET_ID);
            let stored = value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap();
            let of_whom = ended.iter().zip(&fresh).find(|(_, key)| stored["private_key"] == key.pkcs8_pem);
            assert!(of_whom.is_some_and(|(ended, _)| ended.ok), "{ended:?}");
            assert_nothing_pending(&stack, APP_SECRET_ID).await;
        }
        done.store(true, Ordering::SeqCst);
    };
    let minting = async {
        let mut number = 0;
        while !done.load(Ordering::SeqCst) || number < 10 {
            stack.github.create_repository(&format!("acme/during-{number}"), true);
            let asked = json!({"repositories": [format!("during-{number}")]});
            stack.lambda.invoke("token", asked).await.unwrap();
            number += 1;
        }
    };
    tokio::join!(rotations, minting);
}

#[tokio::test]
async fn two_operators_rotate_the_webhook_secret_in_the_same_moment_and_no_delivery_is_refused() {
    let stack = Stack::start().await;
    let operators = [Operator::new(&stack), Operator::new(&stack)];
    stack.lambda.set_concurrency("webhook", 3);
    let ping = stack.github.ping_event();
    let done = AtomicBool::new(false);
    let rotations = async {
        let ended = at_once(&stack, operators.each_ref(), [&ROTATE_SECRET; 2]).await;
        done.store(true, Ordering::SeqCst);
        ended
    };
    let deliveries = async {
        let mut answers = Vec::new();
        while !done.load(Ordering::SeqCst) || answers.len() < 20 {
            let pair = tokio::join!(stack.github.deliver(&ping), stack.github.deliver(&ping));
            answers.extend([pair.0.status, pair.1.status]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        answers
    };
    let (ended, answers) = tokio::join!(rotations, deliveries);
    assert_told(&ended, WEBHOOK_SECRET_ID);
    assert!(!answers.is_empty() && answers.iter().all(|status| *status == 200), "{answers:?}");
    let current = secret_in(&stack, "AWSCURRENT").await;
    assert_eq!(stack.github.hook_config().secret, Some(current), "{ended:?}");
    assert_nothing_pending(&stack, WEBHOOK_SECRET_ID).await;
}

#[tokio::test]
async fn the_previous_key_stays_while_the_current_one_does_not_work() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    let mut broken = app_secret(&stack.github, stack.installation);
    broken["private_key"] = json!(AppKey::second().pem);
    stack.secrets.put(APP_SECRET_ID, &broken).await;
    let line = operator.refused(&RETIRE_KEY).await;
    assert!(line.contains("does not accept this key"), "{line}");
    assert!(value(&stack, APP_SECRET_ID, "AWSPREVIOUS").await.is_some());
}

/// Changes a secret just before a command moves a label of it, and gives what the command says then.
async fn outrun(
    stack: &Stack,
    operator: &Operator<'_>,
    arguments: &[&str],
    secret: &str,
    value: &serde_json::Value,
) -> String {
    stack.secrets.clear_calls();
    let late = Fault::Delay(std::time::Duration::from_secs(3));
    stack.secrets.fail(Rule::new(late).operation("UpdateSecretVersionStage").times(1));
    let outrunning = async {
        while !stack.secrets.calls().iter().any(|call| call.operation == "UpdateSecretVersionStage") {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        stack.secrets.put(secret, value).await;
    };
    tokio::join!(operator.refused(arguments), outrunning).0
}

#[tokio::test]
async fn of_two_operators_at_once_one_is_told_and_what_the_other_stored_stays() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    stack.github.add_key(AppKey::second());
    operator.file("new.pem", &AppKey::second().pem);
    operator.file("mine", "a secret of my own choice");
    let told = |secret: &str| format!("somebody else changed the secret {secret} at the same time");
    let theirs = app_secret(&stack.github, stack.installation);
    let mut theirs_again = theirs.clone();
    theirs_again["client_id"] = json!("Iv1.theirs");

    let line = outrun(&stack, &operator, &ROTATE_KEY, APP_SECRET_ID, &theirs_again).await;
    assert!(line.starts_with(&told(APP_SECRET_ID)), "{line}");
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await, Some(theirs_again));
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSPREVIOUS").await, Some(theirs.clone()));
    assert_nothing_pending(&stack, APP_SECRET_ID).await;
    let line = outrun(&stack, &operator, &RETIRE_KEY, APP_SECRET_ID, &theirs).await;
    assert!(line.starts_with(&told(APP_SECRET_ID)), "{line}");
    assert!(value(&stack, APP_SECRET_ID, "AWSPREVIOUS").await.is_some(), "theirs is in service");

    let theirs = json!({"webhook_secret": "theirs", "installations": [stack.installation]});
    let mine = [&ROTATE_SECRET[..], &["--webhook-secret-file", "mine"]].concat();
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET})).await;
    // The first label that moves says what GitHub signs with.
    let id = stack.github.app().id.to_string();
    operator.file("app.pem", &stack.github.app().pem);
    assert!(operator.cli(&flags(&id, "app.pem")).await.ok);
    let line = outrun(&stack, &operator, &mine, WEBHOOK_SECRET_ID, &theirs).await;
    assert!(line.starts_with(&told(WEBHOOK_SECRET_ID)), "{line}");
    assert_eq!(value(&stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, Some(theirs));
    assert_ne!(
        stack.github.hook_config().secret.as_deref(),
        Some("a secret of my own choice"),
        "GitHub was told nothing"
    );
}

#[tokio::test]
async fn a_label_that_was_moved_without_an_answer_is_moved_by_this_run() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    stack.github.add_key(AppKey::second());
    operator.file("new.pem", &AppKey::second().pem);
    for (arguments, said) in [(&ROTATE_KEY[..], "Key rotated"), (&RETIRE_KEY, "")] {
        // Every try of the SDK's.
        stack.secrets.fail(Rule::new(Fault::AnswerLost).operation("UpdateSecretVersionStage").times(3));
        let ended = operator.cli(arguments).await;
        assert!(ended.ok && ended.stdout.contains(said), "{ended:?}");
    }
    let current = value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap();
    assert_eq!(current["private_key"], AppKey::second().pkcs8_pem);
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSPREVIOUS").await, None);
}

#[tokio::test]
async fn what_the_loser_is_told_of_one_secret_is_true_of_the_other() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    operator.file("app.pem", &stack.github.app().pem);
    let id = stack.github.app().id.to_string();
    let theirs = json!({"webhook_secret": "theirs"});
    let line = outrun(&stack, &operator, &flags(&id, "app.pem"), WEBHOOK_SECRET_ID, &theirs).await;
    let told =
        format!("somebody else changed the secret {WEBHOOK_SECRET_ID} at the same time: their version is in use, and ");
    assert!(line.starts_with(&told) && line.contains("nothing of this run is in it"), "{line}");
    assert_eq!(value(&stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, Some(theirs));
    assert!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await.is_some(), "the App's key was stored before");
}

#[tokio::test]
async fn a_run_that_begins_meanwhile_does_not_end_one_whose_value_is_in_service() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    stack.github.add_key(AppKey::second());
    operator.file("new.pem", &AppKey::second().pem);
    // The first label that moves is AWSCURRENT, the second AWSPENDING, which is taken off.
    let late = Fault::Delay(Duration::from_secs(3));
    stack.secrets.fail(Rule::new(late).operation("UpdateSecretVersionStage").after(1).times(1));
    let begins = async {
        let moves = || stack.secrets.calls().iter().filter(|call| call.operation == "UpdateSecretVersionStage").count();
        while moves() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let client = stack.secrets.sdk("ASIAOTHER");
        let put = client.put_secret_value().secret_id(APP_SECRET_ID).secret_string("theirs, not checked yet");
        put.version_stages("AWSPENDING").send().await.unwrap();
    };
    let (ended, ()) = tokio::join!(operator.cli(&ROTATE_KEY), begins);
    assert!(ended.ok && ended.stdout.contains("Key rotated"), "{ended:?}");
    let current = value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap();
    assert_eq!(current["private_key"], AppKey::second().pkcs8_pem);
    let labels = stack.secrets.versions(APP_SECRET_ID).await.into_iter().flat_map(|version| version.stages);
    assert!(labels.into_iter().any(|label| label == "AWSPENDING"), "theirs stays");
}

#[tokio::test]
async fn a_rotation_to_the_webhook_secret_in_service_is_refused() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    operator.file("mine", &format!("{WEBHOOK_SECRET}\u{200b}\n"));
    let line = operator.refused(&[&ROTATE_SECRET[..], &["--webhook-secret-file", "mine"]].concat()).await;
    assert!(line.starts_with("this is the webhook secret that is in service"), "{line}");
    assert_eq!(stack.secrets.versions(WEBHOOK_SECRET_ID).await.len(), 1);
}

#[tokio::test]
async fn a_rotation_to_the_key_in_service_is_refused() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    // Another shape of the same key.
    operator.file("new.pem", &stack.github.app().pkcs8_pem);
    let line = operator.refused(&ROTATE_KEY).await;
    assert!(line.starts_with("this is the key that is in service") && line.contains("do not delete"), "{line}");
    assert_eq!(stack.secrets.versions(APP_SECRET_ID).await.len(), 1);
}

#[tokio::test]
async fn what_does_not_go_together_or_is_not_there_is_said() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    operator.file("new.pem", &stack.github.app().pem);
    for (arguments, words) in [
        (&["configure", "--rotate", "key"][..], "name the file with --pem"),
        (
            &["configure", "--rotate", "key", "--pem", "new.pem", "--webhook-secret-file", "x"],
            "--rotate webhook-secret",
        ),
        (&["configure", "--rotate", "webhook-secret", "--pem", "new.pem"], "--rotate key"),
        (&ROTATE_SECRET, "is not configured, it is empty: run `konduktor-github-app configure`"),
        (&ROTATE_KEY, "is not configured, it is empty: run `konduktor-github-app configure`"),
        (&RETIRE_KEY, "is not configured, it is empty: run `konduktor-github-app configure`"),
    ] {
        let line = operator.refused(arguments).await;
        assert!(line.contains(words), "{words}: {line}");
    }
    for arguments in [&["configure", "--retire-previous"][..], &["configure", "--rotate", "key", "--app-id", "1"]] {
        let ended = operator.cli(arguments).await;
        assert!(!ended.ok && ended.stderr.contains("Usage"), "{ended:?}");
    }
}

/// Everything that a function would read now is whole: empty, or a value with which it works.
async fn assert_nothing_half_done_is_served(stack: &Stack, complete: &Value) {
    let app = value(stack, APP_SECRET_ID, "AWSCURRENT").await;
    assert!(app.is_none() || app.as_ref() == Some(complete), "{app:?}");
    let secret = value(stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await.unwrap();
    assert!(secret["webhook_secret"].is_string(), "{secret}");
    let alive: Vec<_> = stack.github.minted().into_iter().filter(|minted| !minted.revoked).collect();
    assert_eq!(alive, [], "no token is left over");
}

#[tokio::test]
async fn configure_is_interrupted_at_every_call_and_run_again() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    operator.file("mine", "a secret of my own choice");
    let mut complete = app_secret(&stack.github, stack.installation);
    complete["private_key"] = json!(app.pkcs8_pem);
    let id = app.id.to_string();
    let run = [&flags(&id, "app.pem")[..], &["--webhook-secret-file", "mine"]].concat();
    let mut interrupted = 0;
    for call in 0.. {
        stack.secrets.fail(Rule::new(Fault::AccessDenied).after(call));
        let ended = operator.cli(&run).await;
        stack.secrets.clear_faults();
        assert_nothing_half_done_is_served(&stack, &complete).await;
        if ended.ok {
            break;
        }
        interrupted = call;
    }
    assert!(interrupted > 5, "the interruptions reached the calls that write: {interrupted}");
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await, Some(complete));
    assert_eq!(secret_in(&stack, "AWSCURRENT").await, "a secret of my own choice");
    assert_eq!(stack.github.hook_config().secret.as_deref(), Some("a secret of my own choice"));
    let labels: Vec<String> =
        stack.secrets.versions(APP_SECRET_ID).await.into_iter().flat_map(|version| version.stages).collect();
    assert_eq!(labels, ["AWSCURRENT"], "nothing is pending");
}

#[tokio::test]
async fn configure_is_cut_off_from_github_anywhere_and_run_again() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let app = stack.github.app();
    operator.file("app.pem", &app.pem);
    let mut complete = app_secret(&stack.github, stack.installation);
    complete["private_key"] = json!(app.pkcs8_pem);
    let id = app.id.to_string();
    for path in ["/app", "/app/installations", "/access_tokens", "/app/hook/config", "/attempts"] {
        stack.github.fault(github::Fault::always(path, FaultKind::DropConnection));
        let line = operator.refused(&flags(&id, "app.pem")).await;
        assert!(line.starts_with("GitHub at http") && line.contains("does not answer"), "{path}: {line}");
        stack.github.clear_faults();
        assert_nothing_half_done_is_served(&stack, &complete).await;
    }
    assert!(operator.cli(&flags(&id, "app.pem")).await.ok);
}
