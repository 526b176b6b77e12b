//! `explain`: for every reason why a card does not move, the story that leads there, and the sentence that names it.

use std::ops::Deref;

use aws_sdk_lambda::primitives::Blob;
use fake_github::{self as github, Event, FaultKind, NewPullRequest};
use local_aws::lambda::access_key_id;
use local_aws::{Fault, Rule};
use serde_json::{Value, json};
use stack::{APP_SECRET_ID, OPERATOR, REPOSITORY, Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID, task_id};

use crate::harness::operator::Operator;

const PAGE: &str = "https://github.com/acme/app/pull/";

/// A board beside GitHub, and somebody who asks.
struct Story<'a> {
    stack: &'a Stack,
    operator: Operator<'a>,
}

impl Deref for Story<'_> {
    type Target = Stack;

    fn deref(&self) -> &Stack {
        self.stack
    }
}

impl<'a> Story<'a> {
    fn new(stack: &'a Stack) -> Self {
        stack.github.set_settle_reads(0);
        Self { stack, operator: Operator::new(stack) }
    }

    /// Opens a pull request, which nobody is told of yet.
    fn open(&self, title: &str) -> Event {
        self.stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled(title))
    }

    /// Opens a pull request that GitHub delivers, and merges it.
    async fn merged(&self, title: &str) -> u64 {
        let number = self.opened(title).await;
        self.deliver(&self.stack.github.merge(REPOSITORY, number)).await;
        number
    }

    async fn opened(&self, title: &str) -> u64 {
        let event = self.open(title);
        self.deliver(&event).await;
        event.number()
    }

    async fn deliver(&self, event: &Event) {
        assert_eq!(self.stack.github.deliver(event).await.status, 200);
    }

    /// Delivers an event as if somebody else had signed it; gives the delivery's id.
    async fn refused(&self, event: &Event) -> u64 {
        self.stack.github.set_hook(&self.stack.front.url(), "another secret");
        let delivery = self.stack.github.deliver(event).await;
        self.stack.github.set_hook(&self.stack.front.url(), WEBHOOK_SECRET);
        assert_eq!(delivery.status, 401);
        delivery.id
    }

    /// Lets reconcile do what the stream and the clock would make it do.
    async fn reconciled(&self) {
        self.stack.stream.drain().await;
    }

    /// What is said about something, in the shape for programs. Asking changes nothing, and nothing secret is in the
    /// answer.
    async fn explained(&self, subject: &str) -> Value {
        let before = self.everything().await;
        let asked = self.stack.github.requests().len();
        let ended = self.operator.cli(&["explain", subject, "--json"]).await;
        assert_eq!(self.everything().await, before, "explaining {subject} changed something");
        let writes =
            self.stack.github.requests().split_off(asked).into_iter().filter(|request| request.method != "GET");
        let minted = "POST /app/installations/{id}/access_tokens";
        assert_eq!(writes.filter(|request| request.route != minted).count(), 0);
        let said = format!("{}{}", ended.stdout, ended.stderr);
        self.assert_holds_no_secret(&said);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    }

    /// The sentence about something, once its cause is the expected one.
    async fn sentence(&self, subject: &str, cause: &str) -> String {
        let explained = self.explained(subject).await;
        assert_eq!(explained["cause"], cause, "{explained:#}");
        explained["explanation"].as_str().unwrap().to_owned()
    }

    /// Runs the command that the sentence ends with, as far as it can be run here: reconcile gets its payload.
    async fn follow(&self, subject: &str) -> Value {
        let explained = self.explained(subject).await;
        assert!(explained["explanation"].as_str().unwrap().ends_with("with:"), "{explained:#}");
        let command = explained["command"].as_str().unwrap();
        let options =
            "aws lambda invoke --function-name reconcile --region eu-west-1 --cli-binary-format raw-in-base64-out";
        let payload = command.strip_prefix(&format!("{options} --payload '")).unwrap_or_else(|| panic!("{command}"));
        let payload = payload.strip_suffix("' /dev/stdout").unwrap_or_else(|| panic!("{command}"));
        let reconcile = self.stack.lambda.sdk(OPERATOR).invoke().function_name("reconcile");
        let answer = reconcile.payload(Blob::new(payload)).send().await.unwrap();
        assert_eq!(answer.function_error, None);
        serde_json::from_slice(answer.payload.unwrap().as_ref()).unwrap()
    }

    async fn everything(&self) -> Vec<Value> {
        let mut all = [self.stack.dynamodb.scan("Tasks"), self.stack.dynamodb.scan("PullRequests")].concat();
        for secret in [APP_SECRET_ID, WEBHOOK_SECRET_ID] {
            let versions = self.stack.secrets.versions(secret).await;
            all.extend(versions.iter().map(|version| json!([version.id, version.stages, version.value])));
        }
        let hook = self.stack.github.hook_config();
        all.push(json!([hook.url, hook.secret, hook.content_type]));
        all
    }

    fn assert_holds_no_secret(&self, said: &str) {
        assert!(!said.contains("PRIVATE KEY") && !said.contains(WEBHOOK_SECRET), "{said}");
        for minted in self.stack.github.minted() {
            assert!(!said.contains(&minted.token), "{said}");
        }
        assert!(!said.contains("eyJ"), "no JSON Web Token: {said}");
    }
}

