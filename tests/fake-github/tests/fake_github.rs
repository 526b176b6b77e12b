//! The fake GitHub keeps GitHub's rules: what the other tests rest on.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking, and its name says what it promises"
)]

use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_github::{
    AppKey, Authorization, Fault, FaultKind, GitHub, LargePage, NewPullRequest, PullState, Selection, StaleHead,
    TokenShape, sign,
};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::process::Command;

struct Answered {
    status: u16,
    headers: reqwest::header::HeaderMap,
    body: Value,
}

async fn send(github: &GitHub, method: &str, path: &str, secret: &str, body: Option<Value>) -> Answered {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).user_agent("tests").build();
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let mut request = client.unwrap().request(method, format!("{}{path}", github.url()));
    if !secret.is_empty() {
        request = request.bearer_auth(secret);
    }
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    let body = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    Answered { status, headers, body }
}

async fn get(github: &GitHub, path: &str, secret: &str) -> Answered {
    send(github, "GET", path, secret, None).await
}

fn signed(key: &AppKey, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(key.pem.as_bytes()).unwrap();
    jsonwebtoken::encode(&Header::new(Algorithm::RS256), claims, &key).unwrap()
}

fn jwt(github: &GitHub) -> String {
    let now = Timestamp::now().as_second();
    let id = uuid::Uuid::new_v4().to_string();
    signed(AppKey::first(), &json!({"iss": github.app().client_id, "iat": now - 60, "exp": now + 540, "jti": id}))
}

async fn mint(github: &GitHub, installation: u64, scope: Value) -> Answered {
    let path = format!("/app/installations/{installation}/access_tokens");
    send(github, "POST", &path, &jwt(github), Some(scope)).await
}

async fn token(github: &GitHub, installation: u64, scope: Value) -> String {
    mint(github, installation, scope).await.body["token"].as_str().unwrap().to_owned()
}

/// A fake with one private repository, an installation on it and a token for everything.
async fn with_repository() -> (GitHub, u64, String) {
    let github = GitHub::start().await;
    github.create_repository("acme/board", true);
    let installation = github.install("acme", Selection::All);
    let token = token(&github, installation, json!({})).await;
    (github, installation, token)
}

fn touching(paths: &[&str]) -> NewPullRequest {
    let paths = paths.iter().map(|path| (*path).to_owned()).collect();
    NewPullRequest { paths, ..NewPullRequest::titled("work") }
}

#[tokio::test]
async fn a_jwt_is_accepted_from_either_key_format_and_either_issuer() {
    let github = GitHub::start().await;
    let app = github.app();
    let now = Timestamp::now().as_second();
    let claims = |issuer: Value| json!({"iss": issuer, "iat": now - 60, "exp": now + 540});
    for issuer in [json!(app.client_id), json!(app.id), json!(app.id.to_string())] {
        assert_eq!(get(&github, "/app", &signed(AppKey::first(), &claims(issuer))).await.status, 200);
    }
    let pkcs8 = EncodingKey::from_rsa_pem(app.pkcs8_pem.as_bytes()).unwrap();
    let jwt = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(json!(app.id)), &pkcs8).unwrap();
    assert_eq!(get(&github, "/api/v3/app", &jwt).await.body["slug"], app.slug);
    github.assert_nothing_unexpected();
}

#[tokio::test]
async fn each_wrong_jwt_is_refused_with_githubs_words() {
    let github = GitHub::start().await;
    let app = github.app().client_id;
    let now = Timestamp::now().as_second();
    let good = json!({"iss": app, "iat": now - 60, "exp": now + 540, "jti": "once"});
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        signed(AppKey::first(), &claims)
    };
    let undecodable = "A JSON web token could not be decoded";
    let cases = [
        (signed(AppKey::second(), &good), undecodable),
        ("nonsense".to_owned(), undecodable),
        (with("iss", json!("someone")), undecodable),
        (with("iat", json!(now + 30)), "'Issued at' claim ('iat') must be an Integer"),
        (with("iat", json!(1.5)), "'Issued at' claim ('iat') must be an Integer"),
        (with("exp", json!(now - 1)), "'Expiration time' claim ('exp') must be a numeric value"),
        (with("exp", json!(now + 700)), "'Expiration time' claim ('exp') is too far in the future"),
    ];
    for (jwt, text) in cases {
        let answer = get(&github, "/app", &jwt).await;
        assert_eq!(answer.status, 401);
        assert!(answer.body["message"].as_str().unwrap().starts_with(text), "{} is not {text}", answer.body);
    }
    let once = signed(AppKey::first(), &good);
    assert_eq!(get(&github, "/app", &once).await.status, 200);
    assert_eq!(get(&github, "/app", &once).await.body["message"], undecodable);
    github.remove_key(AppKey::first());
    assert_eq!(get(&github, "/app", &jwt(&github)).await.body["message"], "Integration must generate a public key");
}

