//! What deliveries do to tasks: the rules that never bend, in any order.

use std::time::Duration;

use local_aws::{Fault, Rule};
use serde_json::json;

use crate::harness::desk::{Desk, TAG, TASK};
use crate::harness::payload::{closed, merged, opened, pull_request};

const OTHER: &str = "bbbbbbbb0198c5c27f00aabbccddeeff";

#[tokio::test]
async fn a_merge_moves_its_task_from_pr_submitted_to_done() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    let linked = desk.deliver(&opened(TAG, 1)).await;
    assert_eq!((linked.status, &linked.json["outcome"]), (200, &json!("linked")));
    let answer = desk.deliver(&merged(TAG, 2)).await;
    let expected = json!([{"tag": "4d9d444d", "task": TASK, "outcome": "moved", "from": "pr_submitted", "to": "done"}]);
    assert_eq!((answer.status, &answer.json["outcome"], &answer.json["tasks"]), (200, &json!("moved"), &expected));
    let task = desk.read(TASK);
    assert_eq!(task["status"], "done");
    assert_eq!(task["pull_request"], "1001#42");
    assert_eq!(task["pull_requests"]["1001#42"]["state"], "merged");
    assert_eq!(task["has_merge_conflict"], false);
    assert_eq!(task["completed_by"], json!(["1001#42"]));
    assert_eq!(task["repository_id"], "1001");
    let told = |entry: &serde_json::Value| json!([entry["what"], entry["why"], entry["pull_request"], entry["by"]]);
    let history: Vec<_> = task["history"].as_array().unwrap().iter().map(told).collect();
    let moved = "pr_submitted → done; the pull request is merged";
    let expected =
        [json!(["linked", null, "acme/app#42", "webhook"]), json!(["moved", moved, "acme/app#42", "webhook"])];
    assert_eq!(history, expected);
    // The board's own attributes are as the board left them.
    assert_eq!((&task["title"], &task["priority"]), (&json!("Fix login"), &json!("p2")));
}

#[tokio::test]
async fn a_merge_moves_a_task_out_of_no_other_column() {
    for column in ["idea", "to_do", "in_progress", "trash", "a_column_of_tomorrow"] {
        let desk = Desk::start().await;
        desk.task(TASK, column);
        let answer = desk.deliver(&merged(TAG, 2)).await;
        assert_eq!(desk.status(TASK), column);
        assert_eq!(answer.json["outcome"], "ignored");
        let reason = format!("task 4d9d444d… is {column}; only pr_submitted moves to done");
        assert!(answer.json["reason"].as_str().unwrap().starts_with(&reason), "{}", answer.json["reason"]);
        assert_eq!(desk.pull_request(42).unwrap()["due"], "open", "the merge is owed until the task can take it");
    }
}

#[tokio::test]
async fn a_pull_request_that_is_closed_without_a_merge_moves_nothing_and_clears_the_conflict() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    assert_eq!(desk.read(TASK).get("has_merge_conflict"), None, "nobody knows yet");
    desk.deliver(&closed(TAG, 2)).await;
    let task = desk.read(TASK);
    assert_eq!((&task["status"], &task["has_merge_conflict"]), (&json!("pr_submitted"), &json!(false)));
    assert_eq!(task["pull_requests"]["1001#42"]["state"], "closed");
}

#[tokio::test]
async fn a_late_event_does_not_take_back_a_merge() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&merged(TAG, 5)).await;
    for late in [opened(TAG, 1), pull_request("synchronize", TAG, 3), closed(TAG, 5), pull_request("reopened", TAG, 9)]
    {
        desk.deliver(&late).await;
        assert_eq!(desk.status(TASK), "done");
        assert_eq!(desk.pull_request(42).unwrap()["state"], "merged");
    }
}

#[tokio::test]
async fn a_late_opened_after_a_close_changes_nothing_and_says_why() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&closed(TAG, 5)).await;
    let before = (desk.read(TASK), desk.pull_request(42));
    let answer = desk.deliver(&opened(TAG, 1)).await;
    assert_eq!(answer.json["reason"], "older than what is known");
    assert_eq!((desk.read(TASK), desk.pull_request(42)), before);
}