fn page(number: u64) -> String {
    format!("{PAGE}{number}")
}

#[tokio::test]
async fn a_card_whose_pull_request_is_open_and_one_that_a_merge_moved_are_fine_by_every_name() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.opened("Fix login [kid: #4d9d444d]").await;
    desk.reconciled().await;
    let whole = task_id("4d9d444d");
    let hyphens = "4d9d444d-0198-c5c2-7f00-aabbccddeeff";
    let short = format!("acme/app#{number}");
    let names =
        [&page(number), &format!("{}/files?w=1#diff", page(number)), &short, "4d9d444d", "4D9D444D01", &whole, hyphens];
    for name in [&names[..], &["[kid: #4d9d444d]", "Fix login [kid: #4d9d444d]"]].concat() {
        let explained = desk.explained(name).await;
        assert_eq!(explained["cause"], "open", "{name}: {explained:#}");
        assert_eq!(
            explained["explanation"],
            format!("Nothing is wrong: task 4d9d444d moves to done when {short} is merged.")
        );
        assert_eq!(explained["pull_request"]["key"], stack.read(&whole)["pull_request"]);
        assert_eq!(explained["stored"]["state"], "open");
        assert_eq!(explained["github"]["kid_tags"], json!(["4d9d444d"]));
        assert_eq!(explained["tasks"][0]["task"], stack.read(&whole));
        assert_eq!(explained["deliveries"]["about"][0]["answer"]["outcome"], "linked");
        assert_eq!((&explained["served"], &explained["command"]), (&json!(true), &Value::Null));
    }
    desk.change_task("4d9d444d", &json!({"status": "to_do"}));
    let sentence = desk.sentence(&short, "open").await;
    assert!(sentence.ends_with("is merged, if it is in pr_submitted by then and not in to_do as now."), "{sentence}");
    desk.change_task("4d9d444d", &json!({"status": "pr_submitted"}));

    desk.deliver(&stack.github.merge(REPOSITORY, number)).await;
    for name in [&page(number), "4d9d444d"] {
        let sentence = desk.sentence(name, "done").await;
        assert_eq!(sentence, format!("Task 4d9d444d is done, by the merge of {short}."));
    }
    stack.github.assert_nothing_unexpected();
}

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
async fn what_the_rules_do_not_move_has_the_rule_and_the_way_out() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("aaaaaaaa", "in_progress");
    let number = desk.merged("Early [kid: #aaaaaaaa]").await;
    for name in [&page(number), "aaaaaaaa"] {
        let sentence = desk.sentence(name, "not_pr_submitted").await;
        let expected = format!(
            "acme/app#{number} is merged, but only pr_submitted moves to done and task aaaaaaaa is in in_progress: \
             put it there by "
        );
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
    // The advice, followed.
    desk.reconciled().await;
    desk.operator.cli(&["task", "move", "aaaaaaaa", "pr_submitted"]).await.printed();
    let sentence = desk.sentence("aaaaaaaa", "owed").await;
    assert!(sentence.contains("reconcile finishes it 20") && sentence.contains("(in "), "{sentence}");
    desk.follow(&page(number)).await;
    assert_eq!(desk.status("aaaaaaaa"), "done");

    desk.change_task("aaaaaaaa", &json!({"status": "pr_submitted"}));
    let sentence = desk.sentence("aaaaaaaa", "moved_back").await;
    assert!(sentence.contains("has moved task aaaaaaaa to done before, and a merge does so once"), "{sentence}");
    assert!(sentence.contains("somebody has put it into pr_submitted since"), "{sentence}");
    desk.change_task("aaaaaaaa", &json!({"status": "in_progress"}));
    desk.sentence(&page(number), "moved_back").await;

    desk.task("bbbbbbbb", "trash");
    let number = desk.merged("Dropped [kid: #bbbbbbbb]").await;
    let sentence = desk.sentence("bbbbbbbb", "not_pr_submitted").await;
    assert!(sentence.contains("is in trash: put it there by "), "{sentence}");
    desk.reconciled().await;
    desk.change_task("bbbbbbbb", &json!({"status": "pr_submitted"}));
    desk.sentence(&page(number), "owed").await;
    desk.follow(&page(number)).await;
    assert_eq!(desk.status("bbbbbbbb"), "done");

    desk.task("cccccccc", "pr_submitted");
    let number = desk.opened("Given up [kid: #cccccccc]").await;
    desk.deliver(&stack.github.close(REPOSITORY, number)).await;
    let sentence = desk.sentence("cccccccc", "closed").await;
    assert!(sentence.contains("was closed without a merge, and only a merge moves task cccccccc"), "{sentence}");

    let number = desk.merged("Too soon [kid: #dddddddd]").await;
    desk.task("dddddddd", "pr_submitted");
    let sentence = desk.sentence(&page(number), "task_came_later").await;
    assert!(sentence.contains("not linked to task dddddddd, which was not there when its tag was read"), "{sentence}");
    desk.follow(&page(number)).await;
    assert_eq!(desk.status("dddddddd"), "done");

    desk.task("eeeeeeee", "done");
    let sentence = desk.sentence("eeeeeeee", "done_otherwise").await;
    assert_eq!(sentence, "Task eeeeeeee is done, moved there by hand or by the board: who did it is not recorded.");
    let number = desk.opened("For show [kid: #eeeeeeee]").await;
    assert_eq!(desk.sentence(&page(number), "done_otherwise").await, sentence);
    stack.github.assert_nothing_unexpected();
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

#[tokio::test]
async fn what_github_did_not_get_through_is_named_and_the_command_makes_up_for_it() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    let hook = stack.front.url();
    let webhook = access_key_id("webhook");
    let cases = [
        ("no_delivery", "because no delivery that was taken says so (one may be on its way); reconcile makes up"),
        ("signature_refused", "was answered with 401, as GitHub had another webhook secret than the stack: run `"),
        (
            "not_configured",
            "was answered with 503, the GitHub App is not configured; run `konduktor-github-app configure`; reconcile",
        ),
        ("webhook_failed", "failed in the webhook, whose log tells more (it could not be stored;"),
        ("delivery_refused", "was answered with 400, the body lacks the field `merged`; reconcile makes up"),
        ("not_delivered", "did not reach the webhook (GitHub says: failed to connect to host): "),
    ];
    for (at, (cause, words)) in cases.into_iter().enumerate() {
        let digits = format!("aaaaaaa{at}");
        desk.task(&digits, "pr_submitted");
        let number = desk.opened(&format!("Work [kid: #{digits}]")).await;
        let mut merged = stack.github.merge(REPOSITORY, number);
        match cause {
            "no_delivery" => {}
            "signature_refused" => stack.github.set_hook(&hook, "another secret"),
            "not_configured" => {
                // Twice, so that no earlier version is left that would work.
                stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": ""})).await;
                stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": ""})).await;
                stack.lambda.kill_environments("webhook");
            }
            "webhook_failed" => stack.dynamodb.fail(Rule::new(Fault::AccessDenied).from(&webhook)),
            "delivery_refused" => drop(merged.payload["pull_request"].as_object_mut().unwrap().remove("merged")),
            _ => stack.github.set_hook("http://127.0.0.1:9/", WEBHOOK_SECRET),
        }
        if cause != "no_delivery" {
            assert_ne!(stack.github.deliver(&merged).await.status, 200);
        }
        stack.dynamodb.clear_faults();
        stack.github.set_hook(&hook, WEBHOOK_SECRET);
        stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET})).await;
        stack.lambda.kill_environments("webhook");
        for name in [&page(number), &digits] {
            let sentence = desk.sentence(name, cause).await;
            let expected = format!("acme/app#{number} is merged on GitHub and stored as open, because ");
            assert!(sentence.starts_with(&expected) && sentence.contains(words), "{sentence}");
            assert!(sentence.contains(" within 15 minutes, or at once with:"), "{sentence}");
        }
        desk.follow(&digits).await;
        assert_eq!(desk.status(&digits), "done");
        desk.sentence(&digits, "done").await;
    }
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn the_next_look_at_the_repository_is_told_where_it_is_known() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    stack.lambda.invoke("reconcile", json!({"resync": REPOSITORY})).await.unwrap();
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.open("Lost [kid: #4d9d444d]").number();
    let sentence = desk.sentence(&page(number), "no_delivery").await;
    assert!(sentence.starts_with("acme/app#1 is open on GitHub and not stored, because "), "{sentence}");
    assert!(
        sentence.contains("when it next reads the repository, 20")
            && sentence.contains("(in 1")
            && sentence.contains(" min)"),
        "{sentence}"
    );
    desk.follow(&page(number)).await;
    desk.sentence(&page(number), "open").await;
    stack.github.push(REPOSITORY, number);
    stack.github.retitle(REPOSITORY, number, "Lost and found [kid: #4d9d444d]");
    let sentence = desk.sentence("4d9d444d", "no_delivery").await;
    let expected = "acme/app#1 has changed on GitHub (its title, its head) and is stored as it was, because ";
    assert!(sentence.starts_with(expected), "{sentence}");
}

