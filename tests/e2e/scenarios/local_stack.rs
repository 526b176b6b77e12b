//! `make run` and `make demo`: the local stack, as a person at a terminal meets it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use local_aws::lambda::binary;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use unicode_width::UnicodeWidthStr;

use crate::harness::agent::CLI;
use crate::harness::terminal;

/// No line of the demonstration wraps on a terminal that is shared or filmed.
const WIDEST: usize = 99;

fn stack(folder: &Path, command: &str, port: &str) -> Command {
    let mut stack = Command::new(binary("stack"));
    stack.arg(command).current_dir(folder).env("PORT", port).env("NO_COLOR", "1");
    stack
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn what_is_typed_at_the_prompt_happens_and_is_told() {
    for columns in [80, 200] {
        let folder = folder();
        let (ended, screen) = terminal::converse_on(
            columns,
            stack(folder.path(), "run", "0"),
            &[
                ("> ", "conflict 2"),
                ("b7c1e2f3 Add a changelog: #2 open, conflicts since #3 was merged", "merge #2"),
                ("#2 conflicts, GitHub does not merge it: push 2", "push 2"),
                ("b7c1e2f3 Add a changelog: #2 open, merges", "merge https://github.com/acme/app/pull/1"),
                ("4d9d444d Fix login timeout: moved pr_submitted → done", "open Write it [kid: #0c5a91d7]"),
                ("0c5a91d7 Write the guide: #4 open, merges", "lose"),
                ("the next delivery is lost", "merge 2"),
                ("#2 pull_request.closed: nobody was told", "tick"),
                ("b7c1e2f3 Add a changelog: moved pr_submitted → done", "merge 9"),
                ("say which open pull request: merge N, of 4", "open"),
                ("it is merged, and its card moves", "board"),
                ("done          b7c1e2f3  Add a changelog", "quit"),
            ],
        );
        assert!(ended, "{screen}");
        assert!(!screen.contains("panicked") && !screen.contains("ERROR"), "{screen}");
    }
}

#[test]
fn a_port_that_is_taken_or_none_is_one_line() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    for (port, words) in [(&*taken, "say another, as in `make run PORT=9001`"), ("seventy", "PORT=seventy is no port")]
    {
        let folder = folder();
        let Output { status, stdout, stderr } =
            stack(folder.path(), "run", port).stdin(Stdio::null()).output().unwrap();
        let said = String::from_utf8(stderr).unwrap();
        assert!(!status.success() && stdout.is_empty(), "{said}");
        assert!(said.lines().count() == 1 && said.contains(words), "{said}");
    }
}

#[tokio::test]
async fn another_terminal_sources_one_file_and_a_browser_takes_the_url() {
    let folder = folder();
    let mut command = tokio::process::Command::from(stack(folder.path(), "run", "0"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut running = command.spawn().unwrap();
    let mut lines = BufReader::new(running.stdout.take().unwrap()).lines();
    let mut url = String::new();
    loop {
        let line = lines.next_line().await.unwrap().expect("it goes on without anybody to type");
        if line.trim().starts_with("http://127.0.0.1:") {
            line.trim().clone_into(&mut url);
        }
        if line.contains("quit") {
            break;
        }
    }
    let commands = binary(CLI).parent().unwrap().display().to_string();
    for (script, words) in [
        ("konduktor-github-app task list", "Fix login timeout"),
        ("konduktor-github-app verify", "21 ok, 0 failed, 0 skipped\n"),
        ("konduktor-github-app explain 4d9d444d", "Nothing is wrong"),
    ] {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", &format!(". target/local.env && {script}")]).current_dir(folder.path()).env_clear();
        shell.env("PATH", format!("{commands}:{}", std::env::var("PATH").unwrap())).env("HOME", folder.path());
        let ended = shell.output().await.unwrap();
        let said = String::from_utf8(ended.stdout).unwrap();
        assert!(ended.status.success() && said.contains(words), "{script}: {said}{:?}", ended.stderr);
    }
    let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
    let page = http.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("Fix login timeout") && page.contains("pr_submitted (2)"), "{page}");
}

#[test]
fn the_demonstration_fits_any_terminal_and_says_what_next() {
    for columns in [80, 200] {
        let folder = folder();
        let screen = terminal::run(stack(folder.path(), "demo", "0"), columns);
        for words in
            ["board      http://127.0.0.1:", "moved pr_submitted → done", "Every step held. Next:", "make run "]
        {
            assert!(screen.contains(words), "{words}\n{screen}");
        }
        for line in screen.lines() {
            assert!(line.width() <= WIDEST.min(usize::from(columns)) && !line.contains("{\"outcome\""), "{line:?}");
        }
    }
}
