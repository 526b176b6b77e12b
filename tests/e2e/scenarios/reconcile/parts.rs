//! What GitHub cannot show of a repository: the rest of it counts all the same, and what is gone is let go.

use domain::contract::reconcile::Outcome;
use fake_github::{Fault, FaultKind, LargePage};
use serde_json::{Value, json};

use super::World;
use super::bases::with_many_bases;
use super::faults::{SAML, a_turn, conflict, linked, linked_into, settled};
use super::world::REPOSITORY;

fn unreadable(number: u64) -> Fault {
    Fault::always(&format!("/pulls/{number}"), FaultKind::ServerError)
}

#[tokio::test]
async fn eight_that_can_be_read_in_no_way_keep_no_other_from_its_card() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    for _ in 0..8 {
        let number = world.open("Without a tag", "a.rs").number();
        world.github.bar(REPOSITORY, Some(number), SAML);
        world.github.fault(unreadable(number));
    }
    world.task("aaaaaaa1", "pr_submitted");
    world.open("New [kid: #aaaaaaa1]", "b.rs");
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    assert_eq!(world.sync()["missed"].as_array().unwrap().len(), 8);
}

#[tokio::test]
async fn of_many_on_one_base_each_that_cannot_be_read_backs_off_alone() {
    let mut world = World::new().await;
    let mut numbers = Vec::new();
    for at in 0..18 {
        numbers.push(linked(&mut world, &format!("{at:08x}"), &format!("{at}.rs")).await);
    }
    world.stream().await;
    a_turn(&mut world).await;
    world.pass(5);
    for number in &numbers {
        let pushed = world.hub().push(REPOSITORY, *number);
        world.github.set_unknown_in_lists(REPOSITORY, *number, true);
        world.deliver(&pushed).await;
    }
    // No other number begins with this one.
    let readable = numbers.remove(8);
    for number in &numbers {
        world.github.fault(unreadable(*number));
    }
    world.stream().await;
    a_turn(&mut world).await;
    assert_eq!(world.item(readable).get("due"), None, "it was answered");
    for number in &numbers {
        let row = world.item(*number);
        assert!(row["failing"]["because"].is_string(), "{row:#}");
    }
}

#[tokio::test]
async fn tips_that_github_cannot_answer_together_are_asked_for_in_smaller_queries() {
    let mut world = with_many_bases().await;
    // Fourteen branches are too much for GitHub, and the ten that are asked for with other repositories are not; and one of those beyond them
    // spoils each query that it is in.
    world.github.fault(Fault::query("$b0_14:", FaultKind::ServerError));
    world.github.fault(Fault::query("release-10", FaultKind::ServerError));
    for at in [0, 24] {
        world.github.push_to_branch(REPOSITORY, &format!("release-{at:02}"), &["a.rs"]);
    }
    world.task("fffffff1", "pr_submitted");
    world.open("New [kid: #fffffff1]", "b.rs");
    for _ in 0..2 {
        a_turn(&mut world).await;
    }
    assert_eq!(conflict(&world, "fffffff1"), json!(false));
    for at in 0..25 {
        assert_eq!(conflict(&world, &format!("{at:08x}")), json!([0, 24].contains(&at)), "{at}");
    }
}

#[tokio::test]
async fn a_branch_that_spoils_the_query_of_many_repositories_hides_no_push_to_another_one() {
    let mut world = with_many_bases().await;
    world.github.fault(Fault::query("release-03", FaultKind::ServerError));
    for at in [0, 24] {
        world.github.push_to_branch(REPOSITORY, &format!("release-{at:02}"), &["a.rs"]);
    }
    a_turn(&mut world).await;
    for at in 0..25 {
        assert_eq!(conflict(&world, &format!("{at:08x}")), json!([0, 24].contains(&at)), "{at}");
    }
    world.github.clear_requests();
    a_turn(&mut world).await;
    let first = world.github.requests().into_iter().find(|request| request.path == "/graphql").unwrap();
    assert!(first.status == Some(200) && !first.body.contains("release-03"), "it spoils no query of others any more");
}

#[tokio::test]
async fn many_bases_cost_no_more_than_few_while_graphql_answers_nothing() {
    let mut world = with_many_bases().await;
    world.github.fault(Fault::always("/graphql", FaultKind::ServerError));
    world.task("fffffff1", "pr_submitted");
    world.open("New [kid: #fffffff1]", "b.rs");
    world.github.clear_requests();
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "fffffff1"), json!(false), "REST lists it");
    assert!(world.sync()["failing"]["because"].is_string());
    let queries = world.github.count("POST /graphql");
    assert!(queries <= 12, "{queries} queries");
}

