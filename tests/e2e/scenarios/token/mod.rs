//! What the token function answers: tokens of exactly the scope asked for, or an error that says what to do.

mod installations;
mod policy;
mod revoked;
mod secret;

use std::collections::{BTreeMap, BTreeSet};

use fake_github::{Fault, FaultKind, TokenShape};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use stack::Stack;

use crate::harness::counter::{Counter, PERMISSIONS, REPOSITORIES, token_of};

const MINT: &str = "/access_tokens";

const IP_ALLOW_LIST: &str = "Although you appear to have the correct authorization credentials, the 'acme' organization has an \
                             IP allow list enabled, and your IP address is not permitted to access this resource.";
const NEVER_SAID: &str = "Something that GitHub has never said before.";

const ABUSE: &str = "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again.";

#[tokio::test]
async fn an_agent_gets_a_token_of_exactly_the_scope_it_asked_for() {
    let counter = Counter::open().await;
    let ask = json!({"repositories": ["App", "acme/web"], "permissions": {"contents": "read"}});
    let answer = counter.ask_cold(ask).await.unwrap();
    let (repositories, permissions) = counter.scope_of(&answer);
    assert_eq!(repositories, BTreeSet::from(["acme/app".to_owned(), "acme/web".to_owned()]));
    assert_eq!(permissions["contents"], "read");
    assert_eq!(answer["cached"], false);
    assert_eq!(answer["installation_id"], counter.installation);
    assert_eq!(answer["permissions"], json!({"contents": "read", "metadata": "read"}));
    assert_eq!(answer["repositories"], json!(["app", "web"]));
    counter.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn without_a_scope_the_token_opens_what_the_installation_was_granted() {
    let counter = Counter::open().await;
    let answer = counter.ask_cold(json!({})).await.unwrap();
    let (repositories, permissions) = counter.scope_of(&answer);
    assert_eq!(repositories.len(), REPOSITORIES.len());
    assert_eq!(permissions.len(), PERMISSIONS.len());
    assert!(answer.get("repositories").is_none());
}

#[tokio::test]
async fn a_token_is_kept_until_it_is_about_to_expire() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    counter.pass(3290);
    let kept = counter.ask(&app, json!({})).await.unwrap();
    assert_eq!((token_of(&kept), &kept["cached"]), (token_of(&first), &json!(true)));
    let longer = counter.ask(&app, json!({"min_ttl_seconds": 900})).await.unwrap();
    assert_ne!(token_of(&longer), token_of(&first));
    counter.pass(3400);
    let fresh = counter.ask(&app, json!({})).await.unwrap();
    assert_ne!(token_of(&fresh), token_of(&longer));
    assert_eq!(counter.minted(), 3);
}

#[tokio::test]
async fn tokens_of_every_shape_come_back_as_they_were() {
    for (shape, length) in [(TokenShape::Classic, 40), (TokenShape::Long, 520), (TokenShape::Huge, 1500)] {
        let counter = Counter::open().await;
        counter.github.set_token_shape(shape);
        let minted = counter.ask_cold(json!({})).await.unwrap();
        let from_table = counter.ask_cold(json!({})).await.unwrap();
        assert_eq!(token_of(&minted), token_of(&from_table));
        assert_eq!(token_of(&minted).len(), length);
        assert_eq!(from_table["cached"], true);
    }
}