#[tokio::test]
async fn a_failed_delivery_that_was_made_up_for_is_not_to_blame() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("aaaaaaaa", "pr_submitted");
    desk.task("bbbbbbbb", "pr_submitted");
    let opened = desk.open("Again [kid: #aaaaaaaa]");
    let refused = desk.refused(&opened).await;
    assert_eq!(stack.github.redeliver(refused).await.status, 200);
    let explained = desk.explained("aaaaaaaa").await;
    assert_eq!(explained["cause"], "open", "{explained:#}");
    let again = &explained["deliveries"]["about"];
    assert_eq!((&again[0]["redelivery"], &again[1]["status_code"]), (&json!(true), &json!(401)));

    desk.refused(&stack.github.push(REPOSITORY, 1)).await;
    desk.deliver(&stack.github.push(REPOSITORY, 1)).await;
    stack.github.merge(REPOSITORY, 1);
    desk.sentence("aaaaaaaa", "no_delivery").await;

    // Delivered again, and without a tag it was of no concern.
    let opened = desk.open("Fix login");
    let refused = desk.refused(&opened).await;
    assert_eq!(stack.github.redeliver(refused).await.status, 200);
    stack.github.retitle(REPOSITORY, opened.number(), "Fix login [kid: #bbbbbbbb]");
    desk.sentence(&page(opened.number()), "no_delivery").await;
}

