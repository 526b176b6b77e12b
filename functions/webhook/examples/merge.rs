//! What a merge costs without its calls: the signature, the reading and the decision, as often as the argument says.
//!
//! `tests/bench/guard` counts its instructions. The payload is GitHub's own example, of `@octokit/webhooks-examples`.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a measurement stops where it measures nothing"
)]

use domain::protocol::{Found, Next, Protocol, Read, Stored, Written};
use domain::report::{Facts, Report};
use domain::task::Task;
use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use webhook::event::{Event, read};
use webhook::signature::Signature;

const EXAMPLE: &str = include_str!("../../../tests/bench/payloads/pull_request.synchronize.json");
const SECRET: &str = "It's a Secret to Everybody";
const TASK: &str = "4d9d444d0198c5c27f00aabbccddeeff";

fn main() {
    let times: u32 = std::env::args().nth(1).and_then(|word| word.parse().ok()).expect("how often");
    let body = merge();
    let signature = sign(&body);
    let task: Task = serde_json::from_value(json!({"id": TASK, "status": "pr_submitted", "title": "Fix login",
        "updated_at": "2019-05-01T00:00:00Z"}))
    .unwrap();
    for _ in 0..times {
        once(&body, &signature, &task);
    }
}

fn once(body: &[u8], signature: &[u8], task: &Task) {
    let signature = Signature::parse(signature).unwrap();
    assert!(signature.verifies(&SecretString::from(SECRET), body));
    match read(body, Some("pull_request"), Some("application/json"), &domain::served::Served::default()).unwrap() {
        Event::PullRequest { facts, .. } => decide(*facts, task),
        other => panic!("{other:?}"),
    }
}

fn decide(facts: Facts, task: &Task) {
    let now = Timestamp::from_second(1_795_500_000).unwrap();
    let (mut protocol, next) = Protocol::start(Report::facts(facts), now);
    let Next::Read(reads) = next else { panic!("{next:?}") };
    let found = |read: &Read| match read {
        Read::Tag(_) => Found::Tag(vec![(task.id.clone(), Stored::Task(Box::new(task.clone())))]),
        _ => Found::PullRequest(None),
    };
    let next = protocol.found(reads.into_iter().map(|read| (read.clone(), found(&read))));
    let Next::Write(_) = next else { panic!("{next:?}") };
    let Next::Done(applied) = protocol.written(Written::Done) else { panic!("the merge is not done") };
    assert_eq!(applied.changes[0].after.status.as_str(), "done");
}

fn merge() -> Vec<u8> {
    let mut payload: Value = serde_json::from_str(EXAMPLE).unwrap();
    payload["action"] = json!("closed");
    let pull = &mut payload["pull_request"];
    let merged_at = pull["updated_at"].clone();
    for (name, value) in [("state", json!("closed")), ("merged", json!(true)), ("merged_at", merged_at.clone())] {
        pull[name] = value;
    }
    pull["closed_at"] = merged_at;
    pull["title"] = json!(format!("Fix login [kid: #{}]", &TASK[..16]));
    payload.to_string().into_bytes()
}

fn sign(body: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body);
    format!("sha256={}", hex::encode(mac.finalize().into_bytes())).into_bytes()
}