#[tokio::test]
async fn an_invalid_request_is_refused_before_anybody_is_asked() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let many: Vec<String> = (0..501).map(|n| format!("r{n}")).collect();
    let pasted = format!("ghs_{}", "a1B2".repeat(9));
    for (request, named) in [
        (json!([]), "JSON object"),
        (json!("token"), "JSON object"),
        (json!(null), "JSON object"),
        (json!({"repository": "app"}), "unknown field"),
        (json!({"repositories": []}), "repositories"),
        (json!({"repositories": null}), "repositories"),
        (json!({"repositories": "app"}), "repositories"),
        (json!({"repositories": [1]}), "repositories"),
        (json!({"repositories": many}), "repositories"),
        (json!({"repositories": ["app", ""]}), "repositories[1]"),
        (json!({"repositories": [".."]}), "repositories[0]"),
        (json!({"repositories": ["a/b/c"]}), "repositories[0]"),
        (json!({"repositories": ["/app"]}), "repositories[0]"),
        (json!({"repositories": ["app?x=1"]}), "repositories[0]"),
        (json!({"repositories": [pasted]}), "repositories[0]"),
        (json!({"repositories": ["acme/app", "evil/app"]}), "one owner"),
        (json!({"permissions": {}}), "permissions"),
        (json!({"permissions": null}), "permissions"),
        (json!({"permissions": ["contents"]}), "permissions"),
        (json!({"permissions": {"contents": "none"}}), "permissions"),
        (json!({"permissions": {"contents": "Read"}}), "permissions"),
        (json!({"permissions": {"Contents": "read"}}), "permissions"),
        (json!({"permissions": {"": "read"}}), "permissions"),
        (json!({"installation_id": 0}), "installation_id"),
        (json!({"installation_id": -1}), "installation_id"),
        (json!({"installation_id": "1"}), "installation_id"),
        (json!({"min_ttl_seconds": 3301}), "min_ttl_seconds"),
        (json!({"min_ttl_seconds": -1}), "min_ttl_seconds"),
        (json!({"min_ttl_seconds": 1.5}), "min_ttl_seconds"),
        (json!({"action": "mint"}), "action"),
        (json!({"action": "revoke"}), "token"),
        (json!({"action": "revoke", "token": "a b"}), "token"),
        (json!({"action": "invalidate", "token_sha256": "abc"}), "token_sha256"),
        (json!({"token": pasted}), "token"),
    ] {
        let (error_type, message) = counter.refusal(&app, request.clone()).await;
        assert_eq!(error_type, "InvalidRequest", "{request}");
        assert!(message.contains(named), "{request}: {message}");
        assert!(!message.contains("ghs_"), "{message}");
    }
    assert!(counter.github.requests().is_empty());
    assert!(counter.secrets.calls().is_empty());
    assert!(counter.dynamodb.calls().is_empty());
}

#[tokio::test]
async fn a_request_of_the_largest_size_that_lambda_takes_is_refused_and_ends_no_environment() {
    let stack = Stack::start().await;
    stack.lambda.invoke("token", json!({})).await.unwrap();
    let before = stack.lambda.processes("token");
    // Hundreds of megabytes, were each of these objects made.
    let many = json!({"repositories": vec![json!({"": 0}); 600_000]});
    let refused = stack.lambda.invoke("token", many).await.unwrap_err();
    assert_eq!(
        (refused.error_type.as_str(), refused.message.as_str()),
        ("InvalidRequest", "the request is longer than 128 KB")
    );
    assert_eq!(stack.lambda.processes("token"), before, "the same process goes on");
    let peak = stack.lambda.peak_memory("token").unwrap();
    assert!(peak < 64 * 1024 * 1024, "{peak} bytes");
}

