//! What the title names, and what it does not.

use serde_json::json;
use stack::{REPOSITORY, Stack};

use super::{Story, page};

#[tokio::test]
async fn a_title_that_names_no_task_rightly_is_quoted_with_what_is_wrong_with_it() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let untagged = desk.opened("Fix login").await;
    let sentence = desk.sentence(&page(untagged), "no_tag").await;
    assert!(sentence.contains("\"Fix login\", carries no kid tag: put that of its task there"), "{sentence}");
    for (title, miss, reason, meant) in [
        ("Fix [kid: 4d9d444d]", "[kid: 4d9d444d]", "the # before the digits is missing", Some("[kid: #4d9d444d]")),
        ("Fix [kid #4D9D444D]", "[kid #4D9D444D]", "the colon after kid is missing", Some("[kid: #4d9d444d]")),
        ("Fix (Kid: #4d9d444d)", "(Kid: #4d9d444d)", "it does not stand in square brackets", Some("[kid: #4d9d444d]")),
        (
            "kid: #4d9d444d fixed",
            "kid: #4d9d444d fixed",
            "it does not stand in square brackets",
            Some("[kid: #4d9d444d]"),
        ),
        ("Fix [kids: #4d9d444d]", "[kids: #4d9d444d]", "the word is kid", Some("[kid: #4d9d444d]")),
        ("Fix [kid: #4d9d444]", "[kid: #4d9d444]", "it has 7 hex digits and takes 8 to 32", None),
        ("Fix [kid: #4d9d444g]", "[kid: #4d9d444g]", "g is not a hex digit", None),
        ("Fix [kid: #４d9d444d]", "[kid: #４d9d444d]", "４ is not a hex digit", None),
        ("Fix [kid: #4d9d444d", "[kid: #4d9d444d", "no ] follows its digits", Some("[kid: #4d9d444d]")),
        ("Fix [kid: #4d9d444d or so]", "[kid: #4d9d444d or so]", "no ] follows its digits", Some("[kid: #4d9d444d]")),
        (
            "Fix [kid: #4d9d-444d]",
            "[kid: #4d9d-444d]",
            "its hyphens do not stand where a UUID has them",
            Some("[kid: #4d9d444d]"),
        ),
    ] {
        let number = desk.open(title).number();
        let sentence = desk.sentence(&page(number), "malformed_tag").await;
        assert!(
            sentence.starts_with(&format!("\"{miss}\" in the title of acme/app#{number} is not a kid tag")),
            "{sentence}"
        );
        assert!(sentence.contains(reason), "{sentence}");
        assert!(meant.is_none_or(|meant| sentence.ends_with(&format!("write {meant} there."))), "{sentence}");
    }
    for title in ["Be kind to kids", "A kid: friendly", "skid: #4d9d444d marks", "[kidding: #4d9d444d]"] {
        let number = desk.open(title).number();
        desk.sentence(&page(number), "no_tag").await;
    }
    let merged = desk.merged("Merged [kid: 4d9d444d]").await;
    let sentence = desk.sentence(&page(merged), "malformed_tag").await;
    assert!(sentence.contains("it is merged already, so move the task by hand"), "{sentence}");
    let retitled = desk.opened("Named [kid: #4d9d444d]").await;
    stack.github.retitle(REPOSITORY, retitled, "Named by nobody");
    let sentence = desk.sentence("4d9d444d", "no_tag").await;
    assert!(sentence.contains("does not name task 4d9d444d: write [kid: #4d9d444d] there."), "{sentence}");
    let read = |name: &str| (name.to_owned(), "read".to_owned());
    for minted in stack.github.minted() {
        assert_eq!(minted.repositories, [REPOSITORY]);
        assert!(!minted.all_repositories && minted.permissions == [read("metadata"), read("pull_requests")].into());
    }
}

