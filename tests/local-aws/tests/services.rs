//! The local AWS answers as AWS does where the functions rely on it.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    error::ProvideErrorMetadata,
    operation::update_item::UpdateItemError,
    types::{AttributeValue, Put, ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use local_aws::{DynamoDb, Fault, Filter, Rule, SecretsManager, attribute};
use serde_json::{Value, json};

const KEY: &str = "ASIATEST";

fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn n(number: i64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

fn task(id: &str) -> Value {
    json!({"prefix": &id[..8], "id": id, "status": "pr_submitted", "version": 1})
}

const TASK: &str = "0123abcd00000000000000000000ffff";
const TWIN: &str = "0123abcd11111111111111111111ffff";

#[tokio::test]
async fn a_failed_condition_hands_back_the_item_that_is_there() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    let refused = update(&db, "SET version = :next").condition_expression("version = :seen");
    let refused = refused
        .expression_attribute_values(":seen", n(7))
        .expression_attribute_values(":next", n(8))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    match refused.send().await.unwrap_err().into_service_error() {
        UpdateItemError::ConditionalCheckFailedException(refusal) => {
            assert_eq!(refusal.item().unwrap()["version"], n(1));
            assert_eq!(refusal.item().unwrap()["id"], s(TASK));
        }
        other => panic!("{other:?}"),
    }
}

fn update(
    db: &DynamoDb,
    expression: &str,
) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
    db.sdk(KEY)
        .update_item()
        .table_name("Tasks")
        .key("prefix", s(&TASK[..8]))
        .key("id", s(TASK))
        .update_expression(expression)
}

#[tokio::test]
async fn a_transaction_writes_all_or_nothing_and_says_which_condition_failed() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    let refused = transaction(&db, 7).await.unwrap_err();
    let refused = refused.into_service_error();
    let reasons = match &refused {
        aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError::TransactionCanceledException(
            why,
        ) => why.cancellation_reasons(),
        other => panic!("{other:?}"),
    };
    let codes: Vec<_> = reasons.iter().filter_map(|reason| reason.code()).collect();
    assert_eq!(codes, ["None", "ConditionalCheckFailed"]);
    assert_eq!(reasons[1].item().unwrap()["version"], n(1));
    assert!(db.scan("PullRequests").is_empty());

    transaction(&db, 1).await.unwrap();
    assert_eq!(needs(&db), ["PutItem PullRequests", "UpdateItem Tasks"]);
    assert_eq!(db.scan("PullRequests").len(), 1);
    assert_eq!(db.get("Tasks", &json!({"prefix": &TASK[..8], "id": TASK})).unwrap()["status"], "done");
}

/// What a role would have to be granted for the last call.
fn needs(db: &DynamoDb) -> Vec<String> {
    let call = db.calls().pop().expect("a call");
    call.needs().into_iter().map(|(action, resource)| format!("{action} {resource}")).collect()
}

async fn transaction(
    db: &DynamoDb,
    seen: i64,
) -> Result<
    aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput,
    aws_sdk_dynamodb::error::SdkError<aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError>,
> {
    let put = Put::builder().table_name("PullRequests").item("repository_id", s("1")).item("item", s("pr#1"));
    let update = Update::builder()
        .table_name("Tasks")
        .key("prefix", s(&TASK[..8]))
        .key("id", s(TASK))
        .update_expression("SET #status = :done, version = version + :one")
        .condition_expression("version = :seen")
        .expression_attribute_names("#status", "status")
        .expression_attribute_values(":done", s("done"))
        .expression_attribute_values(":one", n(1))
        .expression_attribute_values(":seen", n(seen))
        .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
    db.sdk(KEY)
        .transact_write_items()
        .transact_items(TransactWriteItem::builder().put(put.build().unwrap()).build())
        .transact_items(TransactWriteItem::builder().update(update.build().unwrap()).build())
        .send()
        .await
}