#[tokio::test]
async fn a_redelivery_writes_nothing() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    for payload in [opened(TAG, 1), merged(TAG, 2)] {
        desk.deliver(&payload).await;
        let before = (desk.read(TASK), desk.pull_request(42), desk.item("base#main"));
        desk.dynamodb.clear_calls();
        let again = desk.deliver(&payload).await;
        assert_eq!((again.status, &again.json["outcome"]), (200, &json!("unchanged")));
        assert_eq!((desk.read(TASK), desk.pull_request(42), desk.item("base#main")), before);
        let operations: Vec<_> = desk.dynamodb.calls().iter().map(|call| call.operation.clone()).collect();
        assert!(operations.iter().all(|name| ["GetItem", "Query"].contains(&name.as_str())), "{operations:?}");
    }
}

#[tokio::test]
async fn an_event_costs_so_many_table_calls() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    // The first delivery also tells reconcile which installations are served.
    desk.deliver(&opened("0000000000000000", 1)).await;
    let read_and_write: &[&str] = &["GetItem", "Query", "TransactWriteItems"];
    let read: &[&str] = &["GetItem", "Query"];
    for (payload, wanted) in [
        (opened(TAG, 1), read_and_write),
        (pull_request("synchronize", TAG, 2), read_and_write),
        (merged(TAG, 3), read_and_write),
        (merged(TAG, 3), read),
    ] {
        desk.dynamodb.clear_calls();
        desk.deliver(&payload).await;
        let mut operations: Vec<_> = desk.dynamodb.calls().into_iter().map(|call| call.operation).collect();
        operations.sort();
        assert_eq!(operations, wanted, "{}", payload.0);
    }
}

#[tokio::test]
async fn a_redelivery_heals_a_card_that_somebody_spoilt() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    let right = desk.read(TASK);
    desk.change_task(TASK, &json!({"has_merge_conflict": true, "pull_request": "7#7"}));
    desk.deliver(&opened(TAG, 1)).await;
    let healed = desk.read(TASK);
    assert_eq!(
        (&healed["pull_request"], healed.get("has_merge_conflict")),
        (&right["pull_request"], right.get("has_merge_conflict"))
    );
}

#[tokio::test]
async fn a_reworked_task_is_not_closed_by_its_old_merge() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&merged(TAG, 2)).await;
    desk.move_task(TASK, "in_progress");
    desk.deliver(&merged(TAG, 2)).await;
    desk.move_task(TASK, "pr_submitted");
    let answer = desk.deliver(&merged(TAG, 2)).await;
    assert_eq!(desk.status(TASK), "pr_submitted");
    assert!(answer.json["reason"].as_str().unwrap().contains("this merge moved it before"));
    desk.deliver(&merged(TAG, 9).number(43)).await;
    assert_eq!(desk.status(TASK), "done", "a new merge does");
}

#[tokio::test]
async fn a_second_merge_that_found_the_task_done_does_not_close_it_after_rework() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&merged(TAG, 2)).await;
    desk.deliver(&merged(TAG, 3).number(43)).await;
    desk.move_task(TASK, "pr_submitted");
    desk.deliver(&merged(TAG, 3).number(43)).await;
    assert_eq!(desk.status(TASK), "pr_submitted");
}

#[tokio::test]
async fn the_current_pull_request_is_open_before_merged_before_closed_then_the_newest() {
    let desk = Desk::start().await;
    desk.task(TASK, "in_progress");
    let current = || desk.read(TASK)["pull_request"].clone();
    desk.deliver(&opened(TAG, 1).number(1).created(1)).await;
    desk.deliver(&opened(TAG, 1).number(2).created(2)).await;
    assert_eq!(current(), "1001#2");
    desk.deliver(&merged(TAG, 5).number(2).created(2)).await;
    assert_eq!(current(), "1001#1");
    desk.deliver(&closed(TAG, 6).number(1).created(1)).await;
    assert_eq!(current(), "1001#2");
    desk.deliver(&opened(TAG, 7).number(3).created(3)).await;
    assert_eq!(current(), "1001#3");
}

#[tokio::test]
async fn several_tasks_on_one_pull_request_are_all_moved() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.task(OTHER, "pr_submitted");
    let title = format!("{TAG} and [kid: #bbbbbbbb]");
    let answer = desk.deliver(&merged(&title, 2)).await;
    assert_eq!(answer.json["tasks"].as_array().unwrap().len(), 2);
    assert_eq!((desk.status(TASK).as_str(), desk.status(OTHER).as_str()), ("done", "done"));
}

