//! `pr`: from a pushed branch to a tagged pull request and a card in `pr_submitted`, in one command.

use fake_github::{Fault, FaultKind, NewPullRequest};
use serde_json::{Value, json};
use stack::{REPOSITORY, Stack};

use crate::harness::agent::{Agent, Ended};

pub const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";

/// A clone with a branch on which something is committed and pushed, as a colleague with a key of his own pushes.
pub async fn pushed(stack: &Stack, agent: &Agent<'_>, branch: &str) {
    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    work(agent, branch).await;
    push(stack, agent, branch).await;
}

async fn work(agent: &Agent<'_>, branch: &str) {
    assert!(agent.git("app", &["switch", "-c", branch]).await.ok);
    assert!(agent.git("app", &["commit", "--allow-empty", "-m", "work"]).await.ok);
}

async fn push(stack: &Stack, agent: &Agent<'_>, branch: &str) {
    let to = stack.github.git_folder(REPOSITORY).display().to_string();
    let pushed = agent.git("app", &["push", &to, &format!("HEAD:refs/heads/{branch}")]).await;
    assert!(pushed.ok, "{pushed:?}");
}

/// What was written at GitHub.
fn writes(stack: &Stack) -> Vec<String> {
    let requests = stack.github.requests().into_iter();
    let writes = requests.filter(|request| request.route.contains("/repos/") && request.method != "GET");
    writes.map(|request| request.route).collect()
}