#[tokio::test]
async fn a_tag_resolves_in_one_consistent_query() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    db.put("Tasks", &task(TWIN));
    for (tag, found) in [("0123abcd", 2), ("0123abcd0", 1), (TASK, 1), ("0123abcde", 0)] {
        let answer = db
            .sdk(KEY)
            .query()
            .table_name("Tasks")
            .key_condition_expression("prefix = :prefix AND begins_with(id, :tag)")
            .expression_attribute_values(":prefix", s(&tag[..8]))
            .expression_attribute_values(":tag", s(tag))
            .consistent_read(true)
            .limit(2)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.count(), found, "{tag}");
    }
}

#[tokio::test]
async fn the_due_index_holds_only_what_is_owed_and_in_order_of_time() {
    let db = DynamoDb::start().await;
    for (number, due) in [(1, Some(300)), (2, None), (3, Some(100)), (4, Some(900))] {
        let mut item = json!({"repository_id": "1", "item": format!("pr#{number}"), "title": "a title"});
        if let Some(at) = due {
            item["due"] = json!("open");
            item["next_check_at"] = json!(at);
        }
        db.put("PullRequests", &item);
    }
    let answer = db
        .sdk(KEY)
        .query()
        .table_name("PullRequests")
        .index_name("due-index")
        .key_condition_expression("due = :due AND next_check_at <= :now")
        .expression_attribute_values(":due", s("open"))
        .expression_attribute_values(":now", n(500))
        .send()
        .await
        .unwrap();
    let items: Vec<_> = answer.items().iter().map(|item| item["item"].clone()).collect();
    assert_eq!(items, [s("pr#3"), s("pr#1")]);
    assert!(!answer.items()[0].contains_key("title"), "the index holds keys only");
    assert_eq!(needs(&db), ["Query PullRequests/index/due-index"]);
}

#[tokio::test]
async fn the_due_index_is_not_read_consistently() {
    let db = DynamoDb::start().await;
    let refused = db
        .sdk(KEY)
        .query()
        .table_name("PullRequests")
        .index_name("due-index")
        .key_condition_expression("due = :due")
        .expression_attribute_values(":due", s("open"))
        .consistent_read(true)
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("ValidationException"));
}

#[tokio::test]
async fn an_update_sets_defaults_map_members_and_sets_and_removes() {
    let db = DynamoDb::start().await;
    let mut item = task(TASK);
    item["pull_requests"] = json!({});
    item["conflict_caused_by"] = json!("1#9");
    db.put("Tasks", &item);
    let updated = update(
        &db,
        "SET pull_requests.#key = :state, repository_id = if_not_exists(repository_id, :repository) \
         REMOVE conflict_caused_by ADD completed_by :merge",
    )
    .expression_attribute_names("#key", "1#2")
    .expression_attribute_values(":state", AttributeValue::M(HashMap::from([("state".to_owned(), s("open"))])))
    .expression_attribute_values(":repository", s("1"))
    .expression_attribute_values(":merge", AttributeValue::Ss(vec!["1#2".to_owned()]))
    .return_values(ReturnValue::AllNew)
    .send()
    .await
    .unwrap();
    let new = updated.attributes().unwrap();
    assert_eq!(new["repository_id"], s("1"));
    assert_eq!(new["completed_by"], AttributeValue::Ss(vec!["1#2".to_owned()]));
    assert!(!new.contains_key("conflict_caused_by"));
    let again = update(&db, "SET repository_id = if_not_exists(repository_id, :repository) ADD completed_by :merge")
        .condition_expression("NOT contains(completed_by, :member)")
        .expression_attribute_values(":repository", s("other"))
        .expression_attribute_values(":member", s("1#3"))
        .expression_attribute_values(":merge", AttributeValue::Ss(vec!["1#3".to_owned()]));
    again.send().await.unwrap();
    let item = db.get("Tasks", &json!({"prefix": &TASK[..8], "id": TASK})).unwrap();
    assert_eq!(item["repository_id"], "1");
    assert_eq!(item["completed_by"], json!(["1#2", "1#3"]));
    assert_eq!(item["pull_requests"], json!({"1#2": {"state": "open"}}));
}

#[tokio::test]
async fn a_map_member_cannot_be_set_where_there_is_no_map() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    let refused = update(&db, "SET pull_requests.#key = :state")
        .expression_attribute_names("#key", "1#2")
        .expression_attribute_values(":state", s("open"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.code(), Some("ValidationException"));
}