#[tokio::test]
async fn a_webhook_that_github_does_not_know_or_that_does_not_know_the_installation_is_named() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.open("Work [kid: #4d9d444d]").number();
    stack.github.set_hook("https://hooks.example.com/github", WEBHOOK_SECRET);
    let sentence = desk.sentence(&page(number), "webhook_elsewhere").await;
    let expected = format!(
        "because GitHub delivers to https://hooks.example.com/github and not to the stack's webhook, {}: set it",
        stack.front.url()
    );
    assert!(sentence.contains(&expected), "{sentence}");
    stack.github.set_hook(&stack.front.url(), WEBHOOK_SECRET);

    stack.github.set_events(&[]);
    stack.github.accept_permissions(stack.installation);
    let sentence = desk.sentence(&page(number), "not_subscribed").await;
    assert!(
        sentence.contains("sends no pull_request events: tick \"Pull request\" under https://github.com/"),
        "{sentence}"
    );
    stack.github.set_events(&["pull_request"]);
    stack.github.accept_permissions(stack.installation);

    let served = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [1]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &served).await;
    stack.lambda.kill_environments("webhook");
    desk.deliver(&stack.github.push(REPOSITORY, number)).await;
    let explained = desk.explained(&page(number)).await;
    assert_eq!((&explained["cause"], &explained["served"]), (&json!("not_served"), &json!(false)), "{explained:#}");
    let sentence = explained["explanation"].as_str().unwrap();
    let expected =
        format!("that the secret {WEBHOOK_SECRET_ID} lists and {} is not among them: add it there", stack.installation);
    assert!(sentence.contains(&expected), "{sentence}");
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": "changeme"})).await;
    let sentence = desk.sentence(&page(number), "not_configured").await;
    assert!(
        sentence.contains(
            "because the secret konduktor/webhook is not configured (webhook_secret is empty or a placeholder): run"
        ),
        "{sentence}"
    );
    // Once it is listed, the next delivery tells reconcile as well.
    let served = json!({"webhook_secret": WEBHOOK_SECRET, "installations": [1, stack.installation]});
    stack.secrets.put(WEBHOOK_SECRET_ID, &served).await;
    stack.lambda.kill_environments("webhook");
    desk.deliver(&stack.github.push(REPOSITORY, number)).await;
    desk.sentence(&page(number), "open").await;
}

