//! Which installation a token is of, also after it changed.

use fake_github::{Fault, FaultKind};
use serde_json::{Value, json};
use token::Policy;

use crate::harness::counter::{Counter, token_of};

#[tokio::test]
async fn after_a_reinstallation_the_new_installation_is_found_by_its_account() {
    let counter = Counter::open().await;
    let app = counter.environment();
    counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    counter.github.uninstall(counter.installation);
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    assert_eq!(counter.refusal(&app, ask.clone()).await.0, "InstallationNotFound");
    let new = counter.github.install("acme", fake_github::Selection::All);
    counter.pass(6);
    let found = counter.ask(&app, ask).await.unwrap();
    assert_eq!(found["installation_id"], new);
    assert_eq!(counter.github.scope_of(token_of(&found)).unwrap().installation, new);
    counter.github.clear_requests();
    counter.ask(&app, json!({"repositories": ["web"]})).await.unwrap();
    assert_eq!(counter.asked(), 1, "the new id is remembered");
}

#[tokio::test]
async fn an_account_that_was_renamed_and_installed_the_app_anew_is_found_and_no_other_of_its_old_name() {
    for first in [json!({}), json!({"repositories": ["app"]})] {
        let counter = Counter::open().await;
        let app = counter.environment();
        counter.ask(&app, first.clone()).await.unwrap();
        counter.github.rename_account("acme", "zenith");
        counter.github.uninstall(counter.installation);
        counter.github.create_repository("acme/app", true);
        let stranger = counter.github.install("acme", fake_github::Selection::All);
        let ask = json!({"permissions": {"contents": "read"}});
        assert_eq!(counter.refusal(&app, ask.clone()).await.0, "InstallationNotFound", "{first}");
        counter.github.clear_requests();
        for _ in 0..10 {
            counter.refusal(&app, ask.clone()).await;
        }
        assert_eq!(counter.github.requests().len(), 0, "it is looked for once in 5 s");

        let new = counter.github.install("zenith", fake_github::Selection::All);
        counter.pass(6);
        let found = counter.ask(&app, ask).await.unwrap();
        assert!(stranger != new && found["installation_id"] == new && found["account"] == "zenith", "{found}");
    }
}

#[tokio::test]
async fn a_list_of_installations_that_somebody_wrote_into_the_table_is_none() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": "all"}}}).to_string();
    let environment = || counter.environment_with(Policy::parse(&policy).unwrap());
    counter.ask(&environment(), json!({})).await.unwrap();
    let rows = counter.dynamodb.scan("Tokens");
    let is_list = |row: &&Value| row["cache_key"].as_str().unwrap().starts_with("installations#");
    let list = rows.iter().find(is_list).expect("the list is shared");
    assert!(!list.to_string().contains("acme"), "{list}");
    let plain = json!({"4711": {"name": "acme", "id": 1}}).to_string();
    let forged = json!({"cache_key": list["cache_key"], "accounts": plain, "listed_at": 4_102_444_800_000_u64});
    let sealed = rows.iter().find(|row| !is_list(row) && row.get("ciphertext").is_some()).unwrap();
    let moved = json!({"cache_key": list["cache_key"], "ciphertext": sealed["ciphertext"], "nonce": sealed["nonce"]});
    for planted in [forged, moved] {
        counter.dynamodb.put("Tokens", &planted);
        counter.github.clear_requests();
        let refusal = counter.refusal(&environment(), json!({"installation_id": 4711})).await;
        assert_eq!(refusal.0, "InstallationNotFound");
        let minted = counter.github.requests().iter().any(|request| request.path.contains("access_tokens"));
        assert!(!minted, "{planted}");
    }
}

#[tokio::test]
async fn a_transferred_repository_does_not_lead_to_the_installation_of_its_new_owner() {
    let counter = Counter::open().await;
    let app = counter.environment();
    counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    counter.github.rename_repository("acme/app", "stranger/app");
    counter.github.install("stranger", fake_github::Selection::All);
    counter.github.uninstall(counter.installation);
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    assert_eq!(counter.refusal(&app, ask).await.0, "InstallationNotFound");
}