#[tokio::test]
async fn a_jwt_of_another_clock_is_refused_and_the_date_header_tells_why() {
    let github = GitHub::start().await;
    github.set_clock_skew(-600);
    let answer = get(&github, "/app", &jwt(&github)).await;
    assert!(answer.body["message"].as_str().unwrap().starts_with("'Issued at'"));
    let date = answer.headers["date"].to_str().unwrap();
    let theirs = jiff::fmt::rfc2822::parse(date).unwrap().timestamp();
    assert!((Timestamp::now().as_second() - theirs.as_second() - 600).abs() <= 2);
}

#[tokio::test]
async fn a_token_has_the_scope_it_was_minted_with_and_no_more() {
    let (github, installation, everything) = with_repository().await;
    github.create_repository("acme/other", true);
    let scope = json!({"repositories": ["board"], "permissions": {"contents": "read"}});
    let answer = mint(&github, installation, scope).await;
    assert_eq!(answer.status, 201);
    assert_eq!(answer.body["repository_selection"], "selected");
    assert_eq!(answer.body["repositories"][0]["full_name"], "acme/board");
    let narrow = answer.body["token"].as_str().unwrap();
    let minted = github.scope_of(narrow).unwrap();
    assert_eq!(minted.repositories, ["acme/board"]);
    assert_eq!(minted.permissions.keys().collect::<Vec<_>>(), ["contents", "metadata"]);

    assert_eq!(get(&github, "/repos/acme/board", narrow).await.status, 200);
    assert_eq!(get(&github, "/repos/acme/board/pulls", narrow).await.status, 403);
    assert_eq!(get(&github, "/repos/acme/other", narrow).await.status, 404);
    assert_eq!(get(&github, "/repos/acme/other", &everything).await.status, 200);
    assert_eq!(get(&github, "/installation/repositories", &everything).await.body["total_count"], 2);

    for wrong in [json!({"repositories": ["nowhere"]}), json!({"permissions": {"contents": "write"}})] {
        assert_eq!(mint(&github, installation, wrong).await.status, 422);
    }
    github.suspend(installation);
    assert_eq!(mint(&github, installation, json!({})).await.body["message"], "This installation has been suspended");
    github.uninstall(installation);
    assert_eq!(mint(&github, installation, json!({})).await.status, 404);
    assert_eq!(get(&github, "/repos/acme/board", &everything).await.status, 401);
}

#[tokio::test]
async fn tokens_come_in_three_shapes_and_end_when_revoked_or_expired() {
    let (github, installation, first) = with_repository().await;
    assert_eq!(first.len(), 40);
    for (shape, length) in [(TokenShape::Long, 520), (TokenShape::Huge, 1_500)] {
        github.set_token_shape(shape);
        let token = token(&github, installation, json!({})).await;
        assert_eq!((token.len(), token.matches('.').count(), token.contains('-')), (length, 2, true));
        assert_eq!(get(&github, "/repos/acme/board", &token).await.status, 200);
        assert_eq!(send(&github, "DELETE", "/installation/token", &token, None).await.status, 204);
        assert_eq!(get(&github, "/repos/acme/board", &token).await.body["message"], "Bad credentials");
    }
    github.expire_token(&first);
    assert_eq!(get(&github, "/repos/acme/board", &first).await.status, 401);
    github.fresh_token_answers(403, 1);
    let slow = token(&github, installation, json!({})).await;
    assert_eq!(get(&github, "/repos/acme/board", &slow).await.status, 403);
    assert_eq!(get(&github, "/repos/acme/board", &slow).await.status, 200);
}

#[tokio::test]
async fn mergeability_is_null_until_it_settles_and_again_after_a_push() {
    let (github, _, token) = with_repository().await;
    github.set_settle_reads(2);
    let event = github.open_pull_request("acme/board", touching(&["a"]));
    assert_eq!(event.payload["pull_request"]["mergeable"], Value::Null);
    let path = "/repos/acme/board/pulls/1";
    for expected in [Value::Null, Value::Null, json!(true), json!(true)] {
        assert_eq!(get(&github, path, &token).await.body["mergeable"], expected);
    }
    github.set_settle_reads(0);
    let before = get(&github, path, &token).await.body["head"]["sha"].clone();
    github.push("acme/board", 1);
    github.stale_false_once("acme/board", 1, StaleHead::Old);
    let stale = get(&github, path, &token).await.body;
    assert_eq!((&stale["mergeable"], &stale["head"]["sha"]), (&json!(false), &before));
    assert_eq!(get(&github, path, &token).await.body["mergeable"], true);
}