#[tokio::test]
async fn a_reserved_word_and_an_unused_value_are_refused() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    let reserved = update(&db, "SET status = :done").expression_attribute_values(":done", s("done")).send().await;
    assert_eq!(reserved.unwrap_err().code(), Some("ValidationException"));
    let unused = update(&db, "SET title = :title")
        .expression_attribute_values(":title", s("a"))
        .expression_attribute_values(":unused", s("b"))
        .send()
        .await;
    assert_eq!(unused.unwrap_err().code(), Some("ValidationException"));
}

#[tokio::test]
async fn an_expired_item_is_still_read_until_it_is_swept() {
    let db = DynamoDb::start().await;
    db.put("Tokens", &json!({"cache_key": "a", "ttl": jiff::Timestamp::now().as_second() + 86_400}));
    let yesterday = jiff::Timestamp::now().as_second() - 86_400;
    db.put("Tokens", &json!({"cache_key": "b", "ttl": yesterday}));
    assert!(db.get("Tokens", &json!({"cache_key": "b"})).is_some());
    db.database().sweep_ttl().unwrap();
    assert!(db.get("Tokens", &json!({"cache_key": "b"})).is_none());
    assert!(db.get("Tokens", &json!({"cache_key": "a"})).is_some());
}

#[tokio::test]
async fn a_committed_write_whose_answer_is_lost_fails_its_own_condition_when_the_sdk_retries_it() {
    for fault in [Fault::AnswerLost, Fault::AnswerReplaced] {
        let db = DynamoDb::start().await;
        db.put("Tasks", &task(TASK));
        db.fail_next("UpdateItem", "Tasks", 1, fault);
        let refused = update(&db, "SET version = :next")
            .condition_expression("version = :seen")
            .expression_attribute_values(":seen", n(1))
            .expression_attribute_values(":next", n(2))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await
            .unwrap_err()
            .into_service_error();
        let UpdateItemError::ConditionalCheckFailedException(refusal) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(refusal.item().unwrap()["version"], n(2), "its own write");
    }
}

#[tokio::test]
async fn faults_that_pass_are_retried_by_the_sdk_and_every_attempt_is_recorded() {
    for fault in [Fault::ServerError, Fault::Throttled, Fault::Unreachable] {
        let db = DynamoDb::start().await;
        db.put("Tasks", &task(TASK));
        db.fail_next(None, None, 2, fault);
        update(&db, "SET version = :next").expression_attribute_values(":next", n(2)).send().await.unwrap();
        let calls = db.calls();
        assert_eq!(calls.len(), 3, "{fault:?}");
        assert!(calls.iter().all(|call| call.operation == "UpdateItem" && call.on("Tasks")));
        assert!(calls.iter().all(|call| call.access_key_id == KEY));
        assert_eq!(calls[2].status, Some(200));
        assert_eq!(calls[2].body["UpdateExpression"], "SET version = :next");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut_or_garbled_is_of_a_write_that_was_done() {
    for fault in [Fault::CutShort, Fault::Garbage("<html>")] {
        let db = DynamoDb::start().await;
        db.put("Tasks", &task(TASK));
        db.fail(Rule::new(fault));
        update(&db, "SET version = :next").expression_attribute_values(":next", n(2)).send().await.unwrap_err();
        assert_eq!(db.get("Tasks", &json!({"prefix": &TASK[..8], "id": TASK})).unwrap()["version"], 2);
        assert!(db.calls().iter().all(|call| call.fault == Some(fault)));
    }
}

#[tokio::test]
async fn a_call_whose_answer_is_held_is_done_and_one_that_is_held_is_not() {
    for (fault, version) in [(Fault::Hold, 1), (Fault::HoldAnswer, 2)] {
        let db = DynamoDb::start().await;
        db.put("Tasks", &task(TASK));
        db.change("Tasks", &json!({"prefix": &TASK[..8], "id": TASK}), &json!({"version": 1}));
        db.fail(Rule::new(fault));
        let write = update(&db, "SET version = :next").expression_attribute_values(":next", n(2)).send();
        tokio::select! {
            _ = write => panic!("it is held"),
            () = db.held() => {}
        }
        // The caller is gone.
        db.release();
        assert_eq!(db.get("Tasks", &json!({"prefix": &TASK[..8], "id": TASK})).unwrap()["version"], version);
    }
}

#[tokio::test]
async fn a_connection_that_the_service_closed_is_replaced() {
    let db = DynamoDb::start().await;
    let sdk = db.sdk(KEY);
    for _ in 0..3 {
        sdk.get_item().table_name("Tokens").key("cache_key", s("a")).send().await.unwrap();
        db.hang_up();
    }
    assert!(db.calls().len() <= 6, "each at most once more");
}

#[tokio::test]
async fn a_denied_call_is_not_retried() {
    let db = DynamoDb::start().await;
    db.deny(KEY, "Tokens");
    let refused = db.sdk(KEY).get_item().table_name("Tokens").key("cache_key", s("a")).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("AccessDeniedException"));
    assert_eq!(db.calls().len(), 1);
    let other = db.sdk("ASIAOTHER").get_item().table_name("Tokens").key("cache_key", s("a")).send().await;
    assert!(other.unwrap().item().is_none());
}

#[tokio::test]
async fn a_crash_point_lets_the_calls_before_it_through_and_none_after() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    db.crash_at(KEY, 2);
    let write =
        async |value| update(&db, "SET version = :next").expression_attribute_values(":next", n(value)).send().await;
    write(2).await.unwrap();
    write(3).await.unwrap_err();
    write(4).await.unwrap_err();
    db.clear_faults();
    let item = db.get("Tasks", &json!({"prefix": &TASK[..8], "id": TASK})).unwrap();
    assert_eq!(item["version"], 2);
}

