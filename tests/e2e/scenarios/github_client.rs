//! How GitHub is asked: headers, pages, redirects, and what never leaves in a message.

use adapters::github::app::AppKey;
use adapters::github::{Client, Error};
use fake_github::{Authorization, Fault, FaultKind, GitHub, Selection};
use jiff::{SignedDuration, Timestamp};
use secrecy::SecretString;
use serde_json::{Value, json};

async fn github() -> (GitHub, Client, SecretString) {
    let github = GitHub::start().await;
    let client = Client::new(github.url().parse().unwrap());
    let jwt = jwt(&github);
    (github, client, jwt)
}

fn jwt(github: &GitHub) -> SecretString {
    let app = github.app();
    let key = AppKey::from_pem(&SecretString::from(app.pem)).unwrap();
    assert_eq!(key.fingerprint(), app.fingerprint);
    key.jwt(&app.client_id.parse().unwrap(), now(), SignedDuration::ZERO).unwrap()
}

#[expect(clippy::disallowed_methods, reason = "the fake GitHub lives by the real clock")]
fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test]
async fn every_request_says_who_asks_and_in_which_version() {
    let (github, client, jwt) = github().await;
    client.get::<Value>("/app", &jwt).await.unwrap();
    let request = &github.requests()[0];
    assert_eq!(request.accept.as_deref(), Some("application/vnd.github+json"));
    assert_eq!(request.api_version.as_deref(), Some("2022-11-28"));
    assert!(request.user_agent.as_deref().unwrap().starts_with("konduktor-github-app/"));
    assert_eq!(request.authorization, Authorization::Jwt);
}

#[tokio::test]
async fn a_listing_is_read_to_its_last_page() {
    let (github, client, jwt) = github().await;
    for account in 0..70 {
        github.install(&format!("account-{account}"), Selection::All);
    }
    let first = client.get::<Vec<Value>>("/app/installations?per_page=30", &jwt).await.unwrap();
    assert_eq!(first.body.len(), 30);
    assert!(first.date.is_some());
    let key = AppKey::from_pem(&SecretString::from(github.app().pem)).unwrap();
    let client_id = github.app().client_id.parse().unwrap();
    let app = key.bearer(&client_id, now(), SignedDuration::ZERO);
    let all = client.get_all::<Value>("/app/installations?per_page=30", &app).await.unwrap();
    assert_eq!(all.len(), 70);
}

#[tokio::test]
async fn the_installation_of_a_renamed_repository_is_found() {
    let (github, client, _) = github().await;
    github.create_repository("acme/app", true);
    let id = github.install("acme", Selection::All);
    github.rename_repository("acme/app", "acme/application");
    let key = AppKey::from_pem(&SecretString::from(github.app().pem)).unwrap();
    let client_id = github.app().client_id.parse().unwrap();
    let app = key.bearer(&client_id, now(), SignedDuration::ZERO);
    assert_eq!(client.repository_installation(&app, "acme", "app").await.unwrap().id.0, id);
}

#[tokio::test]
async fn a_token_follows_no_link_and_no_redirect_to_another_host() {
    let (github, client, jwt) = github().await;
    let elsewhere = GitHub::start().await;
    let page = client.get::<Value>(&format!("{}/app", elsewhere.url()), &jwt).await;
    assert!(matches!(page, Err(Error::Unexpected(_))), "{page:?}");
    let there = vec![("location".to_owned(), format!("{}/app", elsewhere.url()))];
    for status in [301, 302, 307, 308] {
        github.fault(Fault::once("/app", FaultKind::Status(status, String::new(), there.clone())));
        let answer = client.get::<Value>("/app", &jwt).await;
        assert!(matches!(answer, Err(Error::Unexpected(_))), "{answer:?}");
    }
    let here = vec![("location".to_owned(), format!("{}/app", github.url()))];
    github.fault(Fault::once("/app", FaultKind::Status(301, String::new(), here)));
    let written = client.post::<Value>("/app/x", &jwt, &()).await;
    assert!(matches!(written, Err(Error::Unexpected(_))), "{written:?}");
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_redirect_within_the_host_is_followed() {
    let (github, client, jwt) = github().await;
    let here = vec![("location".to_owned(), "/app".to_owned())];
    github.fault(Fault::once("/moved", FaultKind::Status(301, String::new(), here)));
    let app = client.get::<Value>("/moved", &jwt).await.unwrap();
    assert_eq!(app.body["id"], github.app().id);
}

#[tokio::test]
async fn what_github_says_is_a_source_and_not_the_message() {
    let (github, client, jwt) = github().await;
    let token = format!("ghs_1234567_{}", "eyJh.b-c_".repeat(20));
    let body = format!(r#"{{"message": "token {token} is\nbad"}}"#);
    github.fault(Fault::once("/app", FaultKind::Status(403, body, vec![])));
    let error = client.get::<Value>("/app", &jwt).await.unwrap_err();
    assert_eq!(error.to_string(), "GitHub forbids this");
    let chain = adapters::Error::from(error).chain();
    assert_eq!(chain, "GitHub forbids this: GitHub answered 403: token ghs_[redacted] is bad");
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_once_more_for_a_read() {
    let (github, client, jwt) = github().await;
    github.fault(Fault::once("/app", FaultKind::DropConnection));
    client.get::<Value>("/app", &jwt).await.unwrap();
    github.fault(Fault::once("/x", FaultKind::DropConnection));
    let written = client.post::<Value>("/x", &jwt, &()).await;
    assert!(matches!(written, Err(Error::Unavailable(_))), "{written:?}");
    assert_eq!(github.requests().len(), 3);
}

#[tokio::test]
async fn an_answer_of_more_than_github_gives_is_not_read_to_its_end() {
    let (github, client, jwt) = github().await;
    for (megabytes, is_read) in [(7, true), (9, false)] {
        let body = json!({"filler": "x".repeat(megabytes * 1024 * 1024)}).to_string();
        github.fault(Fault::once("/app", FaultKind::Status(200, body, vec![])));
        let answer = client.get::<Value>("/app", &jwt).await.map(drop);
        assert!(if is_read { answer.is_ok() } else { matches!(answer, Err(Error::Unavailable(_))) }, "{answer:?}");
    }
}

#[tokio::test]
async fn one_odd_element_spoils_no_list() {
    let (github, client, jwt) = github().await;
    let listed = json!([{"id": 1, "account": null}, {"id": "odd"}, {"id": 2, "account": {"login": "acme"}}, null]);
    github.fault(Fault::once("/app/installations", FaultKind::Status(200, listed.to_string(), vec![])));
    let found = client.installations(&jwt).await.unwrap();
    let found: Vec<_> = found.iter().map(|found| (found.id.0, found.account.name())).collect();
    assert_eq!(found, [(1, ""), (2, "acme")]);

    let good = json!({"name": "app", "full_name": "acme/app"});
    let listed = json!({"total_count": 3, "repositories": [null, good, {"name": "web", "full_name": 7}]});
    github.fault(Fault::once("/installation/repositories", FaultKind::Status(200, listed.to_string(), vec![])));
    let page = client.installation_repositories(&"ghs_any".into(), None).await.unwrap();
    let found: Vec<_> = page.body.repositories.iter().map(|found| found.full_name.as_str()).collect();
    assert_eq!(found, ["acme/app"]);
}