#[tokio::test]
async fn a_retitle_moves_the_link_and_an_old_title_does_not_bring_it_back() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.task(OTHER, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    let answer = desk.deliver(&pull_request("edited", "[kid: #bbbbbbbb]", 2)).await;
    assert!(desk.table_calls() <= 4 + 4 + 2, "a second task costs two more calls");
    let outcomes: Vec<_> =
        answer.json["tasks"].as_array().unwrap().iter().map(|task| task["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["linked", "unlinked"]);
    assert_eq!(desk.read(TASK)["pull_requests"], json!({}));
    assert_eq!(desk.read(TASK).get("pull_request"), None);
    desk.deliver(&opened(TAG, 1)).await;
    assert_eq!(desk.read(TASK)["pull_requests"], json!({}), "a late `opened` links nothing again");
    desk.deliver(&merged("[kid: #bbbbbbbb]", 3)).await;
    assert_eq!((desk.status(TASK).as_str(), desk.status(OTHER).as_str()), ("pr_submitted", "done"));
}

#[tokio::test]
async fn a_title_that_loses_its_last_tag_unlinks_and_stays_known() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    let answer = desk.deliver(&pull_request("edited", "no tag", 2)).await;
    assert_eq!(answer.json["outcome"], "unlinked");
    desk.deliver(&opened(TAG, 1)).await;
    desk.deliver(&merged("no tag", 3)).await;
    assert_eq!(desk.status(TASK), "pr_submitted");
}

/// A merge and what was done to its title afterwards.
fn edited_after_the_merge(from: &str, to: &str, second: u32) -> crate::harness::payload::Payload {
    let mut edited = pull_request("edited", to, second).set("state", json!("closed")).set("merged", json!(true));
    edited.0["changes"] = json!({"title": {"from": from}});
    edited
}

#[tokio::test]
async fn a_title_edit_after_the_merge_changes_nothing_in_whatever_order_they_come() {
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let desk = Desk::start().await;
        desk.task(TASK, "pr_submitted");
        desk.task(OTHER, "pr_submitted");
        let events = [opened(TAG, 1), merged(TAG, 2), edited_after_the_merge(TAG, "[kid: #bbbbbbbb]", 9)];
        for index in order {
            desk.deliver(&events[index]).await;
            desk.deliver(&events[index]).await;
        }
        assert_eq!((desk.status(TASK).as_str(), desk.status(OTHER).as_str()), ("done", "pr_submitted"), "{order:?}");
        assert_eq!(desk.read(OTHER).get("pull_requests"), None, "{order:?}");
    }
}

#[tokio::test]
async fn of_a_pull_request_that_is_not_kept_only_the_merge_itself_moves_its_base() {
    let desk = Desk::start().await;
    desk.deliver(&edited_after_the_merge("no tag", "still none", 9)).await;
    assert_eq!(desk.item("base#main"), None);
    desk.deliver(&merged("no tag", 2)).await;
    desk.deliver(&merged("no tag", 3).number(43)).await;
    let before = desk.item("base#main");
    desk.deliver(&merged("no tag", 3).number(43)).await;
    assert_eq!(desk.item("base#main"), before, "a redelivery moves nothing again");
}

#[tokio::test]
async fn a_signed_merge_counts_for_the_tags_of_its_own_title_even_when_it_comes_late() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    desk.deliver(&pull_request("edited", "no tag", 3).set("state", json!("closed")).set("merged", json!(true))).await;
    desk.deliver(&merged(TAG, 2)).await;
    assert_eq!(desk.status(TASK), "done");
}

#[tokio::test]
async fn a_conflict_is_cleared_by_a_close_and_the_last_known_answer_stays_through_a_push() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    let mut item = desk.pull_request(42).unwrap();
    item["mergeability"] = json!("conflicting");
    desk.dynamodb.put("PullRequests", &item);
    desk.deliver(&pull_request("synchronize", TAG, 2).head('b')).await;
    assert_eq!(desk.read(TASK)["has_merge_conflict"], true);
    desk.deliver(&pull_request("converted_to_draft", TAG, 3).head('b').set("draft", json!(true))).await;
    assert_eq!(
        (desk.pull_request(42).unwrap()["draft"].clone(), desk.read(TASK)["has_merge_conflict"].clone()),
        (json!(true), json!(true))
    );
    desk.deliver(&closed(TAG, 4).head('b')).await;
    assert_eq!(desk.read(TASK)["has_merge_conflict"], false);
}