#[tokio::test]
async fn an_unreachable_service_is_back_when_it_is_reachable() {
    let db = DynamoDb::start().await;
    let read = || db.sdk(KEY).get_item().table_name("Tokens").key("cache_key", s("a")).send();
    db.set_unreachable(true);
    read().await.unwrap_err();
    db.set_unreachable(false);
    read().await.unwrap();
}

#[tokio::test]
async fn a_reset_database_is_empty_and_works() {
    let db = DynamoDb::start().await;
    db.put("Tasks", &task(TASK));
    db.fail_next(None, None, 9, Fault::ServerError);
    db.reset();
    assert!(db.scan("Tasks").is_empty());
    db.put("Tasks", &task(TASK));
    update(&db, "SET version = :next").expression_attribute_values(":next", n(2)).send().await.unwrap();
    assert_eq!(db.calls().len(), 1);
}

#[test]
fn plain_json_survives_the_way_to_an_item_and_back() {
    let plain =
        json!({"a": "text", "b": 12, "c": true, "d": null, "e": [1, "x"], "f": {"g": {"h": 1}}, "i": {"B": "AAE="}});
    assert_eq!(attribute::from_item(&attribute::to_item(&plain)), plain);
    let set = attribute::to_item(&json!({"set": {"SS": ["b", "a"]}}));
    assert_eq!(set, json!({"set": {"SS": ["b", "a"]}}));
    assert_eq!(attribute::from_item(&set), json!({"set": ["a", "b"]}));
}

#[test]
fn a_filter_lets_through_what_its_pattern_names() {
    let now = Filter::new([json!({"dynamodb": {"NewImage": {"check": {"S": ["now"]}}}})]);
    let record = |check: &str| json!({"dynamodb": {"NewImage": {"check": {"S": check}}}});
    assert!(now.matches(&record("now")));
    assert!(!now.matches(&record("later")));
    assert!(!now.matches(&json!({"dynamodb": {"OldImage": {"check": {"S": "now"}}}})));
    let written =
        Filter::new([json!({"eventName": ["INSERT", "MODIFY"], "dynamodb": {"OldImage": {"a": [{"exists": false}]}}})]);
    assert!(written.matches(&json!({"eventName": "INSERT", "dynamodb": {}})));
    assert!(!written.matches(&json!({"eventName": "REMOVE", "dynamodb": {}})));
    assert!(Filter::default().matches(&record("later")));
}