#[tokio::test]
async fn where_the_app_is_not_the_pull_request_cannot_be_told_of() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.opened("Work [kid: #4d9d444d]").await;
    let sentence = desk.sentence("acme/app#77", "not_found").await;
    assert!(sentence.starts_with("GitHub shows the App no pull request 77 in acme/app"), "{sentence}");
    let sentence = desk.sentence("elsewhere/app#1", "not_installed").await;
    let page_to_install = "https://github.com/apps/konduktor-fake/installations/new";
    let what = "The App is not installed on elsewhere/app, or there is no such repository";
    let expected = format!("{what}: install it at {page_to_install}.");
    assert_eq!(sentence, expected);

    stack.github.suspend(stack.installation);
    for name in [&page(number), "4d9d444d"] {
        let sentence = desk.sentence(name, "suspended").await;
        assert!(sentence.starts_with("The App's installation on acme/app is suspended: "), "{sentence}");
    }
    stack.github.unsuspend(stack.installation);
    stack.github.uninstall(stack.installation);
    for name in [&page(number), "4d9d444d"] {
        let explained = desk.explained(name).await;
        assert_eq!(explained["cause"], "not_installed", "{name}: {explained:#}");
        assert_eq!(explained["stored"]["state"], "open", "what is stored is found without GitHub: {explained:#}");
    }
    // What is stored is enough for this.
    desk.change_task("4d9d444d", &json!({"status": "done"}));
    desk.sentence("4d9d444d", "done_otherwise").await;
}

#[tokio::test]
async fn a_repository_that_was_renamed_is_found_by_its_old_name_through_a_task_that_is_linked() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.opened("Work [kid: #4d9d444d]").await;
    desk.reconciled().await;
    stack.lambda.invoke("reconcile", json!({"resync": REPOSITORY})).await.unwrap();
    stack.github.rename_repository(REPOSITORY, "acme/renamed");
    // As the list of the installation's repositories leaves it.
    let items = stack.dynamodb.scan("PullRequests").into_iter();
    let mut sync = items.filter(|item| item["item"] == "sync").find(|item| item["repository"] == REPOSITORY).unwrap();
    sync["repository"] = json!("acme/renamed");
    stack.dynamodb.put("PullRequests", &sync);
    for subject in [&page(number), "4d9d444d"] {
        let explained = desk.explained(subject).await;
        assert_eq!(explained["cause"], "open", "{subject}: {explained:#}");
        assert_eq!(explained["pull_request"]["name"], "acme/renamed#1", "{explained:#}");
    }
    // A token by that name is still at hand, and GitHub follows the name.
    stack.github.rename_repository("acme/renamed", "acme/once-more");
    let explained = desk.explained("acme/renamed#1").await;
    assert_eq!(explained["pull_request"]["name"], "acme/once-more#1", "{explained:#}");
    let line = desk.operator.refused(&["explain", "acme/app#77"]).await;
    let expected =
        "Nothing is stored about acme/app#77 by that name (name the task, or the repository as it is called now)";
    assert!(line.starts_with(expected), "{line}");
}

