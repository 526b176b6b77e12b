//! What cannot be stored, and runs that end half way.

use std::time::Duration;

use fake_github::{self as github, FaultKind, Selection};
use local_aws::{Fault, Rule};
use reqwest::header::COOKIE;
use serde_json::{Value, json};
use stack::{ACCOUNT, WEBHOOK_SECRET_ID};

use super::{
    Browser, CONVERSIONS, CREATE, PAGE, WAITING, assert_no_secret_was_left, assert_nothing_is_in_service, deployed,
    install, is_kept, manifest, opened, with_xdg_open,
};
use crate::harness::operator::Operator;

#[tokio::test]
async fn who_may_not_store_is_told_so_before_there_is_an_app() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    for operation in ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"] {
        stack.secrets.fail(Rule::new(Fault::AccessDenied).operation(operation));
        let line = operator.refused(&CREATE).await;
        assert!(line.contains(&format!("secretsmanager:{operation}")), "{line}");
        stack.secrets.clear_faults();
    }
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!("no JSON")).await;
    let line = operator.refused(&CREATE).await;
    assert!(line.starts_with("the webhook secret konduktor/webhook cannot be used"), "{line}");
    assert_eq!(stack.github.requests().len(), 0);
    assert!(!is_kept(&stack).await);
}

#[tokio::test]
async fn a_key_that_cannot_be_stored_is_told_what_to_do_about() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    // The trial before the page is the first one.
    stack.secrets.fail(Rule::new(Fault::AccessDenied).operation("PutSecretValue").after(1));
    let mut running = operator.start(&[&CREATE[..], &["--organization", "acme"]].concat());
    let url = running.shows(PAGE).await;
    let shown = Browser::new().create(&url).await;
    let ended = running.ends().await;
    for words in [
        "GitHub has made the App Konduktor fake (App ID 1234567), but its key could not be stored",
        "secretsmanager:PutSecretValue",
        "https://github.com/organizations/acme/settings/apps/konduktor-fake",
        "konduktor-github-app configure --app-id 1234567 --pem FILE",
    ] {
        assert!(ended.stderr.contains(words) && shown.html.contains(words), "{words}: {ended:?} {shown:?}");
    }
    assert_no_secret_was_left(&operator, &ended);
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;

    // What the message says works.
    stack.secrets.clear_faults();
    let installation = stack.github.install(ACCOUNT, Selection::All);
    operator.file("app.pem", &stack.github.app().pem);
    let done = operator.json(&["configure", "--app-id", "1234567", "--pem", "app.pem"]).await;
    assert_eq!(done["installation_id"], installation);
}

#[tokio::test]
async fn ended_after_the_app_was_made_it_goes_on_without_a_second_one() {
    let stack = deployed().await;
    let mut operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    assert_eq!(Browser::new().create(&url).await.status, 200);
    running.shows(WAITING).await;
    running.press_ctrl_c();
    let ended = running.ends().await;
    assert!(!ended.ok, "{ended:?}");
    assert_eq!(
        ended.stderr,
        "konduktor-github-app: left for later: the App is made and its key is kept. Install it, then run \
         `konduktor-github-app create` again to finish\n"
    );
    assert!(is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;
    let refused = stack.lambda.invoke("token", json!({})).await.unwrap_err();
    assert_eq!(refused.error_type, "NotConfigured");

    // Not installed yet: the browser opens where it is installed.
    with_xdg_open(&mut operator);
    let running = operator.start(&["create", "--json"]);
    assert_eq!(opened(&operator).await, "https://github.com/apps/konduktor-fake/installations/new");
    let installation = install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok && ended.stderr.contains("Going on with the App 1234567"), "{ended:?}");
    let done: Value = serde_json::from_str(&ended.stdout).unwrap();
    let app = stack.github.app();
    assert_eq!(
        done,
        json!({"app_id": app.id, "client_id": app.client_id, "slug": app.slug, "installation_id": installation,
            "fingerprint": format!("SHA256:{}", app.fingerprint), "account": ACCOUNT, "app_secret": "written",
            "webhook": "set", "webhook_url": stack.front.url(),
            "ping": {"status": 200, "answer": "{\"outcome\":\"pong\"}"}})
    );
    assert!(!is_kept(&stack).await);
    assert_eq!((stack.github.manifests().len(), stack.github.count(CONVERSIONS)), (1, 1));
}

#[tokio::test]
async fn ended_before_there_is_an_app_nothing_is_stored() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    running.shows("Waiting for GitHub").await;
    running.press_ctrl_c();
    let ended = running.ends().await;
    assert!(!ended.ok && ended.stderr.contains("ended before GitHub named an App: nothing was stored"), "{ended:?}");
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;
}

#[tokio::test]
async fn ctrl_c_does_not_lose_a_key_on_its_way_into_the_secret() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    stack.secrets.fail(Rule::new(Fault::Delay(Duration::from_secs(2))).operation("PutSecretValue").after(1).times(1));
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    let press = async {
        while stack.github.count(CONVERSIONS) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        running.press_ctrl_c();
    };
    let mut browser = Browser::new();
    let (shown, ()) = tokio::join!(browser.create(&url), press);
    assert_eq!(shown.status, 200, "{shown:?}");
    assert!(is_kept(&stack).await);
    install(&stack).await;
    assert!(running.ends().await.ok);
}

#[tokio::test]
async fn a_run_that_goes_on_looks_at_where_the_app_delivers_too() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    stack.github.fault(github::Fault::always("/app/hook/config", FaultKind::Hang));
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    let mut browser = Browser::new();
    let mut form = browser.open(&url).await.form();
    let mut asked = manifest(&form);
    asked["hook_attributes"] = json!({"url": "https://somebody.example/hook", "active": true});
    form.manifest = asked.to_string();
    let back = browser.press(&form).await;
    // It gets no answer: what would give one ends.
    let person = browser.http.get(&back).header(COOKIE, browser.cookie.clone().unwrap()).send();
    let ended = async {
        while !stack.github.requests().iter().any(|request| request.path == "/app/hook/config") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.press_ctrl_c();
        running.ends().await
    };
    let ended = tokio::select! {
        ended = ended => ended,
        _ = async { drop(person.await); std::future::pending::<()>().await } => unreachable!(),
    };
    assert!(!ended.ok && is_kept(&stack).await, "{ended:?}");
    stack.github.clear_faults();
    let line = operator.refused(&[&CREATE[..], &["--yes"]].concat()).await;
    assert!(line.contains("has the webhook https://somebody.example/hook, which was not requested"), "{line}");
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;
}
