//! What GitHub told, tried to tell, or did not.

use fake_github::{self as github, FaultKind};
use local_aws::lambda::access_key_id;
use local_aws::{Fault, Rule};
use serde_json::json;
use stack::{REPOSITORY, Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID};

use super::{Story, page};

#[tokio::test]
async fn what_github_did_not_get_through_is_named_and_the_command_makes_up_for_it() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    let hook = stack.front.url();
    let webhook = access_key_id("webhook");
    let cases = [
        ("no_delivery", "because no delivery that was taken says so (one may be on its way); reconcile makes up"),
        ("signature_refused", "was answered with 401, as GitHub had another webhook secret than the stack: run `"),
        (
            "not_configured",
            "was answered with 503, the GitHub App is not configured; run `konduktor-github-app configure`; reconcile",
        ),
        ("webhook_failed", "failed in the webhook, whose log tells more (it could not be stored;"),
        ("delivery_refused", "was answered with 400, the body lacks the field `merged`; reconcile makes up"),
        ("not_delivered", "did not reach the webhook (GitHub says: failed to connect to host): "),
    ];
    for (at, (cause, words)) in cases.into_iter().enumerate() {
        let digits = format!("aaaaaaa{at}");
        desk.task(&digits, "pr_submitted");
        let number = desk.opened(&format!("Work [kid: #{digits}]")).await;
        let mut merged = stack.github.merge(REPOSITORY, number);
        match cause {
            "no_delivery" => {}
            "signature_refused" => stack.github.set_hook(&hook, "another secret"),
            "not_configured" => {
                // Twice, so that no earlier version is left that would work.
                stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": ""})).await;
                stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": ""})).await;
                stack.lambda.kill_environments("webhook");
            }
            "webhook_failed" => stack.dynamodb.fail(Rule::new(Fault::AccessDenied).from(&webhook)),
            "delivery_refused" => drop(merged.payload["pull_request"].as_object_mut().unwrap().remove("merged")),
            _ => stack.github.set_hook("http://127.0.0.1:9/", WEBHOOK_SECRET),
        }
        if cause != "no_delivery" {
            assert_ne!(stack.github.deliver(&merged).await.status, 200);
        }
        stack.dynamodb.clear_faults();
        stack.github.set_hook(&hook, WEBHOOK_SECRET);
        stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET})).await;
        stack.lambda.kill_environments("webhook");
        for name in [&page(number), &digits] {
            let sentence = desk.sentence(name, cause).await;
            let expected = format!("acme/app#{number} is merged on GitHub and stored as open, because ");
            assert!(sentence.starts_with(&expected) && sentence.contains(words), "{sentence}");
            assert!(sentence.contains(" within 15 minutes, or at once with:"), "{sentence}");
        }
        desk.follow(&digits).await;
        assert_eq!(desk.status(&digits), "done");
        desk.sentence(&digits, "done").await;
    }
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn the_next_look_at_the_repository_is_told_where_it_is_known() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    stack.lambda.invoke("reconcile", json!({"resync": REPOSITORY})).await.unwrap();
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.open("Lost [kid: #4d9d444d]").number();
    let sentence = desk.sentence(&page(number), "no_delivery").await;
    assert!(sentence.starts_with("acme/app#1 is open on GitHub and not stored, because "), "{sentence}");
    assert!(
        sentence.contains("when it next reads the repository, 20")
            && sentence.contains("(in 1")
            && sentence.contains(" min)"),
        "{sentence}"
    );
    desk.follow(&page(number)).await;
    desk.sentence(&page(number), "open").await;
    stack.github.push(REPOSITORY, number);
    stack.github.retitle(REPOSITORY, number, "Lost and found [kid: #4d9d444d]");
    let sentence = desk.sentence("4d9d444d", "no_delivery").await;
    let expected = "acme/app#1 has changed on GitHub (its title, its head) and is stored as it was, because ";
    assert!(sentence.starts_with(expected), "{sentence}");
}

#[tokio::test]
async fn a_failed_delivery_that_was_made_up_for_is_not_to_blame() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("aaaaaaaa", "pr_submitted");
    desk.task("bbbbbbbb", "pr_submitted");
    let opened = desk.open("Again [kid: #aaaaaaaa]");
    let refused = desk.refused(&opened).await;
    assert_eq!(stack.github.redeliver(refused).await.status, 200);
    let explained = desk.explained("aaaaaaaa").await;
    assert_eq!(explained["cause"], "open", "{explained:#}");
    let again = &explained["deliveries"]["about"];
    assert_eq!((&again[0]["redelivery"], &again[1]["status_code"]), (&json!(true), &json!(401)));

    desk.refused(&stack.github.push(REPOSITORY, 1)).await;
    desk.deliver(&stack.github.push(REPOSITORY, 1)).await;
    stack.github.merge(REPOSITORY, 1);
    desk.sentence("aaaaaaaa", "no_delivery").await;

    // Delivered again, and without a tag it was of no concern.
    let opened = desk.open("Fix login");
    let refused = desk.refused(&opened).await;
    assert_eq!(stack.github.redeliver(refused).await.status, 200);
    stack.github.retitle(REPOSITORY, opened.number(), "Fix login [kid: #bbbbbbbb]");
    desk.sentence(&page(opened.number()), "no_delivery").await;
}