/// A repository of 132 pull requests that GraphQL cannot list, with a card whose pull request is on the second page of REST.
async fn listed_by_rest() -> World {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    for at in 0..131 {
        world.open(&format!("Without a tag {at}"), "c.rs");
    }
    world.task("aaaaaaa1", "pr_submitted");
    world.open("Last [kid: #aaaaaaa1]", "a.rs");
    world.github.set_largest_page(Some((1, LargePage::BadGateway)));
    world
}

#[tokio::test]
async fn a_page_of_rest_that_cannot_be_answered_is_asked_for_with_less_in_it() {
    let mut world = listed_by_rest().await;
    for page in ["per_page=100&page=2", "per_page=50&page=3"] {
        world.github.fault(Fault::always(page, FaultKind::ServerError));
    }
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    assert_eq!(world.sync().get("resume"), None);
}

#[tokio::test]
async fn one_that_no_page_of_rest_shows_hides_no_other_and_no_cursor_passes_it() {
    let mut world = listed_by_rest().await;
    for page in ["per_page=100&page=2", "per_page=50&page=3", "per_page=25&page=5", "per_page=1&page=101"] {
        world.github.fault(Fault::always(page, FaultKind::ServerError));
    }
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    let told = world.due().await;
    let kept = world.sync();
    assert!(kept["failing"]["because"].is_string() && kept.get("resume").is_some(), "{told:?} {kept:#}");
}

#[tokio::test]
async fn one_that_no_page_shows_is_owed_also_where_the_list_takes_more_than_one_turn() {
    let mut world = listed_by_rest().await;
    for page in ["per_page=100&page=1", "per_page=50&page=1", "per_page=25&page=1", "per_page=1&page=1"] {
        world.github.fault(Fault { times: 3, ..Fault::always(&format!("asc&{page}"), FaultKind::ServerError) });
    }
    // Behind the hidden one a limit ends the first reading.
    world.github.fault(Fault::once("per_page=25&page=2", FaultKind::TooMany(60)));
    a_turn(&mut world).await;
    a_turn(&mut world).await;
    let kept = world.sync();
    assert!(kept["failing"]["because"].is_string(), "{kept:#}");
    world.github.clear_faults();
    for _ in 0..4 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.sync().get("failing"), None);
}

#[tokio::test]
async fn a_list_that_rest_does_not_answer_to_its_end_is_read_by_graphql_once_that_recovers() {
    let mut world = listed_by_rest().await;
    for page in ["per_page=100&page=2", "per_page=50&page=3", "per_page=25&page=5", "per_page=1&page=10"] {
        world.github.fault(Fault::always(page, FaultKind::ServerError));
    }
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), Value::Null);
    world.github.set_largest_page(None);
    for _ in 0..2 {
        a_turn(&mut world).await;
    }
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
}

#[tokio::test]
async fn a_resync_that_an_earlier_version_left_at_a_page_of_rest_goes_on_there() {
    let mut world = listed_by_rest().await;
    let mut kept = world.sync();
    let after = format!(
        "http://github.test/repos/{REPOSITORY}/pulls?state=open&sort=created&direction=asc&per_page=100&page=2"
    );
    kept["resume"] = json!({"open": true, "rest": true, "after": after, "until": world.now.to_string()});
    world.dynamodb.put("PullRequests", &kept);
    world.github.clear_requests();
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(false));
    let first = world.github.requests().into_iter().find(|request| request.path.contains("/pulls?")).unwrap();
    assert!(first.path.ends_with("&page=2"), "{}", first.path);
}

#[tokio::test]
async fn one_that_could_be_read_in_no_way_and_is_gone_for_days_is_let_go() {
    let mut world = World::new().await;
    a_turn(&mut world).await;
    let number = world.open("Spam", "a.rs").number();
    world.github.bar(REPOSITORY, Some(number), SAML);
    a_turn(&mut world).await;
    assert_eq!(world.sync()["missed"].as_array().unwrap().len(), 1);
    world.github.unbar();
    world.github.hide_from_lists(REPOSITORY, number, true);
    let missing = FaultKind::Status(404, r#"{"message":"Not Found"}"#.into(), vec![]);
    world.github.fault(Fault::always(&format!("/pulls/{number}"), missing));
    let since = world.now.as_second();
    while world.sync().get("missed").is_some() {
        a_turn(&mut world).await;
    }
    let hours = (world.now.as_second() - since) / 3600;
    assert!((72..74).contains(&hours), "it is let go after {hours} hours");
    world.pass(15 * 60 + 1);
    let told = world.due().await;
    assert_eq!((told.unserved, told.outcome), (Vec::new(), Outcome::Done));
}

#[tokio::test]
async fn one_that_a_page_shows_again_counts_and_is_missed_no_more() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    world.pass(5);
    world.task("bbbbbbb2", "pr_submitted");
    let number = world.open("Work [kid: #bbbbbbb2]", "b.rs").number();
    world.github.bar(REPOSITORY, Some(number), SAML);
    world.github.fault(unreadable(number));
    // Each time something else is touched, so that the cursor passes it.
    for _ in 0..2 {
        world.open("Without a tag", "c.rs");
        a_turn(&mut world).await;
    }
    assert_eq!(world.sync()["missed"].as_array().unwrap().len(), 1);
    world.github.unbar();
    world.open("Without a tag", "c.rs");
    a_turn(&mut world).await;
    assert_eq!(world.sync().get("missed"), None);
    world.github.clear_faults();
    a_turn(&mut world).await;
    assert_eq!(conflict(&world, "bbbbbbb2"), json!(false));
}