#[tokio::test]
async fn a_fork_waits_for_its_authors_permission() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    stack.github.set_collaborator(REPOSITORY, "stranger", "read");
    let new = NewPullRequest {
        from_fork: true,
        author: "stranger".to_owned(),
        ..NewPullRequest::titled("Work [kid: #4d9d444d]")
    };
    let opened = stack.github.open_pull_request(REPOSITORY, new);
    desk.deliver(&opened).await;
    let sentence = desk.sentence(&page(1), "fork").await;
    assert!(sentence.contains("its author, stranger, is seen to have write access to acme/app"), "{sentence}");
    assert!(sentence.contains("let reconcile look any moment, or at once with:"), "{sentence}");
    let merged = stack.github.merge(REPOSITORY, 1);
    desk.deliver(&merged).await;
    desk.reconciled().await;
    let sentence = desk.sentence(&page(1), "fork").await;
    assert!(sentence.contains("let reconcile look again with:"), "{sentence}");
    stack.github.set_collaborator(REPOSITORY, "stranger", "write");
    desk.follow(&page(1)).await;
    assert_eq!(desk.status("4d9d444d"), "done");
}

#[tokio::test]
async fn a_conflict_is_told_with_its_culprit_and_one_that_is_not_known_with_the_next_look() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.opened("Work [kid: #4d9d444d]").await;
    desk.reconciled().await;
    let other = desk.merged("Other").await;
    let sentence = desk.sentence("4d9d444d", "conflict_outdated").await;
    assert!(
        sentence.starts_with("GitHub says by now that acme/app#1 conflicts with main and the card says nothing of it"),
        "{sentence}"
    );
    desk.reconciled().await;
    for name in [&page(number), "4d9d444d"] {
        let sentence = desk.sentence(name, "conflict").await;
        let expected = format!(
            "acme/app#{number} conflicts with main, since {} was merged: bring its branch up to date",
            page(other)
        );
        assert!(sentence.starts_with(&expected), "{sentence}");
    }
    stack.github.set_settle_reads(1000);
    desk.task("bbbbbbbb", "pr_submitted");
    let unknown = desk.opened("More [kid: #bbbbbbbb]").await;
    let sentence = desk.sentence(&page(unknown), "conflict_unknown").await;
    assert!(
        sentence.starts_with(
            "GitHub has not said yet whether acme/app#3 merges into main: reconcile asks again any moment"
        ),
        "{sentence}"
    );
    desk.reconciled().await;
    let sentence = desk.sentence("bbbbbbbb", "conflict_unknown").await;
    assert!(sentence.contains("reconcile asks again 20") && sentence.contains("(in "), "{sentence}");
}

#[tokio::test]
async fn a_task_without_a_pull_request_is_explained_by_a_delivery_that_names_it() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let sentence = desk.sentence("4d9d444d", "no_pull_request").await;
    assert!(
        sentence.starts_with(
            "No pull request names task 4d9d444d, as far as is stored and was delivered lately: put [kid: #4d9d444d]"
        ),
        "{sentence}"
    );
    desk.opened("Another's [kid: #aaaaaaaa]").await;
    let opened = desk.open("Mine [kid: #4d9d444d]");
    desk.refused(&opened).await;
    let explained = desk.explained("4d9d444d").await;
    assert_eq!(explained["cause"], "signature_refused", "{explained:#}");
    assert_eq!(explained["pull_request"]["name"], format!("acme/app#{}", opened.number()));
    assert_eq!(explained["deliveries"]["about"].as_array().unwrap().len(), 1);
    desk.follow("4d9d444d").await;
    desk.sentence("4d9d444d", "open").await;
}

