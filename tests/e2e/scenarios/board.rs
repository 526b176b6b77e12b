//! `board`: the page that shows the cards.

use fake_github::NewPullRequest;
use local_aws::{Fault, Rule};
use reqwest::header::HOST;
use serde_json::json;
use stack::{BOARD, INSPECTOR, REPOSITORY, Stack};

use crate::harness::operator::Operator;

pub const PAGE: &str = "The board is on this page: ";
pub const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";
pub const TITLE: &str = "Fix <b>login</b> & \"more\"";

/// A board with one card that conflicts and was moved, and so many others.
pub async fn filled(others: usize) -> Stack {
    let stack = Stack::start().await;
    let linked = |state: &str, url: &str| json!({"state": state, "url": url, "created_at": "2026-11-20T09:00:00Z", "mergeability": "conflicting"});
    let history = json!([
        {"at": 1_795_500_000, "what": "linked", "pull_request": "acme/app#42", "by": "webhook", "delivery": "d-1"},
        {"at": 1_795_500_060, "what": "updated", "why": "it conflicts with its base", "pull_request": "acme/app#42",
            "by": "reconcile"},
    ]);
    stack.dynamodb.put(
        "Tasks",
        &json!({"prefix": &TASK[..8], "id": TASK, "title": TITLE, "status": "pr_submitted",
        "priority": "p1", "repository": "acme/app", "repository_id": "7", "pull_request": "7#42", "version": 2,
        "pull_requests": {"7#42": linked("open", "https://github.com/acme/app/pull/42")}, "has_merge_conflict": true,
        "conflict_caused_by": "https://github.com/acme/app/pull/41", "history": history}),
    );
    for number in 0..others {
        let id = format!("{number:08x}{}", "0".repeat(24));
        let status = ["idea", "to_do", "in_progress"][number % 3];
        stack.dynamodb.put(
            "Tasks",
            &json!({"prefix": &id[..8], "id": id, "title": format!("Task number {number}"),
            "status": status, "priority": "p2"}),
        );
    }
    stack
}

/// Somebody who may work the board and nothing else.
pub fn looker(stack: &Stack) -> Operator<'_> {
    let mut looker = Operator::new(stack);
    looker.set("AWS_ACCESS_KEY_ID", BOARD);
    looker
}

#[tokio::test]
async fn the_page_shows_the_cards_and_what_was_done_to_each_without_a_script() {
    let stack = filled(2).await;
    let looker = looker(&stack);
    let mut running = looker.start(&["board"]);
    let url = running.shows(PAGE).await;
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let answer = http.get(&url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    for part in [
        "default-src 'none'",
        "style-src 'sha256-",
        "script-src 'sha256-",
        "connect-src 'self'",
        "frame-ancestors 'none'",
    ] {
        assert!(policy.contains(part), "{part}: {policy}");
    }
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["referrer-policy"], "strict-origin");
    let html = answer.text().await.unwrap();
    for words in [
        "pr_submitted (1)",
        "Fix &lt;b&gt;login&lt;/b&gt; &amp; &quot;more&quot;",
        "conflicts with its base, since <a href=\"https://github.com/acme/app/pull/41\"",
        "href=\"https://github.com/acme/app/pull/42\"",
        "Task number 1",
        "/state\">Deliveries and checks</a>",
    ] {
        assert!(html.contains(words), "{words}\n{html}");
    }
    let card = http.get(format!("{url}/{TASK}")).send().await.unwrap().text().await.unwrap();
    for words in ["linked · acme/app#42 · webhook, delivery d-1", "updated: it conflicts with its base"] {
        assert!(card.contains(words), "{words}\n{card}");
    }
    running.press_ctrl_c();
    assert!(running.ends().await.ok);
}

#[tokio::test]
async fn the_page_is_for_who_has_its_url() {
    let stack = filled(0).await;
    let looker = looker(&stack);
    let mut running = looker.start(&["board"]);
    let url = running.shows(PAGE).await;
    let (root, path) = url.rsplit_once('/').unwrap();
    assert!(path.len() == 32 && root.starts_with("http://127.0.0.1:"), "{url}");
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let other = "0".repeat(32);
    for address in
        [root.to_owned(), format!("{root}/{other}"), format!("{root}/{other}/{TASK}"), format!("{url}/no-task")]
    {
        let answer = http.get(&address).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{address}");
        assert!(answer.headers().contains_key("content-security-policy"));
        assert!(!answer.text().await.unwrap().contains("login"));
    }
    let rebound = http.get(&url).header(HOST, "rebound.example").send().await.unwrap();
    assert_eq!(rebound.status(), 421);
    assert_eq!(http.post(&url).send().await.unwrap().status(), 405);
}

/// Somebody who may look for a reason.
pub fn inspector(stack: &Stack) -> Operator<'_> {
    let mut inspector = Operator::new(stack);
    inspector.set("AWS_ACCESS_KEY_ID", INSPECTOR);
    inspector
}

/// Deliveries of four kinds, more than one page of the log, and one that is forged.
pub async fn deliver(stack: &Stack) {
    let github = &stack.github;
    github.deliver(&github.ping_event()).await;
    stack.create_task("b7c1e2f30198c5c27f00aabbccddeeff", "Add a changelog", "pr_submitted");
    let opened = github.open_pull_request(REPOSITORY, NewPullRequest::titled("Add it [kid: #b7c1e2f3]"));
    github.deliver(&opened).await;
    for _ in 0..25 {
        github.deliver(&github.open_pull_request(REPOSITORY, NewPullRequest::titled("Rewrite the readme"))).await;
    }
    github.deliver(&github.merge(REPOSITORY, opened.number())).await;
    let forged = stack.http.post(stack.front.url()).header("x-github-event", "pull_request").body("{}").send().await;
    assert_eq!(forged.unwrap().status(), 401);
}

#[tokio::test]
async fn the_page_of_deliveries_and_checks_tells_both_in_words_and_numbers() {
    let stack = Stack::start().await;
    deliver(&stack).await;
    stack.secrets.fail(Rule::new(Fault::AccessDenied).from(INSPECTOR));
    let inspector = inspector(&stack);
    let mut running = inspector.start(&["board"]);
    let url = running.shows(PAGE).await;
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let read = async || http.get(format!("{url}/state")).send().await.unwrap().text().await.unwrap();
    let html = read().await;
    for words in [
        "<td class=\"did\">linked</td><td>1</td>",
        "<td class=\"did\">moved</td><td>1</td>",
        "<td class=\"idle\">ignored</td><td>25</td>",
        "<td class=\"idle\">pong</td><td>1</td>",
        "<td class=\"refused\">refused</td><td>1</td>",
        "<svg viewBox=",
        "✓ clone ok",
        "✓ stack ok",
        // The App's key is not this person's to read, and neither is GitHub's own list of deliveries.
        "✗ app-secret failed",
        "– deliveries skipped",
    ] {
        assert!(html.contains(words), "{words}\n{html}");
    }
    stack.lambda.deny(INSPECTOR, "/aws/lambda/webhook");
    let html = read().await;
    assert!(html.contains("They cannot be shown: these AWS credentials may not use the log group"), "{html}");
    assert!(html.contains("logs:FilterLogEvents") && html.contains("✓ clone ok"), "{html}");
    assert_eq!(
        http.get(format!("{}/state", url.replace(&url[url.len() - 4..], "0000"))).send().await.unwrap().status(),
        404
    );
    running.press_ctrl_c();
    assert!(running.ends().await.ok);
}