#[tokio::test]
async fn a_merge_makes_another_pull_request_conflict_until_it_is_rebased() {
    let (github, _, token) = with_repository().await;
    github.set_settle_reads(0);
    for paths in [&["a"], &["a"], &["b"]] {
        github.open_pull_request("acme/board", touching(paths));
    }
    let before = github.truth("acme/board", 2).updated_at;
    let merged = github.merge("acme/board", 1);
    assert_eq!(
        (&merged.payload["action"], &merged.payload["pull_request"]["merged"]),
        (&json!("closed"), &json!(true))
    );
    assert!(github.truth("acme/board", 2).conflict);
    assert!(!github.truth("acme/board", 3).conflict);
    assert_eq!(github.truth("acme/board", 2).updated_at, before);
    assert_eq!(get(&github, "/repos/acme/board/pulls/2", &token).await.body["mergeable_state"], "dirty");

    github.push("acme/board", 2);
    assert!(github.truth("acme/board", 2).conflict);
    github.retarget("acme/board", 2, "release");
    assert!(!github.truth("acme/board", 2).conflict);
    let back = github.retarget("acme/board", 2, "main");
    assert_eq!(back.payload["changes"]["base"]["ref"]["from"], "release");
    assert!(github.truth("acme/board", 2).conflict);
    github.push_rebased("acme/board", 2);
    assert!(!github.truth("acme/board", 2).conflict);
    assert_eq!(github.truth("acme/board", 1).state, PullState::Merged);
}

#[tokio::test]
async fn graphql_lists_pages_and_refuses_what_the_schema_does_not_have() {
    let (github, _, token) = with_repository().await;
    github.set_settle_reads(0);
    for number in 1..=3 {
        github.open_pull_request("acme/board", touching(&[&format!("file {number}")]));
    }
    github.retitle("acme/board", 1, "renamed");
    github.set_unknown_in_lists("acme/board", 3, true);
    let query = "query($name: String!, $after: String) {
        board: repository(owner: \"acme\", name: $name) {
            nameWithOwner
            pullRequests(first: 2, after: $after, states: [OPEN], baseRefName: \"main\",
                         orderBy: {field: UPDATED_AT, direction: DESC}) {
                totalCount
                nodes { ...row }
                pageInfo { hasNextPage endCursor }
            }
            pullRequest(number: 3) { mergeable }
        }
        rateLimit { cost remaining }
    }
    fragment row on PullRequest { number title mergeable headRefOid author { login } headRepository { databaseId } }";
    let ask = |query: &str, variables: Value| json!({"query": query, "variables": variables});
    let body = send(&github, "POST", "/graphql", &token, Some(ask(query, json!({"name": "board"})))).await.body;
    let board = &body["data"]["board"];
    let list = &board["pullRequests"];
    assert_eq!(list["nodes"][0]["title"], "renamed", "{body}");
    assert_eq!(
        (&list["nodes"][0]["mergeable"], &list["nodes"][1]["mergeable"]),
        (&json!("MERGEABLE"), &json!("UNKNOWN"))
    );
    assert_eq!(board["pullRequest"]["mergeable"], "MERGEABLE");
    assert_eq!((&list["totalCount"], &list["pageInfo"]["hasNextPage"]), (&json!(3), &json!(true)));
    let after = json!({"name": "board", "after": list["pageInfo"]["endCursor"]});
    let body = send(&github, "POST", "/api/graphql", &token, Some(ask(query, after))).await.body;
    assert_eq!(body["data"]["board"]["pullRequests"]["nodes"][0]["number"], 2);
    assert_eq!((github.graphql_use().queries, github.graphql_use().nodes), (2, 3));

    let misspelt = ask("{ repository(owner: \"acme\", name: \"board\") { pullRequest(number: 9) { x } } }", json!({}));
    let body = send(&github, "POST", "/graphql", &token, Some(misspelt)).await.body;
    assert_eq!(body["errors"][0]["message"], "Field 'x' doesn't exist on type 'PullRequest'");
    let missing = ask("{ repository(owner: \"acme\", name: \"gone\") { id } }", json!({}));
    let body = send(&github, "POST", "/graphql", &token, Some(missing)).await.body;
    assert_eq!((&body["data"]["repository"], &body["errors"][0]["type"]), (&Value::Null, &json!("NOT_FOUND")));
}

