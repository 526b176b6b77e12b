//! The main job, shown: a signed webhook moves a task, and an agent clones with a minted token.

use std::path::PathBuf;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::process::Command;

use fake_github::NewPullRequest;
use stack::{REPOSITORY, Stack};

use crate::page::Page;
use crate::show::{self, say, say_beside, text};

const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";
const OTHER: &str = "b7c1e2f30198c5c27f00aabbccddeeff";

const NEXT: [(&str, &str); 3] = [
    ("make run", "the same board, kept up, with a prompt: merge 1, conflict 2, lose, tick"),
    ("make install", "the command konduktor-github-app: task list, board, pr, explain"),
    ("make build && make deploy", "on AWS"),
];

/// What stands before each line of the board.
const BOARD: &str = "    | ";

/// Shows every step with the functions' executables of the caller's choice, and stops at the first that does not hold.
///
/// # Errors
/// The step, and what was seen instead.
pub(super) async fn run(binary: impl Fn(&str) -> PathBuf) -> Result<(), String> {
    say("Starting the local stack: the real functions between a local AWS and a fake GitHub.");
    let stack = Stack::with_binaries(0, binary).await;
    say(&format!("  webhook    {}", stack.front.url()));
    say(&format!("  GitHub     {}", stack.github.url()));
    let page = Page::serve(&stack).await?;
    say_beside("  board      ", &page.url);

    stack.create_task(TASK, "Fix login timeout", "pr_submitted");
    show_board(&stack);

    println!();
    say("1. A pull request is named after the task, and GitHub is asked whether it merges.");
    let opened = open(&stack, "Fix login timeout [kid: #4d9d444d]");
    deliver(&stack, &opened, "linked").await?;
    conflict_becomes(&stack, &json!(false)).await?;

    println!();
    say("2. Another one is merged into the same base. GitHub does not say so, but now there is a conflict.");
    let another = open(&stack, "Rewrite the readme");
    let merged = stack.github.merge(REPOSITORY, another.number());
    deliver(&stack, &merged, "ignored").await?;
    conflict_becomes(&stack, &json!(true)).await?;
    let culprit = &stack.read(TASK)["conflict_caused_by"];
    expect("the culprit is named", culprit, &merged.payload["pull_request"]["html_url"])?;

    println!();
    say("3. The agent brings its branch up to date.");
    deliver(&stack, &stack.github.push_rebased(REPOSITORY, opened.number()), "unchanged").await?;
    conflict_becomes(&stack, &json!(false)).await?;

    println!();
    say("4. The pull request is merged. GitHub says so, signed, and the task moves.");
    let merged = stack.github.merge(REPOSITORY, opened.number());
    deliver(&stack, &merged, "moved").await?;
    show_board(&stack);
    expect("the task is done", &stack.read(TASK)["status"], &json!("done"))?;

    println!();
    say("5. Somebody else says so, with a signature of his own. Nothing moves.");
    let status = forge(&stack, &merged.payload).await?;
    say(&format!("  POST pull_request (forged) → {status}"));
    show_board(&stack);
    expect("a forged signature is refused", &json!(status), &json!(401))?;

    println!();
    say("6. A merge whose webhook never came. The next resync finds it.");
    stack.create_task(OTHER, "Add a changelog", "pr_submitted");
    let lost = open(&stack, "Add a changelog [kid: #b7c1e2f3]");
    stack.github.merge(REPOSITORY, lost.number());
    show_board(&stack);
    let before = show::cards(&stack);
    let resync = stack::resync(Some(REPOSITORY));
    let answer = stack.lambda.invoke("reconcile", resync.clone()).await.map_err(|error| error.to_string())?;
    say(&format!("  invoke reconcile {resync}"));
    say_json(&answer);
    show::changes(&before, &show::cards(&stack)).iter().for_each(|line| say(&format!("  {line}")));
    show_board(&stack);
    expect("the task is done", &stack.read(OTHER)["status"], &json!("done"))?;

    println!();
    say("7. An agent asks for a token and clones the private repository with it.");
    let ask = json!({"repositories": ["app"], "permissions": {"contents": "read"}});
    say(&format!("  invoke token {ask}"));
    let minted =
        stack.lambda.invoke("token", ask).await.map_err(|error| format!("the token function failed: {error}"))?;
    let token = minted["token"].as_str().ok_or("the answer holds no token")?;
    let shown = json!({"token": format!("{}…", &token[..8]), "expires_at": minted["expires_at"],
        "permissions": minted["permissions"], "cached": minted["cached"]});
    say(&format!("  → {} until {}, contents: read", text(&shown["token"]), text(&shown["expires_at"])));
    say_json(&shown);
    clone(&stack, token).await?;
    stack.github.assert_nothing_unexpected();
    println!();
    say("Every step held. Next:");
    for (command, what) in NEXT {
        say_beside(&format!("  {command:<27} "), what);
    }
    Ok(())
}

