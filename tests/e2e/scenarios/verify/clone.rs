//! A token and a clone.

use std::collections::BTreeSet;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fake_github::{self as github, Authorization, FaultKind};
use serde_json::json;
use sha2::{Digest, Sha256};
use stack::REPOSITORY;

use super::{healthy, verify};
use crate::harness::operator::Operator;

#[tokio::test]
async fn the_token_functions_own_words_are_passed_on() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    stack.lambda.set_variable("token", "TOKEN_POLICY", json!({"permissions": {"metadata": "read"}}).to_string());
    let found = verify(&operator, &[]).await;
    found.assert_only("token", &["clone"], "this is not granted", &["contents"]);
    stack.lambda.set_variable("token", "TOKEN_POLICY", json!({"repositories": ["acme/app"]}).to_string());
    let found = verify(&operator, &[]).await;
    found.assert_only("token", &["clone"], "", &["repositories has to be named", "; name one with --clone"]);
    let found = verify(&operator, &["--clone", "ACME/App"]).await;
    found.assert_all_hold();
    let minted = stack.github.minted();
    assert_eq!(
        (minted.len(), &minted[0].repositories[..]),
        (1, &["acme/app".to_owned()][..]),
        "git got the same token"
    );
    let refused = verify(&operator, &["--clone", "acme/other"]).await;
    refused.assert_only("token", &["clone"], "this is not granted", &["other"]);
}

#[tokio::test]
async fn a_clone_is_made_with_this_commands_token_and_nothing_else() {
    let stack = healthy().await;
    let mut operator = Operator::new(&stack);
    let url = stack.github.url();
    let mark = |name: &str| {
        let program = operator.file(name, &format!("#!/bin/sh\ntouch '{}'\n", operator.path("asked").display()));
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        program.display().to_string()
    };
    let (helper, askpass) = (mark("helper"), mark("askpass"));
    operator.file(
        "gitconfig",
        &format!(
            "[credential]\n\thelper = {helper}\n[credential \"{url}\"]\n\thelper = {helper}\n[core]\n\taskPass = {askpass}\n\
             [url \"ssh://git@nowhere.example/\"]\n\tinsteadOf = {url}/\n\
             [http \"{url}/\"]\n\textraHeader = Authorization: Basic bm9ib2R5Om5vdGhpbmc=\n"
        ),
    );
    operator.file(".netrc", "machine 127.0.0.1 login nobody password nothing\n");
    operator.set("GIT_ASKPASS", &askpass);
    operator.set("GIT_TERMINAL_PROMPT", "");
    verify(&operator, &[]).await.assert_all_hold();
    stack.github.create_repository("acme/open", false);
    stack.github.create_git_repository("acme/open", &[("README.md", "# open\n")]).await;
    let found = verify(&operator, &["--clone", "acme/open"]).await;
    found.assert_all_hold();
    assert!(found.check("clone")["seen"].as_str().unwrap().starts_with("acme/open (public)"));
    let hash = |token: &str| STANDARD.encode(Sha256::digest(token));
    let ours: BTreeSet<String> = stack.github.minted().iter().map(|minted| hash(&minted.token)).collect();
    for request in stack.github.requests().into_iter().filter(|request| request.route == "git") {
        let with_ours = matches!(&request.authorization, Authorization::Token(hash) if ours.contains(hash));
        assert!(with_ours || !asks_first().await, "{request:?}");
    }

    let refusal = FaultKind::Status(
        401,
        String::new(),
        vec![("www-authenticate".to_owned(), "Basic realm=\"GitHub\"".to_owned())],
    );
    stack.github.fault(github::Fault::always("/acme/app.git", refusal));
    let found = verify(&operator, &[]).await;
    found.assert_only("clone", &[], "git does not clone acme/app: ", &["the token itself is good", "proxy"]);
    stack.github.clear_faults();
    stack.github.fault(github::Fault::always("/acme/app.git", FaultKind::ServerError));
    verify(&operator, &[]).await.assert_only("clone", &[], "502", &["proxy"]);
    stack.github.clear_faults();
    // The helper itself has nothing to give: its words are told, and nobody else is asked.
    stack.github.clear_requests();
    let late = FaultKind::Delay(std::time::Duration::from_secs(1));
    stack.github.fault(github::Fault::once("/installation/repositories", late));
    let meanwhile = async {
        while !stack.github.requests().iter().any(|request| request.path.starts_with("/installation/repositories")) {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        stack.lambda.set_concurrency("token", 0);
    };
    let (found, ()) = tokio::join!(verify(&operator, &[]), meanwhile);
    found.assert_only("clone", &[], "too many calls of the function token", &["proxy"]);
    stack.lambda.set_concurrency("token", 10);
    assert!(!operator.path("asked").exists(), "nobody else was asked for a password");

    stack.github.fresh_token_answers(401, 1);
    let refusal = FaultKind::Status(401, String::new(), vec![("www-authenticate".to_owned(), "Basic".to_owned())]);
    stack.github.fault(github::Fault::once("/acme/app.git", refusal));
    verify(&operator, &["--clone", "acme/app"]).await.assert_all_hold();
    operator.set("PATH", "/nowhere");
    verify(&operator, &[]).await.assert_only("clone", &[], "git cannot be run", &["install git"]);
}

/// Whether this git asks its helper before it is challenged (`http.proactiveAuth`).
async fn asks_first() -> bool {
    let output = tokio::process::Command::new("git").arg("version").output().await.unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut numbers = text.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse::<u32>().ok());
    (numbers.next().unwrap(), numbers.next().unwrap()) >= (2, 46)
}

#[tokio::test]
async fn every_page_of_repositories_is_looked_through_for_a_private_one() {
    let stack = healthy().await;
    let operator = Operator::new(&stack);
    stack.github.create_repository("acme/public-0", false);
    let only_public = stack.github.create_repository("acme/public", false);
    assert_ne!(only_public, 0);
    stack.github.remove_from_installation(stack.installation, REPOSITORY);
    let found = verify(&operator, &[]).await;
    assert_eq!(found.of("unproven"), ["clone"], "{:#?}", found.checks);
    assert_eq!(found.of("ok").len() + 1, found.checks.len(), "{:#?}", found.checks);
    assert!(found.check("clone")["seen"].as_str().unwrap().contains("no private repository"));
    for number in 1..120 {
        stack.github.create_repository(&format!("acme/public-{number}"), false);
        stack.github.add_to_installation(stack.installation, &format!("acme/public-{number}"));
    }
    stack.github.create_git_repository("acme/secret", &[("README.md", "# secret\n")]).await;
    stack.github.add_to_installation(stack.installation, "acme/secret");
    let found = verify(&operator, &[]).await;
    found.assert_all_hold();
    assert!(found.check("clone")["seen"].as_str().unwrap().starts_with("acme/secret (private)"));
}
