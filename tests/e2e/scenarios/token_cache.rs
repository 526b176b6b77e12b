//! The cache that all environments share: one mint for a scope, nothing in clear, and no table that can stop it.

use std::collections::BTreeSet;

use fake_github::{Fault, FaultKind, GitHub};
use futures_util::StreamExt;
use local_aws::lambda::{Function, binary};
use local_aws::{Fault as TableFault, Rule};
use serde_json::{Value, json};
use stack::{APP_SECRET_ID, Stack, app_secret};

use crate::harness::counter::{Counter, token_of};

const MINT: &str = "/access_tokens";

fn mints_asked(github: &GitHub) -> usize {
    github.requests().iter().filter(|request| request.path.ends_with(MINT)).count()
}

/// The different tokens among the answers.
fn tokens<E: std::fmt::Debug>(answers: Vec<Result<Value, E>>) -> BTreeSet<String> {
    answers.into_iter().map(|answer| token_of(&answer.unwrap()).to_owned()).collect()
}

/// The summary lines of a function, as JSON.
fn records(stack: &Stack, function: &str) -> Vec<Value> {
    let lines = stack.lambda.logs(function).into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    lines.filter(|line| line["message"] == "token request").collect()
}

/// A function of the token binary in which that many environments may run at once.
fn many(stack: &Stack, name: &str, environments: usize) -> Function {
    let wanted = ["APP_SECRET_ID", "TOKENS_TABLE", "GITHUB_API_URL"];
    let minute = std::time::Duration::from_secs(60);
    let function = Function::new(name, binary("token")).concurrency(environments).timeout(minute).init_timeout(minute);
    let variables = stack.environment().into_iter();
    let variables = variables.filter(|(name, _)| wanted.contains(name) || name.starts_with("AWS_ENDPOINT_URL"));
    variables.fold(function, |function, (name, value)| function.variable(name, value))
}