async fn asked(github: &GitHub, token: &str, query: &str) -> Value {
    send(github, "POST", "/graphql", token, Some(json!({"query": query}))).await.body
}

#[tokio::test]
async fn graphql_tells_the_titles_of_before_and_the_tip_of_a_branch() {
    let (github, _, token) = with_repository().await;
    let number = github.open_pull_request("acme/board", NewPullRequest::titled("First")).number();
    github.retitle("acme/board", number, "Second");
    github.merge("acme/board", number);
    github.retitle("acme/board", number, "Third");
    let query = "{repository(owner:\"acme\",name:\"board\"){ref(qualifiedName:\"refs/heads/main\"){target{oid}}
        gone:ref(qualifiedName:\"refs/heads/gone\"){target{oid}}
        pullRequest(number:1){timelineItems(last:2,itemTypes:[RENAMED_TITLE_EVENT,MERGED_EVENT]){nodes{__typename
        ...on RenamedTitleEvent{previousTitle currentTitle}}}}}}";
    let answer = asked(&github, &token, query).await;
    let repository = &answer["data"]["repository"];
    assert_eq!(
        repository["pullRequest"]["timelineItems"]["nodes"],
        json!([
            {"__typename": "MergedEvent"},
            {"__typename": "RenamedTitleEvent", "previousTitle": "Second", "currentTitle": "Third"}
        ]),
        "{answer:#}"
    );
    assert_eq!(repository["gone"], Value::Null);
    let tip = repository["ref"]["target"]["oid"].clone();
    github.push_to_branch("acme/board", "main", &[]);
    let after = asked(&github, &token, query).await;
    assert_ne!(after["data"]["repository"]["ref"]["target"]["oid"], tip);
}

#[tokio::test]
async fn graphql_answers_in_part_and_fails_at_pages_that_are_too_large() {
    let (github, _, token) = with_repository().await;
    for _ in 0..3 {
        github.open_pull_request("acme/board", NewPullRequest::titled("Work"));
    }
    let list = "{repository(owner:\"acme\",name:\"board\"){pullRequests(first:3){nodes{number headRepository{name}}}}}";
    github.bar("acme/board", Some(2), "Resource protected by organization SAML enforcement.");
    let answer = asked(&github, &token, list).await;
    assert_eq!(answer["errors"][0]["path"], json!(["repository", "pullRequests", "nodes", 1, "headRepository"]));
    assert_eq!(answer["errors"][0]["type"], "FORBIDDEN");
    let nodes = &answer["data"]["repository"]["pullRequests"]["nodes"];
    assert_eq!((&nodes[1]["headRepository"], &nodes[2]["number"]), (&Value::Null, &json!(3)));
    assert_eq!(get(&github, "/repos/acme/board/pulls/2", &token).await.status, 403);
    assert_eq!(get(&github, "/repos/acme/board/pulls/3", &token).await.status, 200);
    github.unbar();
    github.set_largest_page(Some((2, LargePage::NullNodes)));
    let answer = asked(&github, &token, list).await;
    assert_eq!(answer["errors"][0]["type"], "RESOURCE_LIMITS_EXCEEDED");
    assert_eq!(answer["data"]["repository"]["pullRequests"]["nodes"][2], Value::Null);
    github.set_largest_page(Some((2, LargePage::BadGateway)));
    let failed = send(&github, "POST", "/graphql", &token, Some(json!({"query": list}))).await;
    assert_eq!(failed.status, 502);
}

#[tokio::test]
async fn an_unknown_route_is_answered_501_and_remembered() {
    let (github, _, token) = with_repository().await;
    assert_eq!(get(&github, "/repos/acme/board/issues", &token).await.status, 501);
    assert_eq!(github.unexpected(), ["GET /repos/acme/board/issues"]);
    let bare = reqwest::Client::new().get(format!("{}/app", github.url())).send().await.unwrap();
    assert_eq!(bare.status(), 403);
    let last = github.requests().pop().unwrap();
    assert_eq!((last.status, last.authorization), (Some(403), Authorization::None));
}