#[tokio::test]
async fn a_webhook_that_github_does_not_know_or_that_does_not_know_the_installation_is_named() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.open("Work [kid: #4d9d444d]").number();
    stack.github.set_hook("https://hooks.example.com/github", WEBHOOK_SECRET);
    let sentence = desk.sentence(&page(number), "webhook_elsewhere").await;
    let expected = format!(
        "because GitHub delivers to https://hooks.example.com/github and not to the stack's webhook, {}: set it",
        stack.front.url()
    );
    assert!(sentence.contains(&expected), "{sentence}");
    stack.github.set_hook(&stack.front.url(), WEBHOOK_SECRET);

    stack.github.set_events(&[]);
    stack.github.accept_permissions(stack.installation);
    let sentence = desk.sentence(&page(number), "not_subscribed").await;
    assert!(
        sentence.contains("sends no pull_request events: tick \"Pull request\" under https://github.com/"),
        "{sentence}"
    );
    stack.github.set_events(&["pull_request"]);
    stack.github.accept_permissions(stack.installation);

    let served = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [1]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &served).await;
    stack.lambda.kill_environments("webhook");
    desk.deliver(&stack.github.push(REPOSITORY, number)).await;
    let explained = desk.explained(&page(number)).await;
    assert_eq!((&explained["cause"], &explained["served"]), (&json!("not_served"), &json!(false)), "{explained:#}");
    let sentence = explained["explanation"].as_str().unwrap();
    let expected =
        format!("that the secret {WEBHOOK_SECRET_ID} lists and {} is not among them: add it there", stack.installation);
    assert!(sentence.contains(&expected), "{sentence}");
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": "changeme"})).await;
    let sentence = desk.sentence(&page(number), "not_configured").await;
    assert!(
        sentence.contains(
            "because the secret konduktor/webhook is not configured (webhook_secret is empty or a placeholder): run"
        ),
        "{sentence}"
    );
    // Once it is listed, the next delivery tells reconcile as well.
    let served = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [1, stack.installation]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &served).await;
    stack.lambda.kill_environments("webhook");
    desk.deliver(&stack.github.push(REPOSITORY, number)).await;
    desk.sentence(&page(number), "open").await;
}

#[tokio::test]
async fn a_task_without_a_pull_request_is_explained_by_a_delivery_that_names_it() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let sentence = desk.sentence("4d9d444d", "no_pull_request").await;
    assert!(
        sentence.starts_with(
            "No pull request names task 4d9d444d, as far as is stored and was delivered lately: put [kid: #4d9d444d]"
        ),
        "{sentence}"
    );
    desk.opened("Another's [kid: #aaaaaaaa]").await;
    let opened = desk.open("Mine [kid: #4d9d444d]");
    desk.refused(&opened).await;
    let explained = desk.explained("4d9d444d").await;
    assert_eq!(explained["cause"], "signature_refused", "{explained:#}");
    assert_eq!(explained["pull_request"]["name"], format!("acme/app#{}", opened.number()));
    assert_eq!(explained["deliveries"]["about"].as_array().unwrap().len(), 1);
    desk.follow("4d9d444d").await;
    desk.sentence("4d9d444d", "open").await;
}

#[tokio::test]
async fn a_lost_merge_is_explained_without_the_deliveries() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.opened("Work [kid: #4d9d444d]").await;
    stack.github.merge(REPOSITORY, number);
    stack.github.fault(github::Fault::always("/app/hook/deliveries", FaultKind::ServerError));
    let sentence = desk.sentence("4d9d444d", "delivery_unknown").await;
    assert!(sentence.contains("and why no delivery told is not known"), "{sentence}");
    desk.follow("4d9d444d").await;
    assert_eq!(desk.status("4d9d444d"), "done");
}

#[tokio::test]
async fn of_many_deliveries_the_newest_are_read_and_that_is_said() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.open("Lost [kid: #4d9d444d]").number();
    let busy = desk.opened("Busy").await;
    for _ in 0..40 {
        desk.deliver(&stack.github.push(REPOSITORY, busy)).await;
    }
    stack.github.clear_requests();
    let explained = desk.explained(&page(number)).await;
    assert_eq!(explained["cause"], "delivery_unknown", "{explained:#}");
    let deliveries = json!({"about": [], "listed": 41, "read": 30, "complete": false});
    assert_eq!(explained["deliveries"], deliveries);
    assert_eq!(stack.github.count("GET /app/hook/deliveries/{id}"), 30);
    let people = desk.operator.cli(&["explain", &page(number)]).await.stdout;
    assert!(people.contains("looked at the newest 30 of pull requests, of 41 deliveries listed"), "{people}");
}
