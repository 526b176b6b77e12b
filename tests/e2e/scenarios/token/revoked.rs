//! Tokens that are revoked, here or elsewhere, and reports of it.

use std::collections::BTreeSet;

use fake_github::{Fault, FaultKind};
use serde_json::{Value, json};
use stack::APP_SECRET_ID;
use token::{Environment, ErrorType, Policy};

use super::NEVER_SAID;
use crate::harness::counter::{Counter, rejected, token_of};

#[tokio::test]
async fn a_revoked_token_is_dead_and_its_copies_are_gone() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let ask = json!({"repositories": ["app"]});
    let first = counter.ask(&app, ask.clone()).await.unwrap();
    let revoke = json!({"action": "revoke", "token": token_of(&first), "repositories": ["app"]});
    let answer = counter.ask(&app, revoke.clone()).await.unwrap();
    assert_eq!(answer, json!({"revoked": true, "dropped": true}));
    assert!(counter.github.scope_of(token_of(&first)).unwrap().revoked);
    for app in [&app, &counter.environment()] {
        assert_ne!(token_of(&counter.ask(app, ask.clone()).await.unwrap()), token_of(&first));
    }
    let again = counter.ask(&app, revoke).await.unwrap();
    assert_eq!(again, json!({"revoked": true, "dropped": false}));
    assert_eq!(counter.minted(), 2);
}