async fn labelled(secrets: &SecretsManager, label: &str) -> Vec<String> {
    let versions = secrets.versions("webhook").await;
    versions.into_iter().filter(|version| version.stages.iter().any(|stage| stage == label)).map(|v| v.value).collect()
}

#[tokio::test]
async fn rotations_in_a_row_leave_one_previous_version_and_it_is_the_last_but_one() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", Some(&json!("one"))).await;
    for (value, previous) in [("two", "one"), ("three", "two"), ("four", "three")] {
        let put = secrets.sdk(KEY).put_secret_value().secret_id("webhook").secret_string(value);
        put.send().await.unwrap();
        assert_eq!(labelled(&secrets, "AWSPREVIOUS").await, [previous]);
        assert_eq!(labelled(&secrets, "AWSCURRENT").await, [value]);
        assert_eq!(staged(&secrets, "AWSPREVIOUS").await.unwrap(), previous);
    }
}

async fn staged(secrets: &SecretsManager, stage: &str) -> Result<String, (String, String)> {
    let read = secrets.sdk(KEY).get_secret_value().secret_id("webhook").version_stage(stage).send().await;
    read.map(|found| found.secret_string().unwrap().to_owned()).map_err(|refused| {
        let text = |part: Option<&str>| part.unwrap_or_default().to_owned();
        (text(refused.code()), text(refused.message()))
    })
}

#[tokio::test]
async fn promoting_a_pending_version_makes_the_replaced_one_the_only_previous() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", Some(&json!("one"))).await;
    secrets.put("webhook", &json!("two")).await;
    for (value, replaced) in [("three", "two"), ("four", "three")] {
        promote(&secrets, value).await;
        assert_eq!(labelled(&secrets, "AWSCURRENT").await, [value]);
        assert_eq!(labelled(&secrets, "AWSPREVIOUS").await, [replaced]);
    }
    secrets.put("webhook", &json!("five")).await;
    assert_eq!(labelled(&secrets, "AWSPREVIOUS").await, ["four"]);
}

async fn promote(secrets: &SecretsManager, value: &str) {
    let sdk = secrets.sdk(KEY);
    let put = sdk.put_secret_value().secret_id("webhook").secret_string(value).version_stages("AWSPENDING");
    let pending = put.send().await.unwrap().version_id().unwrap().to_owned();
    let versions = secrets.versions("webhook").await;
    let current = versions.iter().find(|version| version.stages.iter().any(|stage| stage == "AWSCURRENT")).unwrap();
    assert_ne!(current.value, value, "a pending version is not current yet");
    let promote = || sdk.update_secret_version_stage().secret_id("webhook").version_stage("AWSCURRENT");
    let refused = promote().move_to_version_id(&pending).send().await.unwrap_err();
    assert_eq!(refused.code(), Some("InvalidParameterException"), "the version that loses the label must be named");
    promote().move_to_version_id(&pending).remove_from_version_id(&current.id).send().await.unwrap();
}

#[tokio::test]
async fn a_version_without_a_label_is_not_listed_and_is_still_there() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", Some(&json!("one"))).await;
    let sdk = secrets.sdk(KEY);
    let put = |value| sdk.put_secret_value().secret_id("webhook").secret_string(value).version_stages("AWSPENDING");
    let outrun = put("two").send().await.unwrap().version_id().unwrap().to_owned();
    put("three").send().await.unwrap();
    let described = sdk.describe_secret().secret_id("webhook").send().await.unwrap();
    let listed = described.version_ids_to_stages.unwrap();
    assert!(listed.len() == 2 && !listed.contains_key(&outrun), "{listed:?}");
    let read = sdk.get_secret_value().secret_id("webhook").version_id(&outrun).send().await.unwrap();
    assert_eq!((read.secret_string(), read.version_stages()), (Some("two"), &[][..]));
    let current = described_as(&listed, "AWSCURRENT");
    let promote = sdk.update_secret_version_stage().secret_id("webhook").version_stage("AWSCURRENT");
    promote.move_to_version_id(&outrun).remove_from_version_id(current).send().await.unwrap();
    assert_eq!(labelled(&secrets, "AWSCURRENT").await, ["two"]);
}

