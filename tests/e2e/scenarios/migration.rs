//! A deployed stack survives the change of its functions: what the last release wrote is read, and what it left half done is finished.
//!
//! The fixtures are what `aws dynamodb scan` shows of the two tables, written by the functions of commit 51eb5d8: `owed.json` with everything
//! still to be looked at, `half-done.json` after a retitle whose second write failed and a merge that nobody has looked at yet.

use adapters::board::{Board, Claim};
use domain::ids::{PullRequestNumber, RepositoryId};
use domain::item::{Item, ItemKey};
use domain::report::{Look, Report};
use jiff::Timestamp;
use local_aws::DynamoDb;
use serde_json::{Value, json};

const REPOSITORY: RepositoryId = RepositoryId(700_000_002);

/// Some hours after the fixtures were written.
const NOW: i64 = 1_795_600_000;

struct Stack {
    dynamodb: DynamoDb,
    board: Board,
}

impl Stack {
    async fn of(fixture: &str) -> Self {
        let tables: Value = serde_json::from_str(fixture).unwrap();
        let dynamodb = DynamoDb::start().await;
        for (table, items) in tables.as_object().unwrap() {
            items.as_array().unwrap().iter().for_each(|item| dynamodb.put_as_stored(table, item));
        }
        let board = Board::new(dynamodb.sdk("ASIAMIGRATION"), "Tasks", "PullRequests");
        Self { dynamodb, board }
    }

    fn task(&self, prefix: &str) -> Value {
        let id = format!("{prefix}{}", "0".repeat(24));
        self.dynamodb.get("Tasks", &json!({"prefix": prefix, "id": id})).unwrap()
    }

    fn row(&self, number: u64) -> Value {
        let item = format!("pr#{number}");
        self.dynamodb.get("PullRequests", &json!({"repository_id": REPOSITORY.to_string(), "item": item})).unwrap()
    }
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

const OWED: &str = include_str!("../fixtures/stored/owed.json");
const HALF_DONE: &str = include_str!("../fixtures/stored/half-done.json");

#[tokio::test]
async fn every_item_that_the_last_release_wrote_is_read() {
    for fixture in [OWED, HALF_DONE] {
        let stack = Stack::of(fixture).await;
        let stored = stack.dynamodb.scan("PullRequests");
        assert!(stored.len() > 4, "{stored:?}");
        for item in &stored {
            let text = |name: &str| item[name].as_str().unwrap().to_owned();
            let key = ItemKey { partition: text("repository_id"), item: text("item") };
            let claimed = stack.board.claim(&key, &Claim::IfThere, NOW + 100).await.unwrap();
            assert_eq!(claimed.map(|item| item.key()), Some(key));
        }
        let (rows, next) = stack.board.stored_in(REPOSITORY, None).await.unwrap();
        assert!(rows.len() > 2 && next.is_none());
        let (tasks, next) = stack.board.all_tasks(None).await.unwrap();
        assert_eq!((tasks.len(), next), (4, None));
    }
}

#[tokio::test]
async fn what_the_last_release_left_on_the_work_list_is_claimed_as_before() {
    let stack = Stack::of(HALF_DONE).await;
    let due = stack.board.due("open", NOW, 100).await.unwrap();
    assert!(due.len() >= 4, "{due:?}");
    let base = ItemKey::base(REPOSITORY, "main");
    let Some(Item::Base(base)) = stack.board.claim(&base, &Claim::IfAsked, NOW + 100).await.unwrap() else {
        panic!("the stream's record of the base is claimed");
    };
    assert_eq!(base.culprit(), Some("https://github.com/acme/widgets/pull/6"));
    assert!(stack.board.settle_base(&base).await.unwrap());
    let settled =
        stack.dynamodb.get("PullRequests", &json!({"repository_id": REPOSITORY.to_string(), "item": "base#main"}));
    let settled = settled.unwrap();
    assert_eq!((settled.get("due"), settled.get("movers"), &settled["moves"]), (None, None, &json!(0)));
}

#[tokio::test]
async fn an_unlink_that_the_last_release_left_half_done_is_finished() {
    let stack = Stack::of(HALF_DONE).await;
    assert_eq!(stack.task("aaaaaaa1")["has_merge_conflict"], true, "as it was left");
    stack.board.apply(Report::compare(REPOSITORY, PullRequestNumber(1)), now()).await.unwrap();
    let task = stack.task("aaaaaaa1");
    assert_eq!(task["pull_requests"], json!({}));
    assert_eq!(
        (task.get("pull_request"), task.get("has_merge_conflict"), task.get("repository_id")),
        (None, None, None)
    );
    let row = stack.row(1);
    for dropped in ["unlinked_task_ids", "revision", "check_seq"] {
        assert_eq!(row.get(dropped), None, "{dropped}");
    }
}

#[tokio::test]
async fn a_merge_that_the_last_release_counted_moves_its_card_no_second_time() {
    let stack = Stack::of(HALF_DONE).await;
    let look = Look { open_read_at: Some(NOW), ..Look::default() };
    let report = Report::compare(REPOSITORY, PullRequestNumber(2)).looked(look);
    stack.board.apply(report, now()).await.unwrap();
    assert_eq!(stack.task("bbbbbbb2")["status"], "pr_submitted");
    assert_eq!(stack.row(2).get("due"), None);
}