#[tokio::test]
async fn a_renamed_repository_redirects_to_its_id() {
    let (github, _, token) = with_repository().await;
    let id = github.create_repository("acme/old", true);
    github.open_pull_request("acme/old", touching(&["a"]));
    github.rename_repository("acme/old", "acme/new");
    let answer = get(&github, "/repos/acme/old/pulls/1", &token).await;
    let location = format!("{}/repositories/{id}/pulls/1", github.url());
    assert_eq!((answer.status, answer.headers["location"].to_str().unwrap()), (301, location.as_str()));
    let answer = get(&github, &format!("/repositories/{id}/pulls/1"), &token).await;
    assert_eq!(answer.body["base"]["repo"]["full_name"], "acme/new");
    assert_eq!(get(&github, "/repos/acme/old/installation", &jwt(&github)).await.status, 301);
}

#[tokio::test]
async fn faults_limit_delay_and_lose_answers() {
    let (github, installation, token) = with_repository().await;
    github.fault(Fault::once("/repos", FaultKind::RateLimitPrimary(30)));
    let limited = get(&github, "/repos/acme/board", &token).await;
    assert_eq!((limited.status, limited.headers["x-ratelimit-remaining"].to_str().unwrap()), (403, "0"));
    let client = reqwest::Client::builder().user_agent("tests").timeout(Duration::from_millis(200)).build().unwrap();
    github.fault(Fault::once("/app", FaultKind::DropConnection));
    assert!(client.get(format!("{}/app", github.url())).send().await.is_err());
    github.fault(Fault::once("/app", FaultKind::Hang));
    assert!(client.get(format!("{}/app", github.url())).send().await.unwrap_err().is_timeout());
    github.fault(Fault::once("/repos", FaultKind::CutShort));
    let begun = client.get(format!("{}/repos/acme/board", github.url())).bearer_auth(&token).send().await.unwrap();
    assert_eq!(begun.status(), 200);
    assert!(!begun.text().await.unwrap_err().is_timeout(), "the connection ends in the middle");
    assert_eq!(github.faults_met(), 4);
    github.fault(Fault::once("access_tokens", FaultKind::AnswerThenDrop));
    let url = format!("{}/app/installations/{installation}/access_tokens", github.url());
    let before = github.minted().len();
    let lost = client.post(url).bearer_auth(jwt(&github)).send().await.unwrap_err();
    assert!(!lost.is_timeout());
    assert_eq!((github.minted().len(), github.count("POST /app/installations/{id}/access_tokens")), (before + 1, 2));
}

#[tokio::test]
async fn a_delivery_is_signed_recorded_and_redelivered_under_its_guid() {
    let (github, ..) = with_repository().await;
    let receiver = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    github.set_hook(&format!("http://{}/hook", receiver.local_addr().unwrap()), "secret");
    let check = |headers: axum::http::HeaderMap, body: String| async move {
        let good = headers["x-hub-signature-256"] == sign(b"secret", body.as_bytes());
        if good { axum::http::StatusCode::OK } else { axum::http::StatusCode::UNAUTHORIZED }
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(check));
    tokio::spawn(async move { axum::serve(receiver, router).await });

    let record = github.deliver(&github.open_pull_request("acme/board", touching(&["a"]))).await;
    assert_eq!(record.status, 200);
    let path = format!("/app/hook/deliveries/{}/attempts", record.id);
    assert_eq!(send(&github, "POST", &path, &jwt(&github), None).await.status, 202);
    let deadline = Instant::now() + Duration::from_secs(10);
    let list = loop {
        let list = get(&github, "/app/hook/deliveries?per_page=1", &jwt(&github)).await;
        if list.body[0]["redelivery"] == true {
            break list;
        }
        assert!(Instant::now() < deadline, "the redelivery never came");
        tokio::task::yield_now().await;
    };
    assert_eq!((&list.body[0]["guid"], &list.body[0]["action"]), (&json!(record.guid), &json!("opened")));
    assert!(list.headers["link"].to_str().unwrap().contains("cursor=v1_"));
    let full = get(&github, &format!("/app/hook/deliveries/{}", record.id), &jwt(&github)).await.body;
    assert_eq!(full["request"]["headers"]["X-GitHub-Event"], "pull_request");
    assert_eq!(full["request"]["payload"]["number"], 1);
}