/// Waits for what a delivery writes.
pub async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..600 {
        if holds() {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{what} did not come true");
}

fn refused(ended: Ended) -> String {
    ended.advice()
}

#[tokio::test]
async fn a_pushed_branch_becomes_a_tagged_pull_request_in_one_command() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    agent.set("TOKEN_FUNCTION", "token:agents");
    stack.create_task(TASK, "Fix login timeout", "to_do");
    let started = agent.cli(&["task", "start", "#4d9d444d", "--json"]).await.printed();
    let started: Value = serde_json::from_str(&started).unwrap();
    assert_eq!((&started["branch"], &started["moved_from"]), (&json!("4d9d444d-fix-login-timeout"), &json!("to_do")));
    assert_eq!(stack.read(TASK)["status"], "in_progress");
    pushed(&stack, &agent, "4d9d444d-fix-login-timeout").await;

    std::fs::write(agent.path("body.md"), "What was done").unwrap();
    let ended = agent.cli_in("app", &["pr", "[kid: #4d9d444d]", "--body-file", "../body.md", "--json"]).await;
    let answer: Value = serde_json::from_str(&ended.printed()).unwrap();
    assert_eq!(answer["title"], "Fix login timeout [kid: #4d9d444d]");
    assert_eq!((&answer["opened"], &answer["moved_from"]), (&json!(true), &json!("in_progress")));
    assert_eq!(answer["url"], "https://github.com/acme/app/pull/1");
    let truth = stack.github.truth(REPOSITORY, 1);
    assert_eq!((truth.title.as_str(), truth.base.as_str()), ("Fix login timeout [kid: #4d9d444d]", "main"));
    let tip = agent.git("app", &["rev-parse", "HEAD"]).await.printed();
    assert_eq!(truth.head, tip.trim());
    let minted = stack.github.minted().pop().unwrap();
    assert_eq!(minted.repositories, [REPOSITORY]);
    assert_eq!(
        (minted.permissions["contents"].as_str(), minted.permissions["pull_requests"].as_str()),
        ("read", "write")
    );
    let task = stack.read(TASK);
    assert_eq!(task["status"], "pr_submitted");
    until("the link", || stack.read(TASK)["pull_request"].is_string()).await;

    // Again, from every name that the task has: nothing changes.
    let before = (stack.read(TASK), writes(&stack));
    for name in [TASK, "4D9D444D-0198-C5C2-7F00-AABBCCDDEEFF", "https://github.com/acme/app/pull/1/files"] {
        let url = agent.cli_in("app", &["pr", name, "--title", "Another"]).await.printed();
        assert_eq!(url, "https://github.com/acme/app/pull/1\n");
    }
    assert_eq!((stack.read(TASK), writes(&stack)), before);

    let merged = stack.github.merge(REPOSITORY, 1);
    assert_eq!(stack.github.deliver(&merged).await.status, 200);
    assert_eq!(stack.read(TASK)["status"], "done");
    assert!(refused(agent.cli_in("app", &["pr", TASK]).await).contains("task move 4d9d444d in_progress"));
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn the_pull_request_that_is_open_for_the_branch_gets_the_tag() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "in_progress");
    let other = "4d9d444d1198c5c27f00aabbccddeeff";
    stack.create_task(other, "Another", "to_do");
    let number = stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Mine [kid: #4d9d444d]")).number();
    stack.github.set_collaborator(REPOSITORY, "octocat", "write");
    let arguments = [
        "pr",
        TASK,
        "--repository",
        REPOSITORY,
        "--head",
        "feature",
        "--reviewer",
        "octocat",
        "--reviewer",
        "acme/core",
    ];
    let ended = agent.cli(&arguments).await;
    assert!(ended.ok && ended.stderr.contains("4d9d444d: in_progress → pr_submitted"), "{ended:?}");
    // Eight digits are also another task's, and would move neither.
    assert_eq!(stack.github.truth(REPOSITORY, number).title, "Mine [kid: #4d9d444d] [kid: #4d9d444d0]");
    until("the link", || stack.read(TASK)["pull_request"].is_string()).await;
    assert_eq!(stack.read(other)["status"], "to_do");
    let before = writes(&stack);
    assert_eq!(before.len(), 2, "the title and the reviewers: {before:?}");
    assert!(agent.cli(&arguments).await.ok);
    assert_eq!(writes(&stack), before);
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn each_refusal_says_what_to_do_and_leaves_the_card() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "in_progress");
    stack.create_task("aaaaaaaa0198c5c27f00aabbccddeeff", "One", "to_do");
    stack.create_task("aaaaaaaa1198c5c27f00aabbccddeeff", "Other", "to_do");
    stack.create_task("bbbbbbbb0198c5c27f00aabbccddeeff", "Dropped", "trash");
    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    let pr = async |arguments: &[&str]| refused(agent.cli_in("app", &[&["pr"], arguments].concat()).await);
    assert!(pr(&["cccccccc"]).await.contains("task list"));
    assert!(pr(&["aaaaaaaa"]).await.contains("give more digits"));
    assert!(pr(&["bbbbbbbb"]).await.contains("task move bbbbbbbb in_progress"));
    assert!(pr(&[TASK]).await.contains("git switch -c 4d9d444d-fix-login"), "the branch is the base");
    work(&agent, "feature").await;
    assert!(pr(&[TASK]).await.contains("git push -u origin HEAD"));
    assert!(refused(agent.cli(&["pr", TASK]).await).contains("--repository and --head"), "no clone");
    let to = stack.github.git_folder(REPOSITORY).display().to_string();
    assert!(agent.git("app", &["push", &to, "HEAD~1:refs/heads/feature"]).await.ok);
    let ended = agent.cli_in("app", &["pr", TASK]).await;
    assert!(!ended.ok && ended.stderr.contains("lacks commits of yours"), "{ended:?}");
    assert!(ended.stderr.contains("feature has no commit that main has not"), "{ended:?}");
    push(&stack, &agent, "feature").await;
    assert!(pr(&[TASK, "--base", "release"]).await.contains("--base"));
    assert!(pr(&[TASK, "--body-file", "nowhere"]).await.contains("--body-file nowhere"));
    assert!(agent.git("app", &["switch", "--detach"]).await.ok);
    assert!(pr(&[TASK]).await.contains("--head"));
    assert!(agent.git("app", &["switch", "feature"]).await.ok);

    let mut task = stack.read(TASK);
    task["repository"] = json!("acme/api");
    stack.dynamodb.put("Tasks", &task);
    assert!(pr(&[TASK]).await.contains("is about acme/api, and this is acme/app"));
    task["repository"] = json!("ACME/App");
    stack.dynamodb.put("Tasks", &task);
    assert_eq!((stack.read(TASK), writes(&stack)), (task, vec![]), "nothing was written at any of these");
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn an_app_without_the_permission_is_named() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "in_progress");
    stack.github.set_permissions(&[("contents", "read"), ("metadata", "read"), ("pull_requests", "read")]);
    stack.github.accept_permissions(stack.installation);
    let advice = refused(agent.cli(&["pr", TASK, "--repository", REPOSITORY, "--head", "feature"]).await);
    assert!(advice.contains("not granted"), "{advice}");
    assert_eq!((stack.read(TASK)["status"].as_str(), writes(&stack)), (Some("in_progress"), vec![]));
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn a_run_that_broke_off_is_finished_by_the_next() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "in_progress");
    pushed(&stack, &agent, "feature").await;
    // The pull request is opened, and nobody hears of it.
    let lost = Fault { method: Some("POST".to_owned()), ..Fault::once("/pulls", FaultKind::AnswerThenDrop) };
    stack.github.fault(lost);
    let advice = refused(agent.cli_in("app", &["pr", TASK]).await);
    assert!(advice.contains("does not answer"), "{advice}");
    assert_eq!(stack.read(TASK)["status"], "in_progress", "no card moves on hearsay");
    assert!(agent.cli_in("app", &["pr", TASK]).await.ok);
    assert_eq!(stack.github.numbers(REPOSITORY), [1], "it was opened once");
    assert_eq!(stack.read(TASK)["status"], "pr_submitted");
    stack.github.assert_nothing_unexpected();
}