#[tokio::test]
async fn a_tag_that_leads_to_no_task_to_two_or_to_one_of_another_repository_says_so() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    let number = desk.merged("Nobody's [kid: #4d9d4440]").await;
    let sentence = desk.sentence(&page(number), "no_task").await;
    assert!(
        sentence.starts_with("No task has an id that begins with 4d9d4440: correct the tag in the title"),
        "{sentence}"
    );
    let sentence = desk.sentence("4d9d4440", "no_task").await;
    assert!(!sentence.contains("correct the tag"), "{sentence}");

    desk.task("aaaaaaaa", "pr_submitted");
    stack.create_task("aaaaaaaa0198c5c27f00aabbccddee00", "Its twin", "pr_submitted");
    let number = desk.merged("Two [kid: #aaaaaaaa]").await;
    for name in [&page(number), "aaaaaaaa"] {
        let sentence = desk.sentence(name, "ambiguous").await;
        assert!(sentence.starts_with("More than one task has an id that begins with aaaaaaaa"), "{sentence}");
    }
    let explained = desk.explained("aaaaaaaa").await;
    assert_eq!(explained["tasks"].as_array().unwrap().len(), 2, "{explained:#}");

    desk.task("bbbbbbbb", "pr_submitted");
    desk.change_task("bbbbbbbb", &json!({"repository": "acme/other"}));
    desk.task("cccccccc", "pr_submitted");
    desk.change_task("cccccccc", &json!({"repository_id": "7"}));
    for (digits, owner) in [("bbbbbbbb", "acme/other"), ("cccccccc", "another repository")] {
        let number = desk.merged(&format!("Elsewhere [kid: #{digits}]")).await;
        let sentence = desk.sentence(&page(number), "other_repository").await;
        let expected = format!("Task {digits} belongs to {owner} and takes no pull request of acme/app");
        assert!(sentence.starts_with(&expected), "{sentence}");
    }

    let tags: Vec<_> = (0..10).map(|at| format!("[kid: #dddddd0{at}]")).collect();
    for at in 0..10 {
        desk.task(&format!("dddddd0{at}"), "pr_submitted");
    }
    let number = desk.merged(&tags.join("")).await;
    for name in [&page(number), "dddddd08"] {
        let sentence = desk.sentence(&page(number), "too_many_tags").await;
        assert!(
            sentence.contains("10 kid tags, of which the first 8 are read, and [kid: #dddddd08] is not"),
            "{name}: {sentence}"
        );
    }
    desk.sentence("dddddd07", "done").await;
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn a_tag_that_came_after_the_merge_does_not_count() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("aaaaaaaa", "pr_submitted");
    desk.task("bbbbbbbb", "pr_submitted");
    let number = desk.merged("First [kid: #aaaaaaaa]").await;
    desk.deliver(&stack.github.retitle(REPOSITORY, number, "First [kid: #aaaaaaaa] and [kid: #bbbbbbbb]")).await;
    desk.reconciled().await;
    let explained = desk.explained(&page(number)).await;
    assert_eq!(explained["cause"], "tag_after_merge", "{explained:#}");
    assert_eq!(explained["tasks"][0]["cause"], "done", "{explained:#}");
    let sentence = explained["explanation"].as_str().unwrap();
    assert!(
        sentence.starts_with("[kid: #bbbbbbbb] led to no task in the title with which acme/app#1 was merged"),
        "{sentence}"
    );
    assert!(sentence.ends_with("with `konduktor-github-app task move bbbbbbbb done`."), "{sentence}");

    // A merge without any tag is not kept: what was merged is asked of GitHub.
    let number = desk.merged("Second").await;
    desk.deliver(&stack.github.retitle(REPOSITORY, number, "Second [kid: #bbbbbbbb]")).await;
    let sentence = desk.sentence(&page(number), "title_asked").await;
    assert!(sentence.contains("reconcile asks GitHub for it any moment, or at once with:"), "{sentence}");
    desk.follow(&page(number)).await;
    assert_eq!(desk.status("bbbbbbbb"), "pr_submitted");
    desk.sentence(&page(number), "tag_after_merge").await;
}

#[tokio::test]
async fn of_several_tasks_the_one_that_does_not_move_is_explained() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("aaaaaaaa", "pr_submitted");
    desk.task("bbbbbbbb", "idea");
    let number = desk.merged("Both [kid: #aaaaaaaa] [kid: #bbbbbbbb]").await;
    let explained = desk.explained(&page(number)).await;
    assert_eq!(explained["cause"], "not_pr_submitted", "{explained:#}");
    let causes: Vec<_> = explained["tasks"].as_array().unwrap().iter().map(|task| task["cause"].clone()).collect();
    assert_eq!(causes, ["done", "not_pr_submitted"]);
    desk.sentence("aaaaaaaa", "done").await;
    desk.sentence("bbbbbbbb", "not_pr_submitted").await;

    // The tags of the title are gone; the links are not.
    desk.deliver(&stack.github.retitle(REPOSITORY, number, "Both")).await;
    desk.sentence(&page(number), "not_pr_submitted").await;
    desk.sentence("bbbbbbbb", "not_pr_submitted").await;

    let again = desk.opened("Rework [kid: #bbbbbbbb]").await;
    let explained = desk.explained("bbbbbbbb").await;
    assert_eq!(explained["cause"], "open", "the current pull request decides: {explained:#}");
    assert_eq!(explained["pull_request"]["name"], format!("acme/app#{again}"));
}