#[tokio::test]
async fn every_refusal_of_github_has_a_type_and_says_what_to_do() {
    let counter = Counter::open().await;
    let id = counter.installation;
    let status = |status, message: &str| FaultKind::Status(status, json!({"message": message}).to_string(), vec![]);
    let claim = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
    for (kind, error_type, advice) in [
        (status(401, "A JSON web token could not be decoded"), "InvalidKey", "generate one"),
        (status(401, "Integration must generate a public key"), "InvalidKey", "generate one"),
        (status(404, "Integration not found"), "AppNotFound", "in the secret konduktor/app"),
        (status(403, IP_ALLOW_LIST), "IpAllowList", "the account's IP allow list"),
        (status(403, "Resource protected by organization SAML enforcement."), "SamlEnforced", "SAML"),
        (status(403, ABUSE), "RateLimited", "again in 60 s"),
        (status(403, "Maximum number of login attempts exceeded. Please try again later."), "LockedOut", "again in"),
        (status(401, NEVER_SAID), "Refused", "its log has them"),
        (status(403, NEVER_SAID), "Refused", "its log has them"),
        (status(422, NEVER_SAID), "Refused", "its log has them"),
        (status(401, claim), "ClockSkew", "check the clock"),
        (status(404, "Not Found"), "InstallationNotFound", "install the App"),
        (status(403, "This installation has been suspended"), "InstallationSuspended", "unsuspends"),
        (status(403, "Resource not accessible by integration"), "PermissionNotGranted", "grant it"),
        (status(422, "The permissions requested are not granted."), "PermissionNotGranted", "ask for less"),
        (status(429, "Too many"), "RateLimited", "again in 60 s"),
        (FaultKind::RateLimitPrimary(1234), "RateLimited", "again in 12"),
        (FaultKind::RateLimitSecondary(17), "RateLimited", "again in 17 s"),
        (FaultKind::TooMany(9), "RateLimited", "again in 9 s"),
        (FaultKind::ServerError, "GitHubUnavailable", "githubstatus"),
        (FaultKind::DropConnection, "GitHubUnavailable", "try again"),
        (status(418, "I am a teapot"), "GitHubUnavailable", "try again"),
    ] {
        counter.github.fault(Fault::always(MINT, kind.clone()));
        counter.dynamodb.reset();
        let (found, message) = counter.refusal(&counter.environment(), json!({})).await;
        assert_eq!(found, error_type, "{kind:?}: {message}");
        assert!(message.contains(advice), "{kind:?}: {message}");
        counter.github.clear_faults();
    }
    assert_eq!(counter.minted(), 0);
    counter.dynamodb.reset();
    let ask = json!({"repositories": ["app"], "permissions": {"secrets": "write"}});
    let (error_type, message) = counter.refusal(&counter.environment(), ask).await;
    assert_eq!(error_type, "PermissionNotGranted");
    assert!(message.contains("secrets: write on app") && message.contains(&id.to_string()), "{message}");
}

#[tokio::test]
async fn a_wrong_clock_is_corrected_once_and_the_correction_is_remembered() {
    for skew in [900, -900] {
        let counter = Counter::open().await;
        counter.github.set_clock_skew(skew);
        let app = counter.environment();
        counter.ask(&app, json!({})).await.unwrap();
        assert_eq!(counter.asked(), 2);
        counter.ask(&app, json!({"permissions": {"contents": "read"}})).await.unwrap();
        assert_eq!(counter.asked(), 3);
    }
}

#[tokio::test]
async fn a_passing_failure_of_github_is_tried_again() {
    let counter = Counter::open().await;
    counter.github.fault(Fault { times: 2, ..Fault::once(MINT, FaultKind::ServerError) });
    counter.ask_cold(json!({})).await.unwrap();
    assert_eq!((counter.asked(), counter.minted()), (3, 1));
}

#[tokio::test]
async fn an_owner_is_taken_when_it_is_the_installations() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let bare = counter.ask(&app, json!({"repositories": ["app"]})).await.unwrap();
    let named = counter.ask(&app, json!({"repositories": ["Acme/App"]})).await.unwrap();
    assert_eq!(token_of(&bare), token_of(&named));
    let foreign = json!({"repositories": ["evil/app"]});
    assert_eq!(counter.refusal(&app, foreign.clone()).await.0, "InvalidRequest");
    assert_eq!(counter.refusal(&counter.environment(), foreign).await.0, "InvalidRequest");
    assert_eq!(counter.minted(), 1);
}

#[tokio::test]
async fn an_answer_of_another_scope_is_revoked_and_not_handed_out() {
    let token = "ghs_0123456789abcdefghijklmnopqrstuvwxyz";
    let repository = |name: &str| json!({"name": name, "full_name": format!("acme/{name}")});
    let (read, app) = (json!({"contents": "read", "metadata": "read"}), json!([repository("app")]));
    for (selection, repositories, permissions) in [
        ("all", Value::Null, read.clone()),
        ("all", app.clone(), read.clone()),
        ("selected", json!([repository("app"), repository("web")]), read.clone()),
        ("selected", json!([repository("web")]), read.clone()),
        ("selected", json!([]), read),
        ("selected", app.clone(), json!({"contents": "write", "metadata": "read"})),
        ("selected", app.clone(), json!({"contents": "read", "issues": "read"})),
        ("selected", app.clone(), json!({"contents": "read", "metadata": "write"})),
        ("selected", app, json!({"metadata": "read"})),
    ] {
        let counter = Counter::open().await;
        let body = json!({"token": token, "expires_at": "2999-01-01T00:00:00Z", "permissions": permissions,
            "repository_selection": selection, "repositories": repositories});
        counter.github.fault(Fault::once(MINT, FaultKind::Status(201, body.to_string(), vec![])));
        let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
        let (error_type, message) = counter.refusal(&counter.environment(), ask).await;
        assert_eq!(error_type, "PermissionNotGranted");
        assert!(message.contains("revoked"), "{message}");
        assert_eq!(counter.github.count("DELETE /installation/token"), 1);
        assert!(counter.cached().is_empty());
    }
}

