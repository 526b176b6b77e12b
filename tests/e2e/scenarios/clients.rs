//! Other people's programs with the App's tokens: git LFS, and GitHub's own `gh`. `make clients` runs it, with both from Debian.

use std::path::Path;

use serde_json::{Value, json};
use stack::{REPOSITORY, Stack};

use crate::harness::agent::Agent;
use crate::scenarios::pr::{TASK, pushed, until};

/// Large enough to be worth it, and no text.
const LARGE: &[u8] = &[0xff, 0x00, 0x7f, 0x80];

async fn grant_write(stack: &Stack) {
    stack.github.set_permissions(&[("contents", "write"), ("metadata", "read"), ("pull_requests", "write")]);
    stack.github.accept_permissions(stack.installation);
}

#[tokio::test]
// `make test` promises Rust, a C compiler and git alone; `.ci/run` runs this one by itself, and fails where what it needs is missing.
#[ignore = "needs git-lfs: make clients"]
async fn large_files_are_pushed_and_cloned_with_tokens_of_their_repository_alone() {
    let stack = Stack::start().await;
    grant_write(&stack).await;
    let agent = Agent::new(&stack);
    agent.cli(&["setup-git", "--push"]).await.printed();
    let git = async |folder: &str, arguments: &[&str]| {
        let ended = agent.git(folder, arguments).await;
        assert!(ended.ok, "{arguments:?}: {ended:?}");
        ended
    };
    git(".", &["lfs", "install"]).await;
    git(".", &["clone", &agent.url(REPOSITORY), "app"]).await;
    git("app", &["lfs", "track", "*.bin"]).await;
    std::fs::write(agent.path("app/large.bin"), LARGE).unwrap();
    git("app", &["add", "."]).await;
    git("app", &["commit", "-m", "a large file"]).await;
    let pushed = git("app", &["push", "origin", "HEAD:refs/heads/large"]).await;
    let stored = stack.github.requests().into_iter().filter(|request| request.method == "PUT").count();
    assert_eq!(stored, 1, "{pushed:?}");
    let cloned = git(".", &["clone", "--branch", "large", &agent.url(REPOSITORY), "again"]).await;
    assert_eq!(std::fs::read(agent.path("again/large.bin")).unwrap(), LARGE, "{cloned:?}");
    for minted in stack.github.minted() {
        assert_eq!(minted.repositories, [REPOSITORY.to_owned()]);
    }
    agent.assert_no_token_was_left(&[&pushed, &cloned]);

    // Without the right to push nothing is uploaded, and git says why.
    agent.cli(&["setup-git"]).await.printed();
    std::fs::write(agent.path("app/more.bin"), b"more").unwrap();
    git("app", &["add", "."]).await;
    git("app", &["commit", "-m", "another"]).await;
    let refused = agent.git("app", &["push", "origin", "HEAD:refs/heads/large"]).await;
    assert!(!refused.ok && refused.stderr.contains("denied"), "{refused:?}");
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
#[ignore = "needs gh: make clients"]
async fn gh_opens_a_pull_request_that_moves_its_card_and_shows_it() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    stack.create_task(TASK, "Fix login", "pr_submitted");
    pushed(&stack, &agent, "fix-login").await;
    let asked =
        ["token", "--repository", "app", "--permission", "pull_requests=write", "--permission", "contents=read"];
    let token = agent.cli(&asked).await.printed();
    let gh = async |arguments: &[&str]| {
        let mut command = agent.command(Path::new("gh"), arguments);
        // gh speaks TLS to every host but this one, whose requests a proxy may have: the fake takes them as one.
        command.env("GH_HOST", "github.localhost").env("http_proxy", stack.github.url()).env("GH_TOKEN", token.trim());
        command.env("GH_CONFIG_DIR", agent.path("gh")).env("GH_PROMPT_DISABLED", "1").current_dir(agent.path("app"));
        let output = command.output().await.expect("gh is on the PATH");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(gh(&["api", "repos/acme/app", "--jq", ".full_name"]).await, "acme/app\n");
    let title = "Fix login [kid: #4d9d444d]";
    let create = [
        "pr",
        "create",
        "--repo",
        REPOSITORY,
        "--head",
        "fix-login",
        "--base",
        "main",
        "--body",
        "b",
        "--title",
        title,
    ];
    let url = gh(&create).await;
    let number = url.trim().rsplit('/').next().unwrap().to_owned();
    let shown: Value =
        serde_json::from_str(&gh(&["pr", "view", &number, "--repo", REPOSITORY, "--json", "title,state,url"]).await)
            .unwrap();
    assert_eq!(shown, json!({"title": title, "state": "OPEN", "url": url.trim()}));
    assert!(gh(&["pr", "list", "--repo", REPOSITORY]).await.contains(title));
    // In the clone gh finds both out by itself: the repository by its remote, the pull request by the branch. Without --json Debian's gh also
    // asks for projects of the old kind, which GitHub has no more.
    let remote = agent.git("app", &["remote", "set-url", "origin", "http://github.localhost/acme/app.git"]).await;
    assert!(remote.ok, "{remote:?}");
    let bare: Value = serde_json::from_str(&gh(&["pr", "view", "--json", "title,state,url"]).await).unwrap();
    assert_eq!(bare, shown);
    until("the card knows its pull request", || {
        stack.read(TASK)["pull_requests"].as_object().is_some_and(|all| all.len() == 1)
    })
    .await;
    stack.github.deliver(&stack.github.merge(REPOSITORY, number.parse().unwrap())).await;
    assert_eq!(stack.status(TASK), "done");
    stack.github.assert_nothing_unexpected();
}