fn described_as(listed: &HashMap<String, Vec<String>>, label: &str) -> String {
    let holds = |labels: &[String]| labels.iter().any(|held| held == label);
    listed.iter().find(|(_, labels)| holds(labels)).unwrap().0.clone()
}

#[tokio::test]
async fn a_repeated_write_of_one_request_token_rotates_once() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", Some(&json!("one"))).await;
    secrets.put("webhook", &json!("two")).await;
    secrets.fail_next("PutSecretValue", "webhook", 1, Fault::AnswerLost);
    secrets.sdk(KEY).put_secret_value().secret_id("webhook").secret_string("three").send().await.unwrap();
    let puts = secrets.calls().into_iter().filter(|call| call.operation == "PutSecretValue").count();
    assert_eq!(puts, 2, "the SDK retried");
    assert_eq!(labelled(&secrets, "AWSPREVIOUS").await, ["two"]);
    assert_eq!(labelled(&secrets, "AWSCURRENT").await, ["three"]);
}

#[tokio::test]
async fn a_missing_label_value_or_secret_is_not_found() {
    let secrets = SecretsManager::start().await;
    let not_found = |message: &str| Err(("ResourceNotFoundException".to_owned(), message.to_owned()));
    assert_eq!(staged(&secrets, "AWSCURRENT").await, not_found("Secrets Manager can't find the specified secret."));
    secrets.create("webhook", None).await;
    let missing = "Secrets Manager can't find the specified secret value for staging label: ";
    assert_eq!(staged(&secrets, "AWSCURRENT").await, not_found(&format!("{missing}AWSCURRENT")));
    secrets.put("webhook", &json!("one")).await;
    assert_eq!(staged(&secrets, "AWSCURRENT").await.unwrap(), "one");
    assert_eq!(staged(&secrets, "AWSPREVIOUS").await, not_found(&format!("{missing}AWSPREVIOUS")));
}

#[tokio::test]
async fn a_value_above_the_limit_is_refused_and_one_at_it_is_kept() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", None).await;
    let put = |length| {
        let value = "x".repeat(length);
        secrets.sdk(KEY).put_secret_value().secret_id("webhook").secret_string(value).send()
    };
    assert_eq!(put(65_537).await.unwrap_err().code(), Some("ValidationException"));
    put(65_536).await.unwrap();
}

#[tokio::test]
async fn the_first_version_is_current_whatever_its_labels() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", None).await;
    let put =
        secrets.sdk(KEY).put_secret_value().secret_id("webhook").secret_string("one").version_stages("AWSPENDING");
    put.send().await.unwrap();
    assert_eq!(staged(&secrets, "AWSCURRENT").await.unwrap(), "one");
}

#[tokio::test]
async fn a_role_without_the_permission_reads_no_secret() {
    let secrets = SecretsManager::start().await;
    secrets.create("webhook", Some(&json!("one"))).await;
    secrets.deny(KEY, "webhook");
    assert_eq!(staged(&secrets, "AWSCURRENT").await.unwrap_err().0, "AccessDeniedException");
    let calls = secrets.calls();
    assert_eq!((calls.len(), calls[0].status, calls[0].on("webhook")), (1, Some(400), true));
}

#[tokio::test]
async fn the_tables_are_those_of_the_template() {
    let db = DynamoDb::start().await;
    let described = db.sdk(KEY).describe_table().table_name("PullRequests").send().await.unwrap().table.unwrap();
    let keys: Vec<_> = described.key_schema().iter().map(|key| key.attribute_name()).collect();
    assert_eq!(keys, ["repository_id", "item"]);
    let indexes: Vec<_> = described.global_secondary_indexes().iter().filter_map(|index| index.index_name()).collect();
    assert_eq!(indexes, ["due-index"]);
    assert_eq!(described.stream_specification().map(|stream| stream.stream_enabled()), Some(true));
    let expiry = db.sdk(KEY).describe_time_to_live().table_name("Tokens").send().await.unwrap();
    assert_eq!(expiry.time_to_live_description().and_then(|expiry| expiry.attribute_name()), Some("ttl"));
}