#[tokio::test]
async fn what_cannot_be_read_is_said_in_its_place_and_the_rest_explains() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "in_progress");
    let number = desk.merged("Work [kid: #4d9d444d]").await;
    let unread = |explained: &Value, part: &str| {
        let value = explained.pointer(&format!("/{part}/unread")).unwrap_or_else(|| panic!("{part}: {explained:#}"));
        value.as_str().unwrap().to_owned()
    };
    // The App's secret: the token function has its own way to it.
    stack.secrets.fail(Rule::new(Fault::AccessDenied).on(APP_SECRET_ID).from(OPERATOR));
    let explained = desk.explained(&page(number)).await;
    assert_eq!(explained["cause"], "not_pr_submitted", "{explained:#}");
    assert_eq!(explained["github"]["state"], "merged");
    assert!(unread(&explained, "deliveries").contains("secretsmanager:GetSecretValue"), "{explained:#}");
    // And the token function: then only what is stored is left.
    stack.lambda.deny(OPERATOR, "token");
    let explained = desk.explained("4d9d444d").await;
    assert_eq!(explained["cause"], "not_pr_submitted", "{explained:#}");
    assert!(unread(&explained, "github").contains("lambda:InvokeFunction"), "{explained:#}");
    let sentence = explained["explanation"].as_str().unwrap();
    assert!(
        sentence.starts_with("GitHub cannot be asked, but as far as is stored: acme/app#1 is merged, but only"),
        "{sentence}"
    );
    let ended = desk.operator.cli(&["explain", "acme/app#77", "--json"]).await;
    let explained: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(!ended.ok && explained["cause"] == "unexplained", "{ended:?}");
    assert!(ended.stderr.contains("Nothing is stored about acme/app#77 by that name"), "{ended:?}");
    stack.secrets.clear_faults();

    stack.secrets.fail(Rule::new(Fault::AccessDenied).on(WEBHOOK_SECRET_ID).from(OPERATOR));
    stack.github.fault(github::Fault::always("/app/hook/deliveries", FaultKind::ServerError));
    let explained = desk.explained("4d9d444d").await;
    assert_eq!(explained["cause"], "not_pr_submitted", "{explained:#}");
    assert!(unread(&explained, "served").contains("secretsmanager:GetSecretValue"), "{explained:#}");
    assert!(unread(&explained, "deliveries").contains("502"), "{explained:#}");
    stack.github.clear_faults();
    stack.secrets.clear_faults();

    // Without the tables there is nothing to explain.
    for (operation, table) in [("Query", "Tasks"), ("GetItem", "PullRequests")] {
        stack.dynamodb.fail(Rule::new(Fault::AccessDenied).operation(operation).from(OPERATOR));
        let line = desk.operator.refused(&["explain", "4d9d444d"]).await;
        assert!(line.contains(&format!("table {table}")) && line.contains(&format!("dynamodb:{operation}")), "{line}");
        stack.dynamodb.clear_faults();
    }
}

#[tokio::test]
async fn a_lost_merge_is_explained_without_the_deliveries() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.opened("Work [kid: #4d9d444d]").await;
    stack.github.merge(REPOSITORY, number);
    stack.github.fault(github::Fault::always("/app/hook/deliveries", FaultKind::ServerError));
    let sentence = desk.sentence("4d9d444d", "delivery_unknown").await;
    assert!(sentence.contains("and why no delivery told is not known"), "{sentence}");
    desk.follow("4d9d444d").await;
    assert_eq!(desk.status("4d9d444d"), "done");
}

#[tokio::test]
async fn of_many_deliveries_the_newest_are_read_and_that_is_said() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "pr_submitted");
    let number = desk.open("Lost [kid: #4d9d444d]").number();
    let busy = desk.opened("Busy").await;
    for _ in 0..40 {
        desk.deliver(&stack.github.push(REPOSITORY, busy)).await;
    }
    stack.github.clear_requests();
    let explained = desk.explained(&page(number)).await;
    assert_eq!(explained["cause"], "delivery_unknown", "{explained:#}");
    let deliveries = json!({"about": [], "listed": 41, "read": 30, "complete": false});
    assert_eq!(explained["deliveries"], deliveries);
    assert_eq!(stack.github.count("GET /app/hook/deliveries/{id}"), 30);
    let people = desk.operator.cli(&["explain", &page(number)]).await.stdout;
    assert!(people.contains("looked at the newest 30 of pull requests, of 41 deliveries listed"), "{people}");
}