#[tokio::test]
async fn a_merge_whose_title_no_list_tells_is_owed_until_graphql_tells_it() {
    let mut world = World::new().await;
    settled(&mut world, "bbbbbbb2", "b.rs").await;
    world.task("aaaaaaa1", "pr_submitted");
    let number = world.open("Work [kid: #aaaaaaa1]", "a.rs").number();
    world.pass(5);
    world.hub().merge(REPOSITORY, number);
    world.pass(5);
    world.hub().retitle(REPOSITORY, number, "Renamed since");
    world.github.fault(Fault::always("/graphql", FaultKind::ServerError));
    for _ in 0..4 {
        // The cursor passes the merge, and each page shows it.
        world.open("Without a tag", "c.rs");
        a_turn(&mut world).await;
    }
    world.github.clear_faults();
    for _ in 0..5 {
        a_turn(&mut world).await;
    }
    assert_eq!(world.read("aaaaaaa1")["status"], "done");
}

#[tokio::test]
async fn a_list_that_cannot_be_read_for_a_day_delays_no_push_to_a_base() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    for list in
        [Fault::query("orderBy: $order", FaultKind::ServerError), Fault::always("/pulls?", FaultKind::ServerError)]
    {
        world.github.fault(list);
    }
    // It has a base of its own, which nothing but the comparison of cards can meet.
    linked_into(&mut world, "bbbbbbb2", "release", "b.rs").await;
    for _ in 0..96 {
        a_turn(&mut world).await;
    }
    assert!(world.sync()["failing"]["because"].is_string(), "{:#}", world.sync());
    for (base, path) in [("main", "a.rs"), ("release", "b.rs")] {
        world.github.push_to_branch(REPOSITORY, base, &[path]);
    }
    a_turn(&mut world).await;
    assert_eq!((conflict(&world, "aaaaaaa1"), conflict(&world, "bbbbbbb2")), (json!(true), json!(true)));
}

#[tokio::test]
async fn what_graphql_says_is_not_there_and_rest_shows_ends_no_debt() {
    let not_found = json!({"data": {"r0": null, "repository": null}, "errors": [
        {"type": "NOT_FOUND", "path": ["r0"], "message": "Could not resolve to a Repository"},
        {"type": "NOT_FOUND", "path": ["repository"], "message": "Could not resolve to a Repository"},
    ]});
    for answer in [json!({"data": {"r0": null, "repository": null}}), not_found] {
        let mut world = World::new().await;
        settled(&mut world, "aaaaaaa1", "a.rs").await;
        settled(&mut world, "bbbbbbb2", "b.rs").await;
        world.github.fault(Fault::always("/graphql", FaultKind::Status(200, answer.to_string(), vec![])));
        world.github.set_unknown_in_lists(REPOSITORY, 1, true);
        world.github.push_to_branch(REPOSITORY, "main", &["a.rs"]);
        for _ in 0..4 * 24 * 4 {
            world.pass(15 * 60 + 1);
            world.due().await;
        }
        // Let go and listed again, it would be read from the beginning.
        assert!(world.sync()["cursor"].is_string(), "{answer}: {:#}", world.sync());
        world.github.clear_faults();
        for _ in 0..8 {
            a_turn(&mut world).await;
        }
        assert_eq!(conflict(&world, "aaaaaaa1"), json!(true), "{answer}");
    }
}

#[tokio::test]
async fn a_run_that_had_no_turn_for_some_says_so_and_since_when_they_are_due_is_kept() {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    for at in 0..120 {
        linked(&mut world, &format!("{at:08x}"), "a.rs").await;
    }
    world.github.set_largest_page(Some((0, LargePage::BadGateway)));
    let told = world.stream().await;
    assert_eq!(told.outcome, Outcome::Unavailable, "{told:?}");
    // By then all could be answered; those that had no turn have been due since the first minute.
    world.github.fault(Fault { times: 200, ..Fault::always("/pulls/", FaultKind::TooMany(1)) });
    world.pass(600);
    let told = world.due().await;
    assert!(told.oldest_due_seconds.is_some_and(|oldest| oldest >= 500), "{told:?}");
}
