//! The webhook at GitHub and what came of its deliveries.

use fake_github::{self as github, FaultKind, NewPullRequest};
use serde_json::json;
use stack::{REPOSITORY, WEBHOOK_SECRET};

use super::{healthy, verify};
use crate::harness::operator::Operator;

#[tokio::test]
async fn the_webhook_at_github_has_to_be_as_deployed() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let good = stack.github.hook_config();
    let mut elsewhere = good.clone();
    elsewhere.url = Some("https://elsewhere.example/hook".to_owned());
    let (mut nowhere, mut form, mut unsigned) = (good.clone(), good.clone(), good.clone());
    nowhere.url = None;
    form.content_type = "form".to_owned();
    unsigned.secret = None;
    for (hook, seen) in [
        (&elsewhere, "GitHub delivers to https://elsewhere.example/hook and not to http"),
        (&nowhere, "no webhook URL"),
        (&form, "the content type is form"),
        (&unsigned, "no webhook secret"),
    ] {
        stack.github.set_hook_config(hook.clone());
        let next = ["`konduktor-github-app configure`", "--webhook-url"];
        verify(&operator, &[]).await.assert_only("webhook-config", &[], seen, &next);
    }
    stack.github.set_hook_config(elsewhere);
    let found = verify(&operator, &["--webhook-url", "https://elsewhere.example/hook"]).await;
    assert_eq!(found.check("webhook-config")["verdict"], "ok");
    found.assert_only("deliveries", &[], "none to https://elsewhere.example/hook", &["edit the title", "configure"]);
    stack.github.set_hook_config(good);
    stack.github.fault(github::Fault::always("/app/hook/config", FaultKind::ServerError));
    verify(&operator, &[]).await.assert_only("webhook-config", &[], "could not", &["does not answer"]);
}

#[tokio::test]
async fn failed_deliveries_are_told_with_their_answers_and_what_each_means() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let pull_request =
        stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Fix logout [kid: #4d9d444d]"));
    let configure = "run `konduktor-github-app configure`";
    let not_configured = json!({"outcome": "not_configured", "reason": "the GitHub App is not configured"}).to_string();
    for (status, outcome, body, seen, next) in [
        (0, "failed to connect to host", "", "→ failed to connect to host", "its certificate is valid"),
        (301, "Invalid HTTP Response: 301", "<html>moved</html>", "→ 301: <html>moved</html>", "--webhook-url"),
        (400, "Invalid HTTP Response: 400", "{\"reason\": \"no JSON\"}", "→ 400: no JSON", "content type"),
        (
            404,
            "Invalid HTTP Response: 404",
            "{\"message\":\"Not Found\"}",
            "→ 404: Not Found",
            "does not lead to the webhook",
        ),
        (
            413,
            "Invalid HTTP Response: 413",
            "{\"message\":\"Request Entity Too Large\"}",
            "→ 413: Request",
            "over 6 MB",
        ),
        (429, "Invalid HTTP Response: 429", "{\"message\":\"Too Many Requests\"}", "→ 429: Too Many", "ThrottlingRate"),
        (
            500,
            "Invalid HTTP Response: 500",
            "{\"message\":\"Internal Server Error\"}",
            "→ 500: Internal",
            "aws logs tail /aws/lambda/webhook",
        ),
        (502, "Invalid HTTP Response: 502", "", "→ 502", "aws logs tail"),
        (
            503,
            "Invalid HTTP Response: 503",
            "{\"message\":\"Service Unavailable\"}",
            "→ 503: Service",
            "WebhookConcurrency",
        ),
        (503, "Invalid HTTP Response: 503", &not_configured, "→ 503: the GitHub App is not configured", configure),
        (504, "timed out", "{\"message\":\"Endpoint request timed out\"}", "→ 504: Endpoint", "aws logs tail"),
    ] {
        stack.github.forget_deliveries();
        stack.github.deliver(&stack.github.ping_event()).await;
        stack.github.record_delivery(&pull_request, status, outcome, body);
        let found = verify(&operator, &[]).await;
        found.assert_only("deliveries", &[], "pull_request.opened at 20", &[next]);
        found.assert_words("deliveries", seen, &[]);
        found.assert_words("deliveries", "of the latest 2, ", &[]);
    }
    // The real webhook refuses what is signed with another secret.
    stack.github.forget_deliveries();
    stack.github.set_hook(&stack.front.url(), "another secret");
    assert_eq!(stack.github.deliver(&pull_request).await.status, 401);
    let found = verify(&operator, &[]).await;
    let seen = "→ 401: the signature is missing or wrong";
    found.assert_only("deliveries", &[], seen, &["GitHub signs with another secret than the stack's", configure]);
    // Several at once are told one by one.
    stack.github.record_delivery(&stack.github.installation_event(stack.installation, "created"), 429, "", "");
    let found = verify(&operator, &[]).await;
    found.assert_only(
        "deliveries",
        &[],
        "1 answered 401, 1 answered 429; installation.created at",
        &["ThrottlingRate", configure],
    );
}

#[tokio::test]
async fn a_failure_that_later_deliveries_disprove_is_told_and_fails_nothing() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let installed = stack.github.installation_event(stack.installation, "created");
    let opened = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Another"));
    let secret = stack.github.hook_config();
    stack.github.forget_deliveries();
    // An event that comes once in an App's life, refused for its signature: any later success disproves it.
    stack.github.set_hook(&stack.front.url(), "another secret");
    assert_eq!(stack.github.deliver(&installed).await.status, 401);
    stack.github.set_hook_config(secret.clone());
    stack.github.deliver(&stack.github.ping_event()).await;
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    let seen = found.check("deliveries")["seen"].as_str().unwrap().to_owned();
    for words in
        ["1 answered 200, 1 answered 401", "1 failed before and no longer do, installation.created at 20", "(401)"]
    {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    // What a pull request broke, a ping does not disprove; another pull request does.
    stack.github.record_delivery(&opened, 500, "Invalid HTTP Response: 500", "");
    stack.github.deliver(&stack.github.ping_event()).await;
    verify(&operator, &[]).await.assert_only("deliveries", &[], "pull_request.opened at", &["the function's log"]);
    stack.github.deliver(&opened).await;
    verify(&operator, &[]).await.assert_all_hold();
    // What another server answered says nothing about this one, in neither direction.
    stack.github.set_hook("https://elsewhere.example/hook", WEBHOOK_SECRET);
    stack.github.record_delivery(&opened, 500, "Invalid HTTP Response: 500", "");
    stack.github.set_hook_config(secret.clone());
    verify(&operator, &[]).await.assert_all_hold();
    stack.github.set_hook("https://elsewhere.example/hook", WEBHOOK_SECRET);
    stack.github.record_delivery(&opened, 200, "OK", "");
    stack.github.set_hook_config(secret);
    verify(&operator, &[]).await.assert_only("deliveries", &[], "none to http", &["edit the title"]);
    stack.github.forget_deliveries();
    verify(&operator, &[]).await.assert_only("deliveries", &[], "is on record", &["/advanced", "not Active"]);
}