#[tokio::test]
async fn an_app_is_made_from_a_manifest() {
    let github = GitHub::start().await;
    let manifest = json!({"url": "https://konduktor.example", "redirect_url": "http://localhost:1/done",
        "hook_attributes": {"url": "http://127.0.0.1:9/hook"}});
    let page = format!("{}/settings/apps/new?state=abc", github.url());
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let submit = async |fields: &[(&str, &str)]| {
        let url = reqwest::Url::parse_with_params("http://form", fields).unwrap();
        client.post(&page).body(url.query().unwrap().to_owned()).send().await.unwrap()
    };
    let manifest = manifest.to_string();
    assert_eq!(submit(&[("manifest", "{}")]).await.status(), 422);
    assert_eq!(submit(&[("manifest", &manifest)]).await.status(), 200, "GitHub shows a page of its own first");
    let answer = submit(&[("manifest", &manifest), ("name", "ours")]).await;
    assert_eq!(answer.status(), 302);
    let back = reqwest::Url::parse(answer.headers()["location"].to_str().unwrap()).unwrap();
    let code = back.query_pairs().find(|(name, _)| name == "code").unwrap().1.into_owned();
    assert!(back.query().unwrap().ends_with("state=abc"));
    let path = format!("/app-manifests/{code}/conversions");
    let app = send(&github, "POST", &path, "", None).await;
    assert_eq!((app.status, &app.body["pem"]), (201, &json!(github.app().pem)));
    assert_eq!(github.hook_config().secret.as_deref(), app.body["webhook_secret"].as_str());
    assert_eq!(send(&github, "POST", &path, "", None).await.status, 404);
}

async fn git(folder: &Path, token: Option<&str>, arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("git");
    command.current_dir(folder).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_TERMINAL_PROMPT", "0");
    if let Some(token) = token {
        let helper = format!("!f() {{ echo username=x-access-token; echo password={token}; }}; f");
        command.args(["-c", &format!("credential.helper={helper}")]);
    }
    let output = command.args(arguments).output().await.unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

#[tokio::test]
async fn git_clones_with_a_live_token_and_pushes_only_with_write() {
    let (github, installation, reader) = with_repository().await;
    github.create_git_repository("acme/board", &[("README.md", "hello\n"), ("src/main.rs", "fn main() {}\n")]).await;
    let folder = tempfile::tempdir().unwrap();
    let url = format!("{}/acme/board.git", github.url());

    git(folder.path(), Some(&reader), &["clone", "--quiet", &url, "copy"]).await.unwrap();
    let copy = folder.path().join("copy");
    assert_eq!(std::fs::read_to_string(copy.join("README.md")).unwrap(), "hello\n");
    let commit = ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "more"];
    git(&copy, None, &commit).await.unwrap();
    let refused = git(&copy, Some(&reader), &["push", "--quiet", "origin", "main"]).await.unwrap_err();
    assert!(refused.contains("403"), "{refused}");

    github.set_permissions(&[("contents", "write"), ("metadata", "read")]);
    github.accept_permissions(installation);
    let writer = token(&github, installation, json!({})).await;
    git(&copy, Some(&writer), &["push", "--quiet", "origin", "main"]).await.unwrap();

    github.expire_token(&reader);
    let refused = git(folder.path(), Some(&reader), &["clone", &url, "again"]).await.unwrap_err();
    assert!(refused.contains("Authentication failed"), "{refused}");
    assert!(git(folder.path(), None, &["clone", &url, "nobody"]).await.is_err());
    let basic = STANDARD.encode(format!("someone:{writer}"));
    let refs = reqwest::Client::new().get(format!("{url}/info/refs?service=git-upload-pack"));
    let answer = refs.header("authorization", format!("Basic {basic}")).send().await.unwrap();
    assert_eq!(answer.headers()["www-authenticate"], "Basic realm=\"GitHub\"");
    github.assert_nothing_unexpected();
}

#[tokio::test]
async fn another_fake_costs_less_than_a_millisecond() {
    let mut fastest = Duration::MAX;
    for _ in 0..50 {
        let started = Instant::now();
        GitHub::start().await.create_repository("acme/board", true);
        fastest = fastest.min(started.elapsed());
    }
    // The fastest of many: the machine has other work, and the first one makes the RSA key.
    assert!(fastest < Duration::from_millis(1), "{fastest:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn only_a_merge_that_touches_the_same_file_makes_a_conflict(files in prop::collection::vec(0_u8..4, 2..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let github = GitHub::start().await;
            github.create_repository("acme/board", true);
            for file in &files {
                github.open_pull_request("acme/board", touching(&[&file.to_string()]));
            }
            github.merge("acme/board", 1);
            for (at, file) in files.iter().enumerate().skip(1) {
                assert_eq!(github.truth("acme/board", at as u64 + 1).conflict, *file == files[0]);
            }
        });
    }
}