#[tokio::test]
async fn a_slow_delivery_does_not_bring_an_old_snapshot_back_to_the_task() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    let slow = Rule::new(Fault::Delay(Duration::from_millis(200))).operation("UpdateItem").times(1);
    desk.dynamodb.fail(slow);
    let (slow, fast) = (desk.another_app(), desk.another_app());
    let (opened, merged) = (opened(TAG, 1), merged(TAG, 2));
    let second = async {
        while desk.pull_request(42).is_none() {
            tokio::task::yield_now().await;
        }
        desk.deliver_to(&fast, &merged).await
    };
    tokio::join!(desk.deliver_to(&slow, &opened), second);
    let task = desk.read(TASK);
    assert_eq!((&task["status"], &task["pull_requests"]["1001#42"]["state"]), (&json!("done"), &json!("merged")));
}

#[tokio::test]
async fn an_item_that_a_transaction_holds_is_tried_again() {
    for operation in ["PutItem", "UpdateItem", "TransactWriteItems"] {
        let desk = Desk::start().await;
        desk.task(TASK, "pr_submitted");
        desk.dynamodb.fail(Rule::new(Fault::TransactionConflict).operation(operation).times(2));
        for payload in [opened(TAG, 1), merged(TAG, 2), merged("no tag", 3).number(43)] {
            let answer = desk.deliver(&payload).await;
            assert_eq!(answer.status, 200, "{operation}: {answer:?}");
        }
        assert_eq!(desk.status(TASK), "done");
        assert_eq!(desk.item("base#main").unwrap()["moved_by"], 43);
    }
}

#[tokio::test]
async fn a_title_edit_after_a_known_merge_changes_nothing() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.task(OTHER, "pr_submitted");
    desk.deliver(&merged(TAG, 2)).await;
    let edited = pull_request("edited", "[kid: #bbbbbbbb]", 3).set("state", json!("closed")).set("merged", json!(true));
    desk.deliver(&edited).await;
    assert_eq!(desk.status(OTHER), "pr_submitted");
    assert_eq!(desk.read(TASK)["pull_requests"]["1001#42"]["state"], "merged");
}

#[tokio::test]
async fn of_two_facts_of_the_same_second_the_higher_state_stays_and_a_check_is_asked_for() {
    for order in [[0, 1], [1, 0]] {
        let desk = Desk::start().await;
        desk.task(TASK, "pr_submitted");
        let events = [closed(TAG, 5), pull_request("reopened", TAG, 5)];
        for index in order {
            desk.deliver(&events[index]).await;
        }
        let item = desk.pull_request(42).unwrap();
        assert_eq!((&item["state"], &item["check"], &item["due"]), (&json!("closed"), &json!("now"), &json!("open")));
    }
}

#[tokio::test]
async fn whatever_makes_the_answer_doubtful_asks_for_a_new_one() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    let next = |payload: crate::harness::payload::Payload| payload.head('b').set("base", json!({"ref": "next"}));
    let asks = [
        (opened(TAG, 1), true),
        (pull_request("synchronize", TAG, 2).head('b'), true),
        (next(pull_request("edited", TAG, 3)), true),
        (next(closed(TAG, 4)), false),
        (next(pull_request("reopened", TAG, 5)), true),
    ];
    for (payload, asked) in asks {
        desk.deliver(&payload).await;
        let mut item = desk.pull_request(42).unwrap();
        assert_eq!(item["check"] == "now", asked, "{}", payload.0);
        // As reconcile leaves it, once it has an answer.
        for name in ["check", "due", "next_check_at"] {
            item.as_object_mut().unwrap().remove(name);
        }
        item["checked_head_sha"] = item["head_sha"].clone();
        desk.dynamodb.put("PullRequests", &item);
    }
    desk.deliver(&next(pull_request("synchronize", TAG, 6)).head('c')).await;
    let item = desk.pull_request(42).unwrap();
    assert_eq!((&item["check"], &item["due"]), (&json!("now"), &json!("open")));
    assert_eq!(item["next_check_at"], json!(desk.now().as_second()));
}

