//! Forged deliveries: whoever does not know the secret gets nothing but a refusal, however many tries there are.

use std::process::Command;

use adapters::secrets::{Callers, REFRESH_INTERVAL, Secret, WebhookSecret};
use jiff::{SignedDuration, Timestamp};
use lambda_http::http::{HeaderMap, HeaderName, HeaderValue};
use local_aws::SecretsManager;
use secrecy::SecretString;
use serde_json::json;
use sha2::{Digest, Sha256};
use stack::{Stack, WEBHOOK_SECRET, WEBHOOK_SECRET_ID};
use webhook::delivery::{DeliveryRefusal, UnverifiedDelivery, verify};
use webhook::signature::Signature;

use crate::harness::desk::{TAG, TASK, sign};
use crate::harness::payload::merged;

/// How many are tried in this process where `FORGED` does not say; over HTTP a hundredth of it.
const TRIED: u64 = 10_000;

/// Their seed, where `FORGED_SEED` does not say.
const SEED: u64 = 15;

/// How many of them come each second of the clock that the verifier is given.
const A_SECOND: u64 = 1_000;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|number| number.parse().ok()).unwrap_or(otherwise)
}

/// What a forger sends.
#[derive(Debug, Clone)]
struct Forged {
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

/// Draws forgeries. It has seen one real delivery, and knows everything but the secret.
struct Forger {
    body: Vec<u8>,
    /// What the real one was signed with.
    real: String,
    state: u64,
}

impl Forger {
    fn new() -> Self {
        let body = merged(TAG, 2).bytes();
        let seed = number("FORGED_SEED", SEED);
        eprintln!("FORGED_SEED={seed}");
        Self { real: sign(WEBHOOK_SECRET, &body), body, state: seed }
    }

    /// SplitMix64. <https://prng.di.unimi.it/splitmix64.c>
    fn draw(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % below as u64).unwrap()
    }

    fn forged(&mut self) -> Forged {
        const HEADER: &str = "x-hub-signature-256";
        let (body, real) = (self.body.clone(), self.real.clone());
        let with = |signature: &str, body: Vec<u8>| Forged { headers: vec![(HEADER, signature.into())], body };
        match self.draw(10) {
            0 => with(&real, self.changed(body)),
            1 => with(&self.misspelt(&real), body),
            2 => with(&sign(&self.guess(), &body), body),
            3 => with(&format!("sha256={}", hex::encode(self.drawn())), body),
            // Unkeyed, and keyed as if it were not HMAC.
            4 => with(&format!("sha256={}", hex::encode(Sha256::digest(&body))), body),
            5 => with(
                &format!("sha256={}", hex::encode(Sha256::digest([self.guess().as_bytes(), &body].concat()))),
                body,
            ),
            // Signed, but not in the header that counts.
            6 => {
                let name =
                    ["x-hub-signature", "x-hub-signature-512", "authorization", "x-hub-signature-256-"][self.draw(4)];
                Forged { headers: vec![(name, real.into())], body }
            }
            7 => Forged { headers: vec![], body },
            // A wrong one before the right one of another body.
            8 => {
                let wrong = format!("sha256={}", hex::encode(self.drawn()));
                Forged { headers: vec![(HEADER, wrong.into()), (HEADER, real.into())], body: self.changed(body) }
            }
            _ => with(&self.misspelt(&real), self.changed(body)),
        }
    }

    fn drawn(&mut self) -> [u8; 32] {
        std::array::from_fn(|_| u8::try_from(self.draw(256)).unwrap())
    }

    /// Another body than the one that was signed.
    fn changed(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        let at = self.draw(body.len());
        match self.draw(4) {
            0 => body[at] ^= 1 << self.draw(8),
            1 => body.truncate(at),
            2 => body.insert(at, b' '),
            _ => body.push(b'\n'),
        }
        body
    }

    /// Anything but the right signature, as near to it as can be.
    fn misspelt(&mut self, real: &str) -> String {
        let (mut text, at) = (real.as_bytes().to_vec(), self.draw(real.len()));
        match self.draw(8) {
            0 => text[at] = if text[at] == b'0' { b'1' } else { b'0' },
            1 => text.truncate(at),
            2 => text.insert(at, b'0'),
            3 => text = real.to_uppercase().into(),
            // HTTP takes off the blanks around a value.
            4 => text.insert(at.max(1), b' '),
            5 => text = real.replace("sha256=", ["", "sha1=", "sha512=", "SHA256=", "sha256:"][self.draw(5)]).into(),
            6 => text = format!("{real},{real}").into(),
            _ => text.rotate_left(1 + self.draw(real.len() - 1)),
        }
        String::from_utf8(text).unwrap()
    }

