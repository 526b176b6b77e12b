//! `explain`: for every reason why a card does not move, the story that leads there, and the sentence that names it.

mod deliveries;
mod title;

use std::ops::Deref;

use aws_sdk_lambda::primitives::Blob;
use fake_github::{self as github, Event, FaultKind, NewPullRequest};
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