#[tokio::test]
async fn a_merge_marks_its_base_as_moved_with_or_without_a_tag() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&merged(TAG, 2)).await;
    let base = desk.item("base#main").unwrap();
    assert_eq!((&base["check"], &base["due"], &base["moved_by"]), (&json!("now"), &json!("open"), &json!(42)));
    let answer = desk.deliver(&merged("no tag", 3).number(43)).await;
    assert_eq!(answer.json["outcome"], "ignored");
    assert!(answer.json["reason"].as_str().unwrap().contains("main moved"));
    let base = desk.item("base#main").unwrap();
    assert_eq!(base["moved_by"], 43);
    assert_eq!(base["moves"], 2, "two merges that nobody has looked at yet");
    assert_eq!(desk.pull_request(43), None, "a pull request that never had a tag is not kept");
}

#[tokio::test]
async fn a_tag_that_matches_no_task_or_two_moves_nothing_and_says_so() {
    let desk = Desk::start().await;
    let answer = desk.deliver(&merged(TAG, 2)).await;
    assert!(answer.json["reason"].as_str().unwrap().starts_with("no task matches"));
    desk.task(TASK, "pr_submitted");
    let twin = "4d9d444dffffffffffffffffffffffff";
    desk.task(twin, "pr_submitted");
    let answer = desk.deliver(&merged(TAG, 3).number(43)).await;
    assert!(answer.json["reason"].as_str().unwrap().starts_with("ambiguous: 2 tasks match, use more digits"));
    assert_eq!((desk.status(TASK).as_str(), desk.status(twin).as_str()), ("pr_submitted", "pr_submitted"));
    desk.deliver(&merged("[kid: #4d9d444d0]", 4).number(44)).await;
    assert_eq!((desk.status(TASK).as_str(), desk.status(twin).as_str()), ("done", "pr_submitted"));
}

#[tokio::test]
async fn a_link_made_while_the_tag_was_unique_stays() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    desk.task("4d9d444d00000000000000000000ffff", "pr_submitted");
    desk.task("4d9d444d00000000000000000000fffe", "pr_submitted");
    desk.deliver(&pull_request("synchronize", TAG, 2).head('b')).await;
    desk.deliver(&merged(TAG, 3).head('b')).await;
    assert_eq!(desk.status(TASK), "done");
}

#[tokio::test]
async fn a_task_takes_events_of_its_own_repository_only() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    let answer = desk.deliver(&merged(TAG, 2).repository(2002, "stranger/app")).await;
    assert!(answer.json["reason"].as_str().unwrap().starts_with("task belongs to another repository"));
    assert_eq!(desk.status(TASK), "pr_submitted");
    desk.deliver(&merged(TAG, 3).repository(1001, "acme/renamed")).await;
    assert_eq!(desk.status(TASK), "done", "a rename keeps the id");
    assert_eq!(desk.read(TASK)["repository"], "acme/renamed");
}

#[tokio::test]
async fn a_repository_that_was_deleted_and_made_again_under_its_name_is_another() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    for number in [42, 43] {
        let answer = desk.deliver(&merged(TAG, 2).repository(5005, "acme/app").number(number)).await;
        assert!(answer.json["tasks"].to_string().contains("belongs to another repository"), "{}", answer.json);
    }
    assert_eq!(desk.status(TASK), "pr_submitted");
}

#[tokio::test]
async fn a_repository_that_was_transferred_to_strangers_moves_nothing() {
    let secret =
        json!({"webhook_secret": stack::WEBHOOK_SECRET, "installations": [crate::harness::payload::INSTALLATION_ID]});
    let desk = Desk::with_secret(&secret).await;
    desk.task(TASK, "pr_submitted");
    desk.deliver(&opened(TAG, 1)).await;
    let mut theirs = merged(TAG, 2).repository(1001, "stranger/app");
    theirs.0["installation"]["id"] = json!(666);
    let answer = desk.deliver(&theirs).await;
    assert_eq!(answer.json["reason"], "installation 666 is not one of those that this board serves");
    assert_eq!(desk.status(TASK), "pr_submitted");
}