#[tokio::test]
async fn revoking_works_whatever_scope_policy_and_secret_say() {
    let counter = Counter::open().await;
    let elsewhere = counter.environment();
    let first = counter.ask(&elsewhere, json!({"repositories": ["app"]})).await.unwrap();
    let nothing = Policy::parse(r#"{"profiles": {"agents": {"installations": [7]}}}"#).unwrap();
    let narrowed = counter.environment_with(nothing);
    let revoke = json!({"action": "revoke", "token": token_of(&first), "repositories": ["web"]});
    let answer = counter.ask(&narrowed, revoke).await.unwrap();
    assert_eq!(answer, json!({"revoked": true, "dropped": true}), "the copy is found by the token's hash");
    assert!(counter.github.scope_of(token_of(&first)).unwrap().revoked);
    counter.pass(30);
    let next = counter.ask(&elsewhere, json!({"repositories": ["app"]})).await.unwrap();
    assert_ne!(token_of(&next), token_of(&first), "within 30 s it is known everywhere");

    counter.secrets.put(APP_SECRET_ID, &json!({})).await;
    counter.secrets.put(APP_SECRET_ID, &json!({})).await;
    let revoke = json!({"action": "revoke", "token": token_of(&next)});
    assert_eq!(counter.ask_cold(revoke).await.unwrap()["revoked"], true);
}

/// GitHub refuses everything for a while after many bad credentials, and every caller may send some to be revoked.
#[tokio::test]
async fn made_up_and_dead_tokens_reach_github_a_few_times_a_minute() {
    let counter = Counter::open().await;
    let revoke = |token: &str| json!({"action": "revoke", "token": token});
    let answer = counter.ask_cold(json!({})).await.unwrap();
    let dead = counter.ask_cold(json!({"permissions": {"contents": "read"}})).await.unwrap();
    counter.ask_cold(revoke(token_of(&dead))).await.unwrap();
    counter.github.clear_requests();
    let mut refused = 0;
    for n in 0..20 {
        for token in [format!("ghs_madeup{n}"), token_of(&dead).to_owned()] {
            if let Err(failure) = counter.ask_cold(revoke(&token)).await {
                assert_eq!(failure.error_type.name(), "RateLimited");
                assert!(failure.message.contains("this one is not revoked"), "{}", failure.message);
                refused += 1;
            }
        }
    }
    assert_eq!((counter.github.requests().len(), refused), (5, 35));
    let revoked = counter.ask_cold(revoke(token_of(&answer))).await.unwrap();
    assert_eq!(revoked, json!({"revoked": true, "dropped": true}), "a token of this function is always revoked");
    counter.pass(61);
    counter.ask_cold(revoke("ghs_madeup")).await.unwrap();
}

#[tokio::test]
async fn what_revoking_meets_is_named_and_a_lock_out_holds_for_the_app() {
    let counter = Counter::open().await;
    let answer = counter.ask_cold(json!({})).await.unwrap();
    let revoke = json!({"action": "revoke", "token": token_of(&answer)});
    let status = |message: &str| FaultKind::Status(403, json!({"message": message}).to_string(), vec![]);
    for (message, error_type) in
        [(NEVER_SAID, "Refused"), ("Maximum number of login attempts exceeded. Please try again later.", "LockedOut")]
    {
        counter.github.fault(Fault::once("/installation/token", status(message)));
        let (found, message) = counter.refusal(&counter.environment(), revoke.clone()).await;
        assert_eq!(found, error_type, "{message}");
    }
    let (found, _) = counter.refusal(&counter.environment(), json!({"permissions": {"contents": "read"}})).await;
    assert_eq!((found, counter.asked()), ("LockedOut", 1));
}

#[tokio::test]
async fn who_revokes_again_and_again_neither_makes_github_mint_each_time_nor_takes_others_tokens() {
    let counter = Counter::open().await;
    let revoke = |answer: &Value| json!({"action": "revoke", "token": token_of(answer)});
    let app = counter.environment();
    let began = std::time::Instant::now();
    // Turns are drawn: who has lost some of them is told to come again, and does.
    let persistently = async |app: &Environment| {
        for _ in 0..10 {
            match counter.ask(app, json!({})).await {
                Err(failure) if failure.error_type == ErrorType::RateLimited => {}
                answer => return answer.unwrap(),
            }
        }
        panic!("ten times in vain");
    };
    let attack = async {
        loop {
            let answer = persistently(&app).await;
            assert_eq!(counter.ask(&app, revoke(&answer)).await.unwrap()["revoked"], true);
        }
    };
    let honest = async {
        while counter.minted() < 7 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        let mut tokens = Vec::new();
        let other = counter.environment();
        for app in [&app, &other, &other] {
            tokens.push(persistently(app).await);
        }
        // The one who revokes gets another turn.
        let minted = counter.minted();
        while counter.minted() == minted {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        tokens
    };
    let tokens = tokio::select! {
        tokens = honest => tokens,
        () = attack => unreachable!(),
    };
    assert_eq!(tokens.iter().map(token_of).collect::<BTreeSet<_>>().len(), 3, "none is shared, by memory either");
    for token in &tokens {
        assert!(!counter.github.scope_of(token_of(token)).unwrap().revoked, "it is nobody else's");
    }
    let seconds = usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(counter.asked() <= 7 + seconds / 3, "{} mints in {seconds} s", counter.asked());
    assert_eq!(counter.ask(&app, revoke(&tokens[0])).await.unwrap()["revoked"], true, "its holder can");
    counter.ask(&app, json!({"permissions": {"contents": "read"}})).await.unwrap();

    // Nobody revoked what others hold for a minute: one token serves all again.
    counter.pass(61);
    let (one, other) = (counter.ask_cold(json!({})).await.unwrap(), counter.ask_cold(json!({})).await.unwrap());
    assert_eq!(token_of(&one), token_of(&other));
}

#[tokio::test]
async fn who_has_no_time_for_a_turn_is_told_why_there_is_none() {
    let counter = Counter::open().await;
    for _ in 0..7 {
        let answer = counter.ask_cold(json!({})).await.unwrap();
        counter.ask_cold(json!({"action": "revoke", "token": token_of(&answer)})).await.unwrap();
    }
    let deadline = u64::try_from(counter.now().as_millisecond()).unwrap() + 2000;
    let failure = counter.ask_until(&counter.environment(), json!({}), deadline).await.unwrap_err();
    assert_eq!(failure.error_type.name(), "RateLimited");
    assert!(failure.message.contains("revoked again and again"), "{}", failure.message);
}

#[tokio::test]
async fn a_token_that_was_revoked_elsewhere_is_handed_out_no_more_once_its_holder_reports_it() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    counter.ask_cold(json!({"action": "revoke", "token": token_of(&first)})).await.unwrap();
    assert_eq!(token_of(&counter.ask(&app, json!({})).await.unwrap()), token_of(&first), "for half a minute at most");
    counter.ask(&app, rejected(token_of(&first))).await.unwrap();
    assert_ne!(token_of(&counter.ask(&app, json!({})).await.unwrap()), token_of(&first));
}

#[tokio::test]
async fn a_rejected_token_is_dropped_everywhere_within_half_a_minute() {
    let counter = Counter::open().await;
    let (reporter, other) = (counter.environment(), counter.environment());
    let first = counter.ask(&reporter, json!({})).await.unwrap();
    counter.pass(31);
    counter.ask(&other, json!({})).await.unwrap();
    let report = counter.ask(&reporter, rejected(token_of(&first))).await.unwrap();
    assert_eq!(report, json!({"invalidated": true}));
    let second = counter.ask(&reporter, json!({})).await.unwrap();
    assert_ne!(token_of(&second), token_of(&first));
    counter.pass(31);
    let elsewhere = counter.ask(&other, json!({})).await.unwrap();
    assert_eq!(token_of(&elsewhere), token_of(&second));
    assert_eq!(counter.minted(), 2);
}

#[tokio::test]
async fn reports_about_fresh_unknown_or_just_dropped_tokens_change_nothing() {
    let counter = Counter::open().await;
    let app = counter.environment();
    let first = counter.ask(&app, json!({})).await.unwrap();
    for token in [token_of(&first), "ghs_unknown"] {
        let report = counter.ask(&app, rejected(token)).await.unwrap();
        assert_eq!(report["invalidated"], false, "{report}");
    }
    counter.pass(31);
    assert_eq!(counter.ask(&app, rejected(token_of(&first))).await.unwrap()["invalidated"], true);
    let second = counter.ask(&app, json!({})).await.unwrap();
    assert_eq!(counter.ask(&app, rejected(token_of(&second))).await.unwrap()["invalidated"], false);
    assert_eq!(token_of(&counter.ask(&app, json!({})).await.unwrap()), token_of(&second));
    assert_eq!(counter.minted(), 2);
}