#[tokio::test]
async fn made_up_installations_cost_a_few_calls_and_no_rows() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": "all"}}}).to_string();
    let cold = || counter.environment_with(Policy::parse(&policy).unwrap());
    let rows = |counter: &Counter| counter.dynamodb.scan("Tokens").len();
    let reads = |counter: &Counter| {
        let list =
            |call: &&local_aws::Call| call.operation == "GetItem" && call.body.to_string().contains("installations#");
        counter.dynamodb.calls().iter().filter(list).count()
    };
    for n in 0..30 {
        let before = reads(&counter);
        let ask = json!({"installation_id": 900_000 + n, "repositories": ["acme/app"]});
        let (error_type, message) = counter.refusal(&cold(), ask).await;
        assert_eq!(error_type, "InstallationNotFound");
        assert!(message.contains(&format!("no installation {}", 900_000 + n)), "{message}");
        assert_eq!(reads(&counter) - before, 1, "the list is read once in an invocation");
    }
    assert_eq!(counter.github.requests().len(), 1, "the App's installations were listed once");
    assert!(rows(&counter) <= 2, "a row for the list, and one for the App's way to GitHub");

    // An installation that is made meanwhile is found within a minute.
    counter.github.create_repository("other/app", true);
    let other = counter.github.install("other", fake_github::Selection::All);
    counter.pass(61);
    let answer = counter.ask(&cold(), json!({"installation_id": other})).await.unwrap();
    assert_eq!((&answer["installation_id"], &answer["account"]), (&json!(other), &json!("other")));
}

#[tokio::test]
async fn while_installations_cannot_be_listed_made_up_ones_get_neither_row_nor_mint() {
    let counter = Counter::open().await;
    let policy = json!({"profiles": {"agents": {"installations": "all"}}}).to_string();
    let cold = || counter.environment_with(Policy::parse(&policy).unwrap());
    counter.github.create_repository("other/app", true);
    let other = counter.github.install("other", fake_github::Selection::All);
    let read = |name: &str| json!({"installation_id": other, "permissions": {name: "read"}});
    counter.ask(&cold(), read("contents")).await.unwrap();
    let rows = counter.dynamodb.scan("Tokens").len();

    counter.pass(3700);
    let list = Fault { method: Some("GET".to_owned()), ..Fault::always("/app/installations", FaultKind::ServerError) };
    counter.github.fault(list);
    counter.github.clear_requests();
    for n in 0..30 {
        let (error_type, _) = counter.refusal(&cold(), json!({"installation_id": 900_000 + n})).await;
        assert_eq!(error_type, "GitHubUnavailable");
    }
    assert_eq!((counter.asked(), counter.dynamodb.scan("Tokens").len()), (0, rows));
    counter.ask(&cold(), read("issues")).await.expect("it stood on the last list");
    counter.ask(&cold(), json!({})).await.expect("the secret's own is not made up");
}

#[tokio::test]
async fn the_answer_says_whose_the_token_is() {
    let counter = Counter::open().await;
    let whose =
        |answer: &Value| (answer["api_url"].clone(), answer["installation_id"].clone(), answer["account"].clone());
    let expected = (json!(counter.github.url()), json!(counter.installation), json!("acme"));
    let app = counter.environment();
    for ask in [json!({}), json!({"repositories": ["app"]})] {
        assert_eq!(whose(&counter.ask(&app, ask.clone()).await.unwrap()), expected);
        assert_eq!(whose(&counter.ask_cold(ask).await.unwrap()), expected, "from the table");
    }
}

#[tokio::test]
async fn a_renamed_account_is_served_under_both_names() {
    let counter = Counter::open().await;
    let app = counter.environment();
    counter.github.rename_account("acme", "zenith");
    let new = counter.ask(&app, json!({"repositories": ["zenith/app"]})).await.unwrap();
    let old = counter.ask(&app, json!({"repositories": ["acme/app"]})).await.unwrap();
    assert_eq!(token_of(&new), token_of(&old));
    assert_eq!(old["account"], "zenith");
    counter.github.clear_requests();
    counter.ask(&app, json!({"repositories": ["acme/app"]})).await.unwrap();
    assert!(counter.github.requests().is_empty(), "the old name is remembered");
}