#[tokio::test]
async fn a_thousand_guessed_tags_move_no_card_of_another_repository_and_each_refusal_is_told() {
    let desk = Desk::start().await;
    let tasks: Vec<String> = (0..10).map(|at| format!("4d9d4{:03x}0198c5c27f00aabbccddeeff", 100 * at)).collect();
    for (number, task) in (1..).zip(&tasks) {
        desk.task(task, "pr_submitted");
        desk.deliver(&opened(&format!("[kid: #{}]", &task[..8]), 1).number(number)).await;
    }
    let before: Vec<_> = tasks.iter().map(|task| desk.read(task)).collect();
    for guess in 0..1_000 {
        let title = format!("[kid: #4d9d4{guess:03x}]");
        let answer = desk.deliver(&merged(&title, 2).repository(2002, "stranger/app").number(guess + 1)).await;
        let hits = tasks.iter().any(|task| task.starts_with(&format!("4d9d4{guess:03x}")));
        let told = if hits { "task belongs to another repository" } else { "no task matches" };
        assert!(answer.json["reason"].as_str().unwrap().starts_with(told), "{}", answer.json);
    }
    assert_eq!(before, tasks.iter().map(|task| desk.read(task)).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_repository_that_the_board_named_binds_before_the_first_match() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    let mut task = desk.read(TASK);
    task["repository"] = json!("Acme/App");
    desk.dynamodb.put("Tasks", &task);
    desk.deliver(&merged(TAG, 2).repository(2002, "stranger/app")).await;
    assert_eq!(desk.status(TASK), "pr_submitted");
    desk.deliver(&merged(TAG, 2)).await;
    assert_eq!(desk.status(TASK), "done");
}

#[tokio::test]
async fn a_fork_links_nothing_until_its_author_is_seen_to_have_write_access() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    for (number, repo) in [(42, json!({"id": 9})), (43, json!(null))] {
        let head = json!({"sha": "f".repeat(40), "ref": "x", "repo": repo});
        let answer = desk.deliver(&merged(TAG, 2).number(number).set("head", head)).await;
        assert!(answer.json["reason"].as_str().unwrap().starts_with("from a fork"), "{}", answer.json);
        assert_eq!(desk.status(TASK), "pr_submitted");
        assert_eq!(desk.pull_request(number).unwrap()["check"], "now", "reconcile is asked to look");
    }
}

#[tokio::test]
async fn a_title_with_a_hundred_tags_is_bounded_work() {
    let desk = Desk::start().await;
    let title: String = (0..100).map(|n| format!("[kid: #{n:08x}]")).collect();
    let answer = desk.deliver(&opened(&title, 1)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json["tags_not_read"], 92);
    assert!(desk.table_calls() <= 2 + 8 + 1);
}

#[tokio::test]
async fn a_delivery_costs_a_read_of_the_row_one_of_each_tag_and_one_write() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    desk.task(OTHER, "pr_submitted");
    // Once an environment, reconcile is told which installations are served.
    desk.deliver(&opened("no tag", 1).number(7)).await;
    for (payload, calls) in [
        (opened(TAG, 1), 3),
        (opened(TAG, 1), 2),
        (pull_request("synchronize", TAG, 2).head('b'), 3),
        // The task that loses its link is read in between.
        (pull_request("edited", "no tag", 3), 3),
        (pull_request("edited", TAG, 4), 3),
        (merged(TAG, 5), 3),
        (merged(TAG, 5), 2),
    ] {
        desk.table_calls();
        desk.deliver(&payload).await;
        assert_eq!(desk.table_calls(), calls, "{}", payload.0);
    }
    let title = format!("{TAG} [kid: #bbbbbbbb]");
    desk.deliver(&merged(&title, 6).number(43)).await;
    assert_eq!(desk.table_calls(), 4);
}

#[tokio::test]
async fn deliveries_at_the_same_time_lose_nothing() {
    let desk = Desk::start().await;
    desk.task(TASK, "pr_submitted");
    let apps: Vec<_> = (0..8).map(|_| desk.another_app()).collect();
    let payloads: Vec<_> = (0..8).map(|n| opened(TAG, 1).number(n)).collect();
    let answers = apps.iter().zip(&payloads).map(|(app, payload)| desk.deliver_to(app, payload));
    for answer in futures_util::future::join_all(answers).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(desk.read(TASK)["pull_requests"].as_object().unwrap().len(), 8);
}
