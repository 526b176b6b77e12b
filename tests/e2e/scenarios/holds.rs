//! Orders of table calls that no history of whole invocations has: one call of a function's executable is held while others run to their end.

use fake_github::{Event, NewPullRequest};
use jiff::Timestamp;
use serde_json::{Value, json};
use stack::{REPOSITORY, Stack};

use crate::harness::holding::{owed, settle, while_held};

/// More than any run here makes.
const MOST_CALLS: usize = 60;

/// A stack whose GitHub's clock is hours behind: what is read there counts at once.
async fn start() -> Stack {
    let stack = Stack::start().await;
    stack.github.set_settle_reads(0);
    stack.github.set_tick(-2 * 60 * 60);
    stack.github.open_pull_request(REPOSITORY, NewPullRequest::titled("Long ago"));
    stack.github.set_tick(1);
    // The first delivery of an environment tells reconcile whom it serves, which is a table call besides.
    assert_eq!(stack.github.deliver(&stack.github.ping_event()).await.status, 200);
    stack
}

/// A pull request and two cards of its own.
struct Trial<'a> {
    stack: &'a Stack,
    task: String,
    other: String,
}

impl<'a> Trial<'a> {
    fn new(stack: &'a Stack, nth: usize) -> Self {
        let (task, other) = (format!("{nth:02x}aaaaaa"), format!("{nth:02x}bbbbbb"));
        stack.task(&task, "pr_submitted");
        stack.task(&other, "in_progress");
        Self { stack, task, other }
    }

    /// Opens a pull request that touches a file of the trial's own.
    fn open(&self, title: &str) -> Event {
        let new = NewPullRequest { paths: vec![self.task.clone()], ..NewPullRequest::titled(title) };
        self.stack.github.open_pull_request(REPOSITORY, new)
    }

    /// The number of a pull request about which nothing is owed.
    async fn settled(&self, title: &str) -> u64 {
        let opened = self.open(title);
        self.deliver(&opened).await;
        settle(self.stack, opened.number()).await;
        opened.number()
    }

    fn retitle(&self, number: u64, title: &str) -> Event {
        self.stack.github.retitle(REPOSITORY, number, title)
    }

    async fn deliver(&self, event: &Event) {
        assert_eq!(self.stack.github.deliver(event).await.status, 200);
    }

    /// An operator has reconcile look at the pull request.
    async fn look(&self, number: u64) {
        let asked = json!({"repository": REPOSITORY, "number": number});
        self.stack.lambda.invoke("reconcile", asked).await.expect("reconcile runs");
    }

    /// What a card keeps of its pull requests.
    fn links(&self, task: &str) -> Vec<Value> {
        let links = self.stack.read(task)["pull_requests"].as_object().cloned().unwrap_or_default();
        links.into_iter().map(|(_, link)| link).collect()
    }
}

fn title(task: &str) -> String {
    format!("Fix login [kid: #{task}]")
}