    /// A secret that is not the right one.
    fn guess(&mut self) -> String {
        let at = self.draw(WEBHOOK_SECRET.len());
        let mut guess = WEBHOOK_SECRET.to_owned();
        match self.draw(6) {
            0 => guess.clear(),
            1 => guess.truncate(at),
            2 => guess.insert(at, 'x'),
            3 => guess = guess.to_uppercase(),
            4 => guess.push('\n'),
            _ => guess = ["secret", "changeme", "null", "undefined", "{}"][self.draw(5)].to_owned(),
        }
        guess
    }
}

fn delivery(forged: Forged) -> UnverifiedDelivery {
    let mut headers = HeaderMap::new();
    for (name, value) in forged.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_bytes(&value).unwrap());
    }
    UnverifiedDelivery { headers, body: Some(forged.body) }
}

fn reads(secrets: &SecretsManager) -> u64 {
    secrets.calls().iter().filter(|call| call.operation == "GetSecretValue").count() as u64
}

#[tokio::test]
async fn no_forged_delivery_is_accepted_by_the_verifier() {
    let tried = number("FORGED", TRIED);
    let mut forger = Forger::new();
    for (configured, tried) in [(true, tried), (false, tried / 10)] {
        let secrets = SecretsManager::start().await;
        let value = if configured { json!({"webhook_secret": WEBHOOK_SECRET}) } else { json!({"webhook_secret": ""}) };
        secrets.create(WEBHOOK_SECRET_ID, Some(&value)).await;
        let secret = Secret::<WebhookSecret>::new(secrets.sdk("ASIAWEBHOOK"), WEBHOOK_SECRET_ID, Callers::Anybody);
        let start = Timestamp::from_second(1_795_500_000).unwrap();
        let at = |count: u64| start + SignedDuration::from_millis(i64::try_from(count * 1000 / A_SECOND).unwrap());
        for count in 0..tried {
            let forged = forger.forged();
            match verify(delivery(forged.clone()), &secret, at(count)).await {
                Err(DeliveryRefusal::Signature) if configured => {}
                Err(DeliveryRefusal::Secret(adapters::Error::SecretNotConfigured { .. })) if !configured => {}
                other => panic!("{other:?}: {forged:?}"),
            }
        }
        // A look is at both versions, and there is one at the start.
        let looks = 2 + tried / A_SECOND / REFRESH_INTERVAL.as_secs().unsigned_abs() + tried / A_SECOND / 300;
        assert!(reads(&secrets) <= 2 * looks, "{} reads of the secret in {} s", reads(&secrets), tried / A_SECOND);
    }
}

#[tokio::test]
async fn no_forged_delivery_is_accepted_over_http_and_none_reaches_a_table() {
    let tried = number("FORGED", TRIED) / 100;
    let mut forger = Forger::new();
    for (secret, status, tried) in [(WEBHOOK_SECRET, 401, tried), ("changeme", 503, tried / 10)] {
        let stack = Stack::start().await;
        stack.create_task(TASK, "Fix login", "pr_submitted");
        // A version that is malformed takes no good one before it out of service, so there must be none.
        for _ in 0..2 {
            stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": secret})).await;
        }
        stack.dynamodb.clear_calls();
        let (reads_before, began) = (reads(&stack.secrets), std::time::Instant::now());
        for _ in 0..tried {
            let forged = forger.forged();
            let mut request = stack.http.post(stack.front.url()).header("x-github-event", "pull_request");
            for (name, value) in &forged.headers {
                request = request.header(*name, HeaderValue::from_bytes(value).unwrap());
            }
            let answer = request.body(forged.body.clone()).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), status, "{forged:?}");
        }
        let looks = 2 + began.elapsed().as_secs() / REFRESH_INTERVAL.as_secs().unsigned_abs();
        let reads = reads(&stack.secrets) - reads_before;
        assert!(reads <= 2 * looks * stack.lambda.environments("webhook") as u64, "{reads} reads of the secret");
        assert!(stack.dynamodb.calls().is_empty(), "{:?}", stack.dynamodb.calls());
        assert_eq!(stack.status(TASK), "pr_submitted");
    }
}

