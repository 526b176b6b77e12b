//! A task and a pull request that are named.

use fake_github::NewPullRequest;
use local_aws::{Fault, Rule};
use stack::{OPERATOR, REPOSITORY};

use super::{TASK, healthy, verify};
use crate::harness::operator::Operator;

#[tokio::test]
async fn a_tag_has_to_name_one_task_and_its_column_is_told() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let seen = async |tag: &str| {
        let found = verify(&operator, &["--task", tag]).await;
        found.assert_all_hold();
        found.check("task")["seen"].as_str().unwrap().to_owned()
    };
    let linked = seen("4d9d444d").await;
    assert!(linked.starts_with(&format!("{TASK} is in pr_submitted; https://")), "{linked}");
    assert!(linked.ends_with("(open, current)"), "{linked}");
    let other = "aaaaaaaa0198c5c27f00aabbccddeeff";
    stack.create_task(other, "Another", "in_progress");
    let idle = seen("#AAAAAAAA").await;
    assert_eq!(
        idle,
        format!("{other} is in in_progress, and a merge moves a task out of pr_submitted only; it has no pull request")
    );
    stack.create_task("aaaaaaaa0198c5c27f00aabbccddee00", "Its twin", "to_do");
    let found = verify(&operator, &["--task", "aaaaaaaa"]).await;
    found.assert_only("task", &[], "", &["more than one task", "give more digits"]);
    let found = verify(&operator, &["--task", "00000000"]).await;
    found.assert_only("task", &[], "", &["no task has an id that begins with 00000000", "task list"]);
    stack.dynamodb.fail(Rule::new(Fault::AccessDenied).operation("Query").from(OPERATOR));
    verify(&operator, &["--task", TASK]).await.assert_only("task", &[], "could not", &["dynamodb:Query"]);
    let ended = operator.cli(&["verify", "--task", "4d9d"]).await;
    assert!(!ended.ok && ended.stdout.is_empty() && ended.stderr.contains("8 to 32 hex digits"), "{ended:?}");
}

#[tokio::test]
async fn a_pull_request_is_followed_from_its_title_to_its_card() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    let follow = async |number: u64| {
        let url = format!("https://github.com/{REPOSITORY}/pull/{number}");
        verify(&operator, &["--pull-request", &url]).await
    };
    let asked = follow(1).await;
    assert_eq!(asked.of("unproven"), ["pull-request"], "whether it merges is still being asked: {:#?}", asked.checks);
    stack.stream.drain().await;
    let open = follow(1).await;
    open.assert_all_hold();
    assert!(open.check("pull-request")["seen"].as_str().unwrap().contains("moves to done when"), "{:#?}", open.checks);
    stack.github.deliver(&stack.github.merge(REPOSITORY, 1)).await;
    let merged = follow(1).await;
    merged.assert_all_hold();
    assert!(merged.check("pull-request")["seen"].as_str().unwrap().contains("is done, by the merge of"));

    let untagged = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("No tag"));
    stack.github.deliver(&untagged).await;
    follow(untagged.number()).await.assert_only("pull-request", &[], "no_tag", &["[kid: #"]);
    let unknown = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Nobody's [kid: #00000000]"));
    stack.github.deliver(&unknown).await;
    follow(unknown.number()).await.assert_only("pull-request", &[], "no_task", &["00000000"]);
    follow(99).await.assert_only("pull-request", &[], "not_found", &["99"]);
}