/// Holds one table call of a function, in each trial the next, until it makes no more; says how many there were.
async fn each_call_held<T>(
    stack: &Stack,
    function: &str,
    before: impl AsyncFn(&Trial<'_>) -> T,
    runs: impl AsyncFn(&Trial<'_>, &T),
    meanwhile: impl AsyncFn(&Trial<'_>, &T),
    right: impl AsyncFn(&Trial<'_>, &T),
) {
    for nth in 0..MOST_CALLS {
        let trial = Trial::new(stack, nth);
        let about = before(&trial).await;
        let run = runs(&trial, &about);
        if !while_held(stack, function, nth, run, async || meanwhile(&trial, &about).await).await {
            assert!(nth > 1, "it reads and writes");
            stack.github.assert_nothing_unexpected();
            return;
        }
        right(&trial, &about).await;
    }
    panic!("{function} makes more than {MOST_CALLS} table calls");
}

/// Holds a delivery before each of its table calls in turn, while a later event is delivered and reconcile does what follows.
async fn each_delivery_held(
    before: impl AsyncFn(&Trial<'_>) -> Event,
    later: impl Fn(&Trial<'_>, u64) -> Event,
    right: impl Fn(&Trial<'_>),
) {
    let meanwhile = async |trial: &Trial<'_>, first: &Event| {
        trial.deliver(&later(trial, first.number())).await;
        trial.stack.stream.drain().await;
    };
    let right = async |trial: &Trial<'_>, first: &Event| {
        settle(trial.stack, first.number()).await;
        right(trial);
    };
    let stack = start().await;
    each_call_held(&stack, "webhook", before, async |trial, first| trial.deliver(first).await, meanwhile, right).await;
}

#[tokio::test]
async fn an_opening_that_is_overtaken_by_a_new_title_links_what_the_new_title_names() {
    each_delivery_held(
        async |trial| trial.open(&title(&trial.task)),
        |trial, number| trial.retitle(number, &title(&trial.other)),
        |trial| assert_eq!((trial.links(&trial.task).len(), trial.links(&trial.other).len()), (0, 1)),
    )
    .await;
}

#[tokio::test]
async fn a_card_does_not_lose_the_pull_request_whose_title_lost_its_tag_and_has_it_back() {
    each_delivery_held(
        async |trial| trial.retitle(trial.settled(&title(&trial.task)).await, "Fix login"),
        |trial, number| trial.retitle(number, &title(&trial.task)),
        |trial| assert_eq!(trial.links(&trial.task).len(), 1),
    )
    .await;
}

#[tokio::test]
async fn a_card_does_not_keep_the_pull_request_whose_title_got_its_tag_and_lost_it() {
    each_delivery_held(
        async |trial| trial.retitle(trial.settled("Fix login").await, &title(&trial.task)),
        |trial, number| trial.retitle(number, &title(&trial.other)),
        |trial| assert_eq!((trial.links(&trial.task).len(), trial.links(&trial.other).len()), (0, 1)),
    )
    .await;
}

#[tokio::test]
async fn an_opening_that_is_overtaken_by_the_merge_closes_its_card() {
    each_delivery_held(
        async |trial| trial.open(&title(&trial.task)),
        |trial, number| trial.stack.github.merge(REPOSITORY, number),
        |trial| assert_eq!(trial.stack.status(&trial.task), "done"),
    )
    .await;
}

#[tokio::test]
async fn a_push_beside_the_merge_keeps_neither_the_card_nor_the_pull_request_open() {
    each_delivery_held(
        async |trial| {
            let number = trial.settled(&title(&trial.task)).await;
            trial.stack.github.push(REPOSITORY, number)
        },
        |trial, number| trial.stack.github.merge(REPOSITORY, number),
        |trial| {
            let states: Vec<_> = trial.links(&trial.task).iter().map(|link| link["state"].clone()).collect();
            assert_eq!((trial.stack.status(&trial.task).as_str(), states), ("done", vec![json!("merged")]));
        },
    )
    .await;
}

#[tokio::test]
async fn a_tag_that_is_taken_off_before_anything_was_stored_links_nothing_later() {
    each_delivery_held(
        async |trial| {
            // Nobody is told that it was opened.
            let opened = trial.open(&title(&trial.task));
            trial.stack.github.close(REPOSITORY, opened.number())
        },
        |trial, number| {
            // In the same second.
            trial.stack.github.set_tick(0);
            let edited = trial.retitle(number, "Fix login");
            trial.stack.github.set_tick(1);
            edited
        },
        |trial| assert_eq!(trial.links(&trial.task), [] as [Value; 0]),
    )
    .await;
}

#[tokio::test]
async fn a_run_that_is_overtaken_by_a_new_title_links_what_the_new_title_names() {
    each_call_held(
        &start().await,
        "reconcile",
        async |trial| {
            let opened = trial.open(&title(&trial.task));
            trial.deliver(&opened).await;
            opened.number()
        },
        async |trial, _| assert!(trial.stack.stream.drain().await > 0),
        async |trial, number| trial.deliver(&trial.retitle(*number, &title(&trial.other))).await,
        async |trial, number| {
            settle(trial.stack, *number).await;
            assert_eq!((trial.links(&trial.task).len(), trial.links(&trial.other).len()), (0, 1));
        },
    )
    .await;
}

#[tokio::test]
async fn an_answer_about_a_moved_base_that_is_overtaken_by_a_new_title_is_asked_for_again() {
    each_call_held(
        &start().await,
        "reconcile",
        async |trial| {
            let number = trial.settled(&title(&trial.task)).await;
            let other = trial.open("Touches the same file");
            trial.deliver(&other).await;
            settle(trial.stack, other.number()).await;
            trial.deliver(&trial.stack.github.merge(REPOSITORY, other.number())).await;
            number
        },
        async |trial, _| assert!(trial.stack.stream.drain().await > 0),
        async |trial, number| trial.deliver(&trial.retitle(*number, &format!("{} again", title(&trial.task)))).await,
        async |trial, number| {
            settle(trial.stack, *number).await;
            assert_eq!(trial.stack.read(&trial.task)["has_merge_conflict"], true);
        },
    )
    .await;
}

#[tokio::test]
async fn a_look_that_is_overtaken_by_another_in_the_same_second_is_asked_about_again() {
    let stack = start().await;
    each_call_held(
        &stack,
        "reconcile",
        async |trial| {
            let github = &trial.stack.github;
            github.set_tick(-2 * 60 * 60);
            let number = trial.settled(&title(&trial.task)).await;
            // It is closed just now, and nobody is told.
            let opened = github.truth(REPOSITORY, number).updated_at;
            github.set_tick(Timestamp::now().as_second() - opened.as_second());
            github.close(REPOSITORY, number);
            github.set_tick(0);
            number
        },
        async |trial, number| trial.look(*number).await,
        async |trial, number| {
            trial.deliver(&trial.stack.github.reopen(REPOSITORY, *number)).await;
            trial.look(*number).await;
        },
        async |trial, number| {
            let open = trial.links(&trial.task).iter().any(|link| link["state"] == "open");
            assert!(open || owed(trial.stack, *number).is_some(), "{:#}", trial.stack.read(&trial.task));
        },
    )
    .await;
}