/// Whatever a library adds tells a forger what runs here.
#[tokio::test]
async fn an_answer_has_no_header_but_its_type() {
    let stack = Stack::start().await;
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": WEBHOOK_SECRET})).await;
    let body = merged(TAG, 2).bytes();
    let real = sign(WEBHOOK_SECRET, &body);
    let event = |headers: serde_json::Value, body: &str, is_base64: bool| {
        let request = lambda_http::http::Request::post(stack.front.url()).header("content-type", "application/json");
        let mut event = stack.front.event(request.body(body.to_owned().into()).unwrap());
        for (name, value) in headers.as_object().unwrap() {
            event["headers"][name] = value.clone();
        }
        event["isBase64Encoded"] = is_base64.into();
        event
    };
    let signed = json!({"x-hub-signature-256": real, "x-github-event": "pull_request"});
    let body = String::from_utf8(body).unwrap();
    for (status, event) in [
        (200, event(signed.clone(), &body, false)),
        (401, event(json!({}), &body, false)),
        (400, event(json!({"x-hub-signature-256": real}), &body, false)),
        (400, event(signed.clone(), "***", true)),
        (500, event(signed.clone(), &body, false)),
        (503, event(signed, &body, false)),
    ] {
        match status {
            500 => stack.dynamodb.set_unreachable(true),
            503 => {
                stack.secrets.set_unreachable(true);
                stack.lambda.kill_environments("webhook");
            }
            _ => {}
        }
        let answer = stack.front.invoke_event(event).await.unwrap();
        assert_eq!(answer["statusCode"], status, "{answer:#}");
        assert_eq!(answer["headers"], json!({"content-type": "application/json"}), "{answer:#}");
        let more = answer["multiValueHeaders"].as_object().is_some_and(|headers| !headers.is_empty());
        let cookies = answer["cookies"].as_array().is_some_and(|cookies| !cookies.is_empty());
        assert!(!more && !cookies, "{answer:#}");
    }
}

/// What callgrind counts: one comparison, and nothing around it.
#[inline(never)]
fn compared(signature: &Signature, secret: &SecretString, body: &[u8]) -> bool {
    signature.verifies(secret, body)
}

/// Compares the right signature with the byte turned that `WRONG` says, under [`instructions`].
#[test]
#[ignore = "is what the next one runs"]
fn one_comparison() {
    let body = merged(TAG, 2).bytes();
    let mut real = sign(WEBHOOK_SECRET, &body);
    let wrong = usize::try_from(number("WRONG", 0)).unwrap();
    let (at, digit) =
        ("sha256=".len() + 2 * wrong, if real.as_bytes()["sha256=".len() + 2 * wrong] == b'0' { "1" } else { "0" });
    real.replace_range(at..=at, digit);
    let signature = Signature::parse(real.as_bytes()).unwrap();
    assert!(!compared(std::hint::black_box(&signature), &WEBHOOK_SECRET.into(), &body));
}

/// How many instructions a comparison takes where one byte is wrong.
fn instructions(wrong: usize) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--collect-atstart=no", "--toggle-collect=*forged*compared*"]);
    valgrind.arg(format!("--callgrind-out-file={}", folder.path().join("counts").display()));
    valgrind.arg(std::env::current_exe().unwrap());
    let one = ["--exact", "scenarios::forged::one_comparison", "--ignored", "--test-threads=1"];
    let ran = valgrind.args(one).env("WRONG", wrong.to_string()).output().expect("valgrind is installed");
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(ran.status.success() && String::from_utf8_lossy(&ran.stdout).contains("1 passed"), "{said}");
    let counts = std::fs::read_to_string(folder.path().join("counts")).unwrap();
    let total = counts.lines().find_map(|line| line.strip_prefix("totals: "));
    total.and_then(|total| total.trim().parse().ok()).unwrap_or_else(|| panic!("{said}"))
}

#[test]
#[ignore = "needs valgrind: make constant-time"]
fn a_comparison_takes_as_many_instructions_whichever_byte_is_wrong() {
    let first = instructions(0);
    assert!(first > 1_000, "an HMAC is more than {first} instructions");
    for wrong in [1, 16, 31] {
        assert_eq!(instructions(wrong), first, "byte {wrong}");
    }
    println!("{first} instructions");
}