/// All pull requests of the demo touch the same file.
fn open(stack: &Stack, title: &str) -> fake_github::Event {
    stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled(title))
}

/// Hands the table's stream to reconcile, which asks GitHub until it knows.
async fn conflict_becomes(stack: &Stack, wanted: &Value) -> Result<(), String> {
    let before = show::cards(stack);
    stack.stream.drain().await;
    show::changes(&before, &show::cards(stack)).iter().for_each(|line| say(&format!("  {line}")));
    show_board(stack);
    expect("the conflict is known", &stack.read(TASK)["has_merge_conflict"], wanted)
}

async fn deliver(stack: &Stack, event: &fake_github::Event, outcome: &str) -> Result<(), String> {
    let before = show::cards(stack);
    let record = stack.github.deliver(event).await;
    let answer: Value = serde_json::from_str(&record.body).unwrap_or_default();
    let action = event.payload["action"].as_str().unwrap_or_default();
    say(&format!("  POST pull_request.{action} → {} {}", record.status, text(&answer["outcome"])));
    say_json(&answer);
    show::changes(&before, &show::cards(stack)).iter().for_each(|line| say(&format!("  {line}")));
    expect(&format!("{action} is answered with {outcome}"), &answer["outcome"], &json!(outcome))
}

async fn forge(stack: &Stack, payload: &Value) -> Result<u16, String> {
    let body = payload.to_string();
    let signature = fake_github::sign(b"a guess", body.as_bytes());
    let request = stack.http.post(stack.front.url()).header("x-github-event", "pull_request");
    let request = request.header("content-type", "application/json").header("x-hub-signature-256", signature);
    let response = request.body(body).send().await.map_err(|error| error.to_string())?;
    Ok(response.status().as_u16())
}

/// The token goes in through the environment of a credential helper: in the URL it would stay in `.git/config`.
async fn clone(stack: &Stack, token: &str) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let url = format!("{}/{REPOSITORY}.git", stack.github.url());
    let helper = "credential.helper=!f() { echo username=x-access-token; echo \"password=$TOKEN\"; }; f";
    let clone = Command::new("git")
        .args(["-c", "credential.helper=", "-c", helper, "clone", "--quiet", &url, "app"])
        .current_dir(folder.path())
        .env("TOKEN", token)
        .env("GIT_TERMINAL_PROMPT", "0")
        .stderr(Stdio::piped())
        .output()
        .await
        .map_err(|error| format!("git could not be run: {error}"))?;
    if !clone.status.success() {
        return Err(format!("git clone failed: {}", String::from_utf8_lossy(&clone.stderr)));
    }
    let read = |path| std::fs::read_to_string(folder.path().join("app").join(path)).map_err(|error| error.to_string());
    say(&format!("  git clone {url} → README.md: {}", read("README.md")?.trim()));
    if read(".git/config")?.contains(token) {
        return Err("the token stayed in .git/config".into());
    }
    Ok(())
}

fn show_board(stack: &Stack) {
    show::board(&show::cards(stack), show::widest() - BOARD.len()).iter().for_each(|line| println!("{BOARD}{line}"));
}

fn expect(step: &str, seen: &Value, wanted: &Value) -> Result<(), String> {
    if seen == wanted { Ok(()) } else { Err(format!("{step}: expected {wanted}, saw {seen}")) }
}

/// What was answered, as it was, for those who ask for it.
fn say_json(value: &Value) {
    if std::env::var("DEMO_JSON").is_ok_and(|wanted| !wanted.is_empty() && wanted != "0") {
        println!("  {value}");
    }
}