#[tokio::test]
async fn the_summary_says_where_each_token_came_from_and_never_the_token() {
    let stack = Stack::start().await;
    let context = json!({"custom": {"caller": "agent-7", "leak": "ghs_0123456789abcdefghijklmnopqrstuvwxyz"}});
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    let answer = stack.lambda.invoke_with_context("token", ask.clone(), context).await.unwrap();
    stack.lambda.invoke("token", ask.clone()).await.unwrap();
    stack.lambda.kill_environments("token");
    stack.lambda.invoke("token", ask.clone()).await.unwrap();
    let mut revoke = ask.clone();
    revoke["action"] = json!("revoke");
    revoke["token"] = answer["token"].clone();
    stack.lambda.invoke("token", revoke).await.unwrap();
    stack.lambda.invoke("token", json!({"repositories": []})).await.unwrap_err();
    stack.lambda.log_line("token", |line| line.contains("refused")).await;

    let records = records(&stack, "token");
    let outcomes: Vec<_> = records.iter().map(|record| record["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["minted", "memory_hit", "table_hit", "revoked", "refused"]);
    let minted = &records[0];
    assert_eq!(minted["repositories"], 1);
    assert_eq!(minted["permissions"], "contents: read");
    assert_eq!(minted["installation_id"], stack.installation);
    assert!(minted["caller"].as_str().unwrap().starts_with("caller=agent-7"));
    let audited: Vec<_> = stack
        .github
        .requests()
        .iter()
        .map(|request| format!("{:?}", request.authorization))
        .filter(|authorization| authorization.contains(minted["token_sha256"].as_str().unwrap()))
        .collect();
    assert_eq!(audited.len(), 1, "GitHub's audit log names the token by the same hash: {records:#?}");

    let pem = stack.github.app().pem;
    let secrets = [token_of(&answer), pem.lines().nth(1).unwrap(), "ghs_0123456789", "-----BEGIN"];
    for secret in secrets {
        assert!(stack.lambda.logs("token").iter().all(|line| !line.contains(secret)), "{secret} is logged");
        assert!(stack.dynamodb.scan("Tokens").iter().all(|item| !item.to_string().contains(secret)));
    }
    assert_eq!(mints_asked(&stack.github), 1);
}

/// All in this process, so that they do ask at the same moment: starting processes would queue for the cores.
#[tokio::test(flavor = "multi_thread")]
async fn environments_that_ask_at_the_same_moment_mint_each_scope_once() {
    let counter = Counter::open().await;
    let scopes = [json!({"permissions": {"contents": "read"}}), json!({"permissions": {"issues": "write"}})];
    // Slow enough for the others to come meanwhile.
    let late = FaultKind::Delay(std::time::Duration::from_secs(1));
    counter.github.fault(Fault { times: 2, ..Fault::once(MINT, late) });
    let asks = (0..40).map(|n| counter.ask_cold(scopes[n % 2].clone()));
    let answers = futures_util::future::join_all(asks).await;
    assert_eq!((tokens(answers).len(), counter.asked()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_processes_mint_each_scope_once() {
    let stack = Stack::start().await;
    let scopes = [json!({"permissions": {"contents": "read"}}), json!({"permissions": {"pull_requests": "write"}})];
    // A function for each, or a process that is done would serve the next ask from its memory.
    let asks = (0..200).map(|n| {
        let name = format!("token-{n}");
        stack.lambda.add(many(&stack, &name, 1));
        let (stack, scopes) = (&stack, &scopes);
        async move { stack.lambda.invoke(&name, scopes[n % 2].clone()).await }
    });
    let answers: Vec<_> = futures_util::stream::iter(asks).buffer_unordered(16).collect().await;
    assert_eq!((tokens(answers).len(), mints_asked(&stack.github)), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_one_that_mints_is_killed_another_takes_over() {
    let stack = Stack::start().await;
    stack.lambda.add(many(&stack, "winner", 1));
    stack.lambda.add(many(&stack, "token", 20));
    stack.github.fault(Fault::once(MINT, FaultKind::Hang));
    let winner = stack.lambda.invoke("winner", json!({}));
    let waiters = async {
        // The winner holds the lease once GitHub has its request.
        while mints_asked(&stack.github) == 0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let asks = (0..20).map(|_| stack.lambda.invoke("token", json!({})));
        let kill = async {
            while stack.lambda.busy("token") < 20 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            assert_eq!(stack.lambda.kill_busy("winner"), 1);
        };
        tokio::join!(futures_util::future::join_all(asks), kill).0
    };
    let (winner, waiters) = tokio::join!(winner, waiters);
    assert!(winner.is_err());
    assert_eq!((tokens(waiters).len(), mints_asked(&stack.github)), (1, 2));
}

#[tokio::test]
async fn a_lease_is_renewed_while_github_takes_its_time() {
    let counter = Counter::open().await;
    counter.github.fault(Fault::once(MINT, FaultKind::Delay(std::time::Duration::from_secs(5))));
    let (one, other) = tokio::join!(counter.ask_cold(json!({})), counter.ask_cold(json!({})));
    assert_eq!(token_of(&one.unwrap()), token_of(&other.unwrap()));
    assert_eq!(counter.asked(), 1);
}

#[tokio::test]
async fn an_installation_that_hangs_at_github_keeps_no_other_from_its_token() {
    let counter = Counter::open().await;
    let hanging = counter.github.install("hangs", fake_github::Selection::All);
    counter.github.fault(Fault::always(&format!("/installations/{hanging}/access_tokens"), FaultKind::Hang));
    let policy = || r#"{"profiles": {"agents": {"installations": "all"}}}"#.parse().unwrap();
    let (first, second) = (counter.environment_with(policy()), counter.environment_with(policy()));
    let ask = json!({"installation_id": hanging});
    tokio::select! {
        biased;
        hung = counter.ask(&first, ask) => panic!("the other one waits until this is over: {hung:?}"),
        answer = async {
            while counter.asked() == 0 {
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            }
            counter.ask(&second, json!({})).await
        } => drop(answer.unwrap()),
    }
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_does_not_lose_against_itself() {
    // The lease, the way to GitHub and its end, the token and where it is.
    for spared in 0..5 {
        for fault in [TableFault::AnswerLost, TableFault::AnswerReplaced] {
            let counter = Counter::open().await;
            counter.dynamodb.fail(Rule::new(fault).operation("UpdateItem").after(spared).times(1));
            let asks = (0..4).map(|_| counter.ask_cold(json!({})));
            let answers = futures_util::future::join_all(asks).await;
            assert_eq!((tokens(answers).len(), counter.asked()), (1, 1), "{fault:?} after {spared}");
        }
    }
}

#[tokio::test]
async fn whoever_took_the_lease_does_not_wait_for_itself() {
    let counter = Counter::open().await;
    counter.dynamodb.fail(Rule::new(TableFault::AnswerLost).operation("UpdateItem").times(1));
    counter.ask_cold(json!({})).await.unwrap();
    let reads = |call: &&local_aws::Call| call.operation == "GetItem" && !call.body.to_string().contains('#');
    let reads = counter.dynamodb.calls().iter().filter(reads).count();
    assert_eq!(reads, 1, "a second read of the scope's item would be one while waiting");
}

#[tokio::test]
async fn a_refusal_is_told_to_those_who_wait_and_not_asked_for_again() {
    let counter = Counter::open().await;
    counter.github.suspend(counter.installation);
    let asks = (0..8).map(|_| counter.ask_cold(json!({})));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.unwrap_err().error_type.name(), "InstallationSuspended");
    }
    assert_eq!(counter.asked(), 1);
    counter.github.unsuspend(counter.installation);
    assert!(counter.ask_cold(json!({})).await.is_err());
    counter.pass(61);
    counter.ask_cold(json!({})).await.unwrap();
    assert_eq!(counter.asked(), 2);
}

#[tokio::test]
async fn nobody_asks_github_while_it_asks_to_wait() {
    let counter = Counter::open().await;
    counter.github.fault(Fault::once(MINT, FaultKind::RateLimitSecondary(40)));
    let app = counter.environment();
    assert!(counter.refusal(&app, json!({})).await.1.contains("40 s"));
    counter.pass(30);
    let (error_type, message) = counter.refusal(&counter.environment(), json!({})).await;
    assert_eq!(error_type, "RateLimited");
    assert!(message.contains("again in 10 s") || message.contains("again in 9 s"), "{message}");
    assert_eq!(counter.asked(), 1);
    counter.pass(11);
    counter.ask(&app, json!({})).await.unwrap();
}

#[tokio::test]
async fn an_item_that_does_not_decrypt_is_a_miss() {
    let counter = Counter::open().await;
    let (read, write) = (json!({"permissions": {"contents": "read"}}), json!({"permissions": {"contents": "write"}}));
    let narrow = counter.ask_cold(read.clone()).await.unwrap();
    let narrow_key = counter.cached()[0]["cache_key"].clone();
    counter.ask_cold(write).await.unwrap();
    let items = counter.cached();
    let wide = items.iter().find(|item| item["cache_key"] != narrow_key).unwrap();

    // The wide token's item, moved to where the narrow one was looked for, and made to look fresh for ever.
    let mut moved = wide.clone();
    moved["cache_key"] = narrow_key.clone();
    moved["expires_at"] = json!(32_000_000_000_u64);
    counter.dynamodb.put("Tokens", &moved);
    let answer = counter.ask_cold(read.clone()).await.unwrap();
    assert_eq!(answer["permissions"]["contents"], "read");
    assert_eq!((&answer["cached"], counter.minted()), (&json!(false), 3));
    assert_ne!(token_of(&answer), token_of(&narrow));

    let again = counter.ask_cold(read).await.unwrap();
    assert_eq!(token_of(&again), token_of(&answer), "the new one took the item's place");
}

#[tokio::test]
async fn without_the_table_tokens_still_come() {
    let counter = Counter::open().await;
    counter.dynamodb.set_unreachable(true);
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    assert_eq!(first["cached"], false);
    counter.pass(31);
    let second = counter.ask(&app, json!({})).await.unwrap();
    assert_eq!((token_of(&second), &second["cached"]), (token_of(&first), &json!(true)));
    assert_eq!(counter.minted(), 1);
}

#[tokio::test]
async fn a_table_that_fails_half_way_is_warned_of_and_does_not_stop_the_token() {
    let stack = Stack::start().await;
    stack.dynamodb.fail(Rule::new(TableFault::AccessDenied).operation("UpdateItem"));
    stack.lambda.invoke("token", json!({})).await.unwrap();
    let warning = stack.lambda.log_line("token", |line| line.contains("did not answer")).await;
    assert!(warning.contains("WARN"), "{warning}");
}

/// Whoever may invoke the function may read the end of its log.
#[tokio::test]
async fn the_log_says_of_aws_what_failed_and_not_on_which_account_role_or_table() {
    let stack = Stack::start().await;
    for fault in [TableFault::AccessDenied, TableFault::TransactionConflict, TableFault::Unreachable] {
        for operation in ["GetItem", "UpdateItem"] {
            stack.dynamodb.fail(Rule::new(fault).operation(operation));
            let _ = stack.lambda.invoke("token", json!({})).await;
            stack.dynamodb.clear_faults();
        }
    }
    stack.dynamodb.fail(Rule::new(TableFault::AccessDenied));
    stack.secrets.fail(Rule::new(TableFault::AccessDenied));
    stack.lambda.kill_environments("token");
    let _ = stack.lambda.invoke("token", json!({})).await;
    stack.lambda.log_line("token", |line| line.contains("AccessDenied") && line.contains("\"cause\"")).await;
    for line in stack.lambda.logs("token") {
        let line = match serde_json::from_str::<Value>(&line) {
            Ok(mut record) => {
                // How the caller itself named the function.
                record["function"].take();
                record.to_string()
            }
            Err(_) => line,
        };
        for canary in ["arn:", "assumed-role", local_aws::ACCOUNT, "ASIATOKEN", "Tokens", "not authorized"] {
            assert!(!line.contains(canary), "{canary} in {line}");
        }
    }
}

#[tokio::test]
async fn without_github_cached_tokens_still_come() {
    let counter = Counter::open().await;
    let first = counter.ask_cold(json!({})).await.unwrap();
    counter.github.fault(Fault::always("/", FaultKind::DropConnection));
    let cached = counter.ask_cold(json!({})).await.unwrap();
    assert_eq!(token_of(&cached), token_of(&first));
    let ask = json!({"permissions": {"contents": "read"}});
    assert_eq!(counter.refusal(&counter.environment(), ask.clone()).await.0, "GitHubUnavailable");
    counter.github.clear_faults();
    counter.pass(3);
    counter.ask_cold(ask).await.unwrap();
}

/// Twenty scopes that have nothing in common.
fn scopes() -> Vec<Value> {
    let repositories = ["app", "web", "issues", "contents"];
    let asks = (0..20).map(|n| {
        let levels = [
            ("contents", "read"),
            ("issues", "read"),
            ("pull_requests", "read"),
            ("contents", "write"),
            ("issues", "write"),
        ];
        let (name, level) = levels[n / 4];
        json!({"repositories": [repositories[n % 4]], "permissions": {name: level}})
    });
    asks.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_github_does_not_know_is_tried_once_for_all_scopes() {
    let counter = Counter::open().await;
    counter.ask_cold(json!({})).await.unwrap();
    counter.github.remove_key(fake_github::AppKey::first());
    counter.github.clear_requests();
    let asks = scopes().into_iter().map(|ask| counter.ask_cold(ask));
    for answer in futures_util::future::join_all(asks).await {
        assert_eq!(answer.unwrap_err().error_type.name(), "InvalidKey");
    }
    assert!(counter.asked() <= 2, "{} calls", counter.asked());
    counter.github.clear_requests();
    for ask in scopes() {
        assert_eq!(counter.ask_cold(ask).await.unwrap_err().error_type.name(), "InvalidKey");
    }
    assert_eq!(counter.asked(), 0, "the refusal is remembered for every scope");

    // A rotation is not held up by it.
    let mut rotated = stack::app_secret(&counter.github, counter.installation);
    rotated["private_key"] = json!(fake_github::AppKey::second().pem);
    counter.github.add_key(fake_github::AppKey::second());
    counter.secrets.put(stack::APP_SECRET_ID, &rotated).await;
    counter.ask_cold(scopes()[0].clone()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_holds_for_all_scopes_until_github_said_it_ends() {
    let counter = Counter::open().await;
    counter.github.fault(Fault::always(MINT, FaultKind::RateLimitSecondary(600)));
    let asks = scopes().into_iter().map(|ask| counter.ask_cold(ask));
    for answer in futures_util::future::join_all(asks).await {
        let failure = answer.unwrap_err();
        assert_eq!(failure.error_type.name(), "RateLimited");
        assert!(failure.retry_after.unwrap().as_secs() > 590, "{failure:?}");
    }
    assert_eq!(counter.asked(), 1);
    counter.github.clear_faults();
    counter.pass(590);
    assert!(counter.ask_cold(scopes()[0].clone()).await.is_err());
    counter.pass(11);
    counter.ask_cold(scopes()[0].clone()).await.unwrap();
}

#[tokio::test]
async fn what_stands_against_an_installation_holds_for_all_its_scopes() {
    let counter = Counter::open().await;
    counter.github.suspend(counter.installation);
    for ask in scopes() {
        assert_eq!(counter.ask_cold(ask).await.unwrap_err().error_type.name(), "InstallationSuspended");
    }
    assert_eq!(counter.asked(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_scopes_are_minted_side_by_side_once_one_succeeded() {
    let counter = Counter::open().await;
    let asks = scopes().into_iter().map(|ask| counter.ask_cold(ask));
    assert_eq!(tokens(futures_util::future::join_all(asks).await).len(), 20);
    assert_eq!(counter.asked(), 20);
}

/// Changes the one cached item of a scope.
async fn with_item(counter: &Counter, ask: &Value, change: impl FnOnce(&mut Value)) {
    counter.ask_cold(ask.clone()).await.unwrap();
    let mut item = counter.cached().remove(0);
    for sealed in ["ciphertext", "nonce", "token_sha256", "expires_at", "minted_at"] {
        item.as_object_mut().unwrap().remove(sealed);
    }
    change(&mut item);
    counter.dynamodb.put("Tokens", &item);
}

#[tokio::test]
async fn a_lease_or_failure_that_ends_far_ahead_is_none() {
    for hours in [1, 24 * 365] {
        let counter = Counter::open().await;
        let ahead = counter.now().as_millisecond() + hours * 3_600_000 + 120_000;
        let ask = json!({"repositories": ["app"]});
        with_item(&counter, &ask, |item| {
            item["lease_owner"] = json!("somebody with a fast clock");
            item["lease_until"] = json!(ahead);
            item["failure"] = json!("RateLimited");
            item["failure_until"] = json!(ahead);
            item["revokes"] = json!(100);
            item["revoked_at"] = json!(ahead);
        })
        .await;
        // The App's way to GitHub as well.
        let shared = counter.dynamodb.scan("Tokens").into_iter();
        for mut item in shared.filter(|item| item["cache_key"].as_str().unwrap().starts_with("app#")) {
            item["lease_owner"] = json!("somebody with a fast clock");
            item["lease_until"] = json!(ahead);
            item["failure"] = json!("LockedOut");
            item["failure_until"] = json!(ahead);
            item["credited_at"] = json!(ahead);
            counter.dynamodb.put("Tokens", &item);
        }
        let answer = counter.ask_cold(ask).await.unwrap();
        assert_eq!(answer["cached"], false);
        assert_eq!(counter.asked(), 2);
    }
}

#[tokio::test]
async fn a_clock_that_was_ahead_hides_no_revocation_and_keeps_no_refusal() {
    let counter = Counter::open().await;
    let ask = json!({"repositories": ["app"]});
    let [ahead, other] = [counter.environment(), counter.environment()];
    counter.pass(3 * 3600);
    counter.github.fault(Fault::once("/access_tokens", FaultKind::TooMany(600)));
    counter.ask(&ahead, json!({"repositories": ["web"]})).await.unwrap_err();
    counter.pass(660);
    let answer = counter.ask(&ahead, ask.clone()).await.unwrap();
    counter.github.fault(Fault::once("/access_tokens", FaultKind::TooMany(600)));
    counter.ask(&ahead, json!({"repositories": ["web"]})).await.unwrap_err();
    counter.pass(-3 * 3600 - 660);
    let mut revoke = ask.clone();
    revoke["action"] = json!("revoke");
    revoke["token"] = answer["token"].clone();
    counter.ask(&other, revoke).await.unwrap();
    assert_ne!(counter.ask(&ahead, ask).await.unwrap()["token"], answer["token"], "it was revoked");
    counter.ask(&ahead, json!({"repositories": ["web"]})).await.unwrap();
}

#[tokio::test]
async fn who_waits_in_vain_is_told_for_whom() {
    let counter = Counter::open().await;
    let ask = json!({"repositories": ["app"]});
    with_item(&counter, &ask, |item| item["lease_owner"] = json!("another")).await;
    let mut item = counter.dynamodb.scan("Tokens").into_iter().find(|item| item["lease_owner"] == "another").unwrap();
    // Its holder renews it, and never ends.
    let held = async {
        loop {
            item["lease_until"] = json!(counter.now().as_millisecond() + 3000);
            counter.dynamodb.put("Tokens", &item);
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    };
    let app = counter.environment();
    let deadline = u64::try_from(counter.now().as_millisecond()).unwrap() + 3000;
    counter.dynamodb.clear_calls();
    let refused = tokio::select! {
        refused = counter.ask_until(&app, ask, deadline) => refused.unwrap_err(),
        () = held => unreachable!(),
    };
    assert_eq!(refused.error_type.name(), "Busy");
    assert!(refused.message.contains("another environment is getting this token"), "{}", refused.message);
    assert!(counter.dynamodb.calls().iter().all(|call| call.operation == "GetItem"), "who waits reads");
    assert_eq!(counter.asked(), 1);
}

/// What GitHub says to a JSON Web Token of an issuer that it does not know, or not with this key.
const NOT_THE_APP: [(u16, &str); 2] = [(404, "Integration not found"), (401, "A JSON web token could not be decoded")];

fn says(status: u16, message: &str) -> FaultKind {
    FaultKind::Status(status, json!({"message": message}).to_string(), vec![])
}

#[tokio::test]
async fn a_version_with_a_wrong_client_id_takes_no_good_one_out_of_service() {
    for (status, message) in NOT_THE_APP {
        let counter = Counter::open().await;
        let mut wrong = app_secret(&counter.github, counter.installation);
        wrong["client_id"] = json!("Iv23liWrongWrongWrong");
        counter.secrets.put(APP_SECRET_ID, &wrong).await;
        // Both versions name the same App by its id and have the same key, so the same item of the table.
        counter.github.fault(Fault::once(MINT, says(status, message)));
        counter.ask_cold(json!({})).await.unwrap();
        assert_eq!(counter.asked(), 2, "{message}");
    }
}

#[tokio::test]
async fn a_lock_out_and_a_lost_installation_hold_for_all_scopes() {
    let locked = "Maximum number of login attempts exceeded. Please try again later.";
    for (kind, error_type) in [(says(403, locked), "LockedOut"), (says(404, "Not Found"), "InstallationNotFound")] {
        let counter = Counter::open().await;
        counter.github.fault(Fault::always(MINT, kind));
        for ask in scopes() {
            assert_eq!(counter.ask_cold(ask).await.unwrap_err().error_type.name(), error_type);
        }
        assert_eq!(counter.asked(), 1, "{error_type}");
    }
}

#[tokio::test]
async fn a_token_that_could_not_be_found_again_is_not_shared() {
    let counter = Counter::open().await;
    let ask = json!({"repositories": ["app"]});
    // After the lease of the scope, and the lease of the way to GitHub and its end, comes where the token is.
    counter.dynamodb.fail(Rule::new(TableFault::AccessDenied).operation("UpdateItem").after(3).times(1));
    let answer = counter.ask_cold(ask.clone()).await.unwrap();
    let items = counter.dynamodb.scan("Tokens");
    assert!(!items.iter().any(|item| item["cache_key"].as_str().unwrap().starts_with("token#")), "{items:?}");
    assert!(!items.iter().any(|item| item.get("lease_owner").is_some()), "nobody waits for it: {items:?}");
    counter.ask_cold(json!({"action": "revoke", "token": token_of(&answer)})).await.unwrap();
    let next = counter.ask_cold(ask).await.unwrap();
    assert!(!counter.github.scope_of(token_of(&next)).unwrap().revoked);
}

#[tokio::test]
async fn a_shorter_wait_does_not_end_a_longer_one() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let answer = counter.ask(&app, json!({})).await.unwrap();
    counter.github.fault(Fault::once(MINT, FaultKind::RateLimitSecondary(600)));
    counter.ask(&app, scopes()[0].clone()).await.unwrap_err();
    // Revoking does not wait, and meets a wait of its own.
    counter.github.fault(Fault::once("/installation/token", FaultKind::TooMany(9)));
    counter.ask(&app, json!({"action": "revoke", "token": token_of(&answer)})).await.unwrap_err();
    counter.pass(10);
    counter.github.clear_requests();
    for app in [&app, &counter.environment()] {
        let failure = counter.ask(app, scopes()[1].clone()).await.unwrap_err();
        assert!(failure.retry_after.unwrap().as_secs() > 580, "{failure:?}");
    }
    assert_eq!(counter.asked(), 0);
}

#[tokio::test]
async fn a_lease_or_failure_of_another_type_is_none() {
    let counter = Counter::open().await;
    let ask = json!({"repositories": ["app"]});
    let stranger = |item: &mut Value| {
        for name in ["lease_until", "failure_until", "credited_at", "credits", "revoked_at", "revokes"] {
            item[name] = json!("9999999999999");
        }
        item["lease_owner"] = json!("a stranger");
        item["failure"] = json!("RateLimited");
    };
    with_item(&counter, &ask, stranger).await;
    let shared = counter.dynamodb.scan("Tokens").into_iter();
    for mut item in shared.filter(|item| item["cache_key"].as_str().unwrap().starts_with("app#")) {
        stranger(&mut item);
        item["refused_keys"] = json!({fake_github::AppKey::first().fingerprint.clone(): "9999999999999"});
        counter.dynamodb.put("Tokens", &item);
    }
    let answer = counter.ask_cold(ask).await.unwrap();
    assert_eq!((&answer["cached"], counter.asked()), (&json!(false), 2));
    let shared = counter.dynamodb.scan("Tokens").into_iter();
    let ways: Vec<_> = shared.filter(|item| item["cache_key"].as_str().unwrap().starts_with("app#")).collect();
    assert!(ways.iter().all(|way| way.get("lease_owner").is_none() && way["credits"] == 1), "{ways:?}");
}

/// A function that Lambda ends after this long is killed there without an answer.
#[tokio::test]
async fn whatever_hangs_is_named_before_lambda_ends_the_invocation() {
    let stack = Stack::start().await;
    let policy = r#"{"profiles": {"agents": {"installations": "all"}}}"#;
    let hurried = |name: &str| {
        let function = many(&stack, name, 1).timeout(std::time::Duration::from_secs(4));
        stack.lambda.add(function.variable("TOKEN_POLICY", policy));
    };
    let late = || TableFault::Delay(std::time::Duration::from_secs(20));

    hurried("listing");
    let list = Fault { method: Some("GET".to_owned()), ..Fault::always("/app/installations", FaultKind::Hang) };
    stack.github.fault(list);
    let refused = stack.lambda.invoke("listing", json!({"installation_id": 900_000})).await.unwrap_err();
    assert_eq!(refused.error_type, "GitHubUnavailable", "{refused}");
    stack.github.clear_faults();

    hurried("reading");
    stack.secrets.fail(Rule::new(late()).operation("GetSecretValue"));
    let refused = stack.lambda.invoke("reading", json!({})).await.unwrap_err();
    assert!(refused.error_type == "Busy" && refused.message.contains("konduktor/app could not be read"), "{refused}");
    stack.secrets.clear_faults();

    hurried("sharing");
    stack.dynamodb.fail(Rule::new(late()));
    let refused = stack.lambda.invoke("sharing", json!({})).await.unwrap_err();
    assert!(refused.error_type == "Busy" && refused.message.contains("the table of tokens"), "{refused}");
}
