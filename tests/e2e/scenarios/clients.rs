//! Other people's programs with the App's tokens: git LFS, and GitHub's own `gh`. `make clients` runs it, with both from Debian.

use stack::{REPOSITORY, Stack};

use crate::harness::agent::Agent;

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