/// One ask out of few names, which are those of repositories and of permissions alike.
fn asks() -> impl Strategy<Value = Value> {
    let names = proptest::sample::subsequence(REPOSITORIES.map(|name| &name[5..]).to_vec(), 1..=4);
    let levels = |name: &'static str, most: &'static str| {
        let levels: Vec<_> = ["read", "write", "admin"].into_iter().collect();
        let count = levels.iter().position(|level| *level == most).unwrap() + 1;
        proptest::sample::select(levels[..count].to_vec()).prop_map(move |level| (name.to_owned(), level.to_owned()))
    };
    let levels: Vec<_> = PERMISSIONS.iter().map(|(name, most)| levels(name, most)).collect();
    let chosen = proptest::sample::subsequence((0..PERMISSIONS.len()).collect::<Vec<_>>(), 1..=5);
    let permissions = (levels, chosen)
        .prop_map(|(levels, chosen)| chosen.iter().map(|at| levels[*at].clone()).collect::<BTreeMap<_, _>>());
    (proptest::option::of((names, any::<bool>())), proptest::option::of(permissions)).prop_map(
        |(names, permissions)| {
            let mut ask = json!({});
            if let Some((mut names, backwards)) = names {
                if backwards {
                    names.reverse();
                }
                ask["repositories"] = json!(names);
            }
            if let Some(permissions) = permissions {
                ask["permissions"] = json!(permissions);
            }
            ask
        },
    )
}

/// The scope that an ask is for, as GitHub would have to grant it.
fn scope(ask: &Value) -> (BTreeSet<String>, BTreeMap<String, String>) {
    let repositories = match ask["repositories"].as_array() {
        Some(names) => names.iter().map(|name| format!("acme/{}", name.as_str().unwrap())).collect(),
        None => REPOSITORIES.map(str::to_owned).into(),
    };
    let everything = || PERMISSIONS.map(|(name, level)| (name.to_owned(), level.to_owned())).into();
    let mut permissions: BTreeMap<String, String> =
        serde_json::from_value(ask["permissions"].clone()).unwrap_or_else(|_| everything());
    permissions.entry("metadata".to_owned()).or_insert_with(|| "read".to_owned());
    (repositories, permissions)
}

#[test]
fn no_request_is_answered_with_the_token_of_another_scope_or_profile() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let counter = runtime.block_on(Counter::open());
    let app = counter.environment();
    let asks = || (proptest::sample::select(vec!["agents", "pushers", "inspect"]), asks());
    let mut runner = TestRunner::new(ProptestConfig { cases: 64, failure_persistence: None, ..Default::default() });
    let result = runner.run(&(asks(), asks()), |(one, other)| {
        runtime.block_on(async {
            let mut tokens = Vec::new();
            for (app, (profile, ask)) in [(&app, &one), (&app, &other), (&counter.environment(), &one)] {
                let answer = counter.ask_as(app, profile, ask.clone()).await.unwrap();
                prop_assert_eq!(counter.scope_of(&answer), scope(ask));
                tokens.push(token_of(&answer).to_owned());
            }
            prop_assert_eq!(&tokens[0], &tokens[2]);
            if one.0 != other.0 {
                prop_assert_ne!(&tokens[0], &tokens[1], "a token is one profile's");
            }
            Ok(())
        })
    });
    result.unwrap_or_else(|error| panic!("{error}\n{runner}"));
    assert_eq!(counter.cached().len(), counter.minted(), "one key for each scope");
}
