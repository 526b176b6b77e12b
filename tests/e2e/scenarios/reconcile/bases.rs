//! Bases: a push to one of many, and one whose tip GitHub does not tell.

use domain::contract::reconcile::Outcome;
use serde_json::json;

use super::World;
use super::faults::{SAML, a_turn, conflict, linked_into, settled};
use super::world::REPOSITORY;

/// A quarter of an hour, minute by minute.
async fn a_quarter(world: &mut World) {
    for _ in 0..15 {
        world.pass(60);
        world.due().await;
        world.stream().await;
    }
}

/// A repository with an open pull request on each of 25 bases, all of them settled and watched.
pub(super) async fn with_many_bases() -> World {
    let mut world = World::new().await;
    world.github.set_settle_reads(0);
    for at in 0..25 {
        linked_into(&mut world, &format!("{at:08x}"), &format!("release-{at:02}"), "a.rs").await;
    }
    world.stream().await;
    for _ in 0..4 {
        a_turn(&mut world).await;
    }
    world
}

#[tokio::test]
async fn a_push_to_any_of_many_bases_is_found_within_a_quarter_of_an_hour() {
    let mut world = with_many_bases().await;
    let pushed = [0, 12, 24];
    for at in pushed {
        world.github.push_to_branch(REPOSITORY, &format!("release-{at:02}"), &["a.rs"]);
    }
    a_quarter(&mut world).await;
    for at in 0..25 {
        assert_eq!(conflict(&world, &format!("{at:08x}")), json!(pushed.contains(&at)), "{at}");
    }
}

#[tokio::test]
async fn a_base_whose_tip_is_refused_is_told_of_and_its_conflicts_are_found_all_the_same() {
    let mut world = World::new().await;
    settled(&mut world, "aaaaaaa1", "a.rs").await;
    world.once_more().await;
    world.github.bar_branch(REPOSITORY, "main", SAML);
    world.github.push_to_branch(REPOSITORY, "main", &["a.rs"]);
    a_quarter(&mut world).await;
    assert_eq!(conflict(&world, "aaaaaaa1"), json!(true));
    assert!(world.read("aaaaaaa1").get("conflict_caused_by").is_none());
    let mut told = Vec::new();
    for _ in 0..70 {
        world.pass(60);
        told.push(world.due().await);
    }
    let longest = told.iter().max_by_key(|told| told.unserved_seconds).unwrap();
    assert!(longest.unserved_seconds > 3600 && longest.outcome == Outcome::Refused, "{longest:?}");
    world.github.unbar();
    for _ in 0..3 {
        a_turn(&mut world).await;
    }
    world.pass(15 * 60);
    assert_eq!(world.due().await.unserved, []);
}
