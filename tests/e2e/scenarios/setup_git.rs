//! `setup-git`: real git asks the helper after one command, and is as before after another.

use stack::{REPOSITORY, Stack};

use crate::harness::agent::Agent;

#[tokio::test]
async fn git_clones_and_pushes_after_one_command_and_forgets_it_after_another() {
    let stack = Stack::start().await;
    stack.github.set_permissions(&[("contents", "write"), ("metadata", "read"), ("pull_requests", "write")]);
    stack.github.accept_permissions(stack.installation);
    let agent = Agent::new(&stack);
    let url = stack.github.url();
    let file = agent.path("gitconfig");
    let before =
        format!("[user]\n\tname = Agent\n\temail = agent@example.com\n[credential \"{url}\"]\n\thelper = store\n");
    std::fs::write(&file, &before).unwrap();

    let written = agent.cli(&["setup-git", "--push"]).await.printed();
    assert!(written.contains("useHttpPath true") && written.contains("credential --function token"), "{written}");
    let after = std::fs::read_to_string(&file).unwrap();
    assert_eq!(agent.cli(&["setup-git", "--push"]).await.printed(), "nothing to change\n");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), after);

    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    assert!(agent.git("app", &["commit", "--allow-empty", "-m", "work"]).await.ok);
    let pushed = agent.git("app", &["push", "origin", "HEAD:refs/heads/work"]).await;
    assert!(pushed.ok, "{pushed:?}");
    let minted = stack.github.minted().pop().unwrap();
    assert_eq!((minted.repositories, minted.permissions["contents"].as_str()), (vec![REPOSITORY.to_owned()], "write"));
    agent.assert_no_token_was_left(&[&pushed]);

    agent.cli(&["setup-git", "--undo"]).await.printed();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    assert_eq!(agent.cli(&["setup-git", "--undo"]).await.printed(), "nothing to change\n");

    // For one repository alone.
    agent.cli_in("app", &["setup-git", "--local"]).await.printed();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), before);
    let fetched = agent.git("app", &["fetch", "origin"]).await;
    assert!(fetched.ok, "{fetched:?}");
    let outside = agent.cli(&["setup-git", "--local"]).await.advice();
    assert!(outside.contains("--local"), "{outside}");
    stack.github.assert_nothing_unexpected();
}
