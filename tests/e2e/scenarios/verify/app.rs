//! The secrets, the App and its installation.

use fake_github::{AppKey, Selection};
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::{ACCOUNT, APP_SECRET_ID, INSPECTOR, OPERATOR, WEBHOOK_SECRET, WEBHOOK_SECRET_ID, app_secret};

use super::{AS_THE_APP, TASK, healthy, verify};
use crate::harness::operator::Operator;

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