#[tokio::test]
async fn other_words_than_a_pull_request_a_tag_or_an_id_are_refused_with_what_it_takes() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    for subject in [
        "",
        "42",
        "4d9d444",
        "acme#42",
        "acme/app#",
        "acme/app#0",
        "acme/..#42",
        "https://github.com/acme/app",
        "https://github.com/acme/app/pull/",
        "https://github.com/acme/app/issues/42",
        "[kid: 4d9d444d]",
    ] {
        let ended = operator.cli(&["explain", subject]).await;
        assert!(!ended.ok && ended.stdout.is_empty(), "{subject}: {ended:?}");
        assert!(
            ended.stderr.contains("name a pull request, as https://github.com/acme/app/pull/42 or acme/app#42"),
            "{subject}: {ended:?}"
        );
    }
    let ended = operator.cli(&["explain", "[kid: #4d9d444d] [kid: #aaaaaaaa]"]).await;
    assert!(!ended.ok && ended.stderr.contains("these are several kid tags"), "{ended:?}");
    assert_eq!((stack.github.requests().len(), stack.cloudformation.calls().len()), (0, 0));
    let line = operator.refused(&["explain", "4d9d444d", "--stack", "nobody-deployed-this"]).await;
    assert!(line.starts_with("there is no stack nobody-deployed-this in eu-west-1"), "{line}");
    let help = operator.cli(&["explain", "--help"]).await.printed();
    assert!(help.contains("konduktor-github-app explain '[kid: #4d9d444d]' --json | jq -r .cause"), "{help}");
}

#[tokio::test]
async fn people_get_sections_and_the_sentence_last() {
    let stack = Stack::start().await;
    let desk = Story::new(&stack);
    desk.task("4d9d444d", "in_progress");
    desk.change_task("4d9d444d", &json!({"title": "\u{1b}[31mFix\u{7} \u{202e}login"}));
    let number = desk.opened("Fix \u{1b}]0;login\u{7} [kid: #4d9d444d]").await;
    desk.deliver(&stack.github.merge(REPOSITORY, number)).await;
    let ended = desk.operator.cli(&["explain", &page(number)]).await;
    assert!(ended.ok, "{ended:?}");
    desk.assert_holds_no_secret(&format!("{ended:?}"));
    assert!(!ended.stdout.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}'), "{ended:?}");
    let mut rest = ended.stdout.as_str();
    for line in [
        "Pull request\n",
        &page(number),
        "\nStored\n",
        "merged, as of 20",
        "linked to  4d9d444d",
        "\nOn GitHub\n",
        "kid tags   4d9d444d",
        "\nTasks\n",
        "4d9d444d · in_progress",
        "\nHistory\n",
        "linked · acme/app#1 · webhook, delivery ",
        "updated: task 4d9d444d… is in_progress; only pr_submitted moves to done; the pull request is merged · acme/app#1",
        "\nDeliveries\n",
        "closed → 200 ignored: task 4d9d444d… is in_progress",
        "opened → 200 linked",
        "\n\nacme/app#1 is merged, but only pr_submitted moves to done",
    ] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is not there, or too early:\n{}", ended.stdout));
        rest = &rest[at + line.len()..];
    }
    let (succeeded, screen) = desk.operator.converse(&["explain", "4d9d444d"], &[]).await;
    assert!(succeeded && screen.contains("\u{1b}[1mStored\u{1b}[0m"), "{screen}");
    assert!(screen.trim_end().ends_with("`konduktor-github-app task move 4d9d444d done`.\u{1b}[0m"), "{screen}");

    // What is asked of AWS is within the operators' policy.
    let calls = stack.dynamodb.calls().into_iter().filter(|call| call.access_key_id == OPERATOR);
    let mut asked: Vec<_> = calls.map(|call| format!("{} {}", call.operation, call.resources.join(" "))).collect();
    asked.sort();
    asked.dedup();
    assert_eq!(asked, ["GetItem PullRequests", "Query Tasks"]);
}
