//! Hostile input: real samples with the changes that parsers fall over.
//!
//! Bytes at random are refused at their first one, and test nothing behind it. So a sample that is taken is changed in one to four places, and
//! the change that a failure comes from is what the report shows. Every parser of what others send is tried with it, beside the parser.
//!
//! `make fuzz` builds the same tests with `--cfg fuzzing`: libFuzzer changes the samples then, for as long as it is told to, and goes on from what
//! took a branch that none took before.

#![allow(clippy::panic, missing_docs, reason = "a test fails by panicking")]
#![cfg_attr(fuzzing, allow(dead_code, unused_imports, reason = "libFuzzer makes the changes"))]

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use serde_json::Value;

/// What is tried unless `PROPTEST_RNG_SEED` says otherwise.
const SEED: u64 = 15;

/// A parser is quick: it is tried so many times as often as proptest would, 256 times unless `PROPTEST_CASES` says otherwise.
const OFTEN: u32 = 2;

/// Of a report's input so much is shown.
const SHOWN: usize = 2000;

/// No sample holds it: where a value of a document is to be replaced.
const PLACE: &str = "\u{e000}";

/// One change: of a value or of bytes, which, where, and what with.
type Change = (Index, Index, Index, Index);

/// Hands the samples to libFuzzer, in the folder that it keeps its inputs in, and tries the target for as long as it says. It ends the process.
///
/// # Panics
/// With the input that the target panics at.
#[cfg(fuzzing)]
#[expect(clippy::expect_used, reason = "without the samples libFuzzer gets nowhere")]
pub fn attack<S: AsRef<str>>(samples: &[S], target: impl Fn(&[u8])) {
    let inputs =
        std::path::PathBuf::from(std::env::var_os("FUZZ_INPUTS").expect("`make fuzz` says where the inputs are"));
    for (nth, sample) in samples.iter().enumerate() {
        std::fs::write(inputs.join(format!("sample-{nth}")), sample.as_ref())
            .expect("the folder of the inputs can be written");
    }
    let target = std::panic::AssertUnwindSafe(target);
    bolero::check!().for_each(move |input: &[u8]| (*target)(input));
}

/// Tries the target with changed samples. It fails where the target panics.
///
/// # Panics
/// With the seed and the smallest input that was found.
#[cfg(not(fuzzing))]
pub fn attack<S: AsRef<str>>(samples: &[S], target: impl Fn(&[u8])) {
    let mut config = Config { failure_persistence: None, ..Config::default() };
    config.cases = config.cases.saturating_mul(OFTEN);
    if config.rng_seed == RngSeed::Random {
        config.rng_seed = RngSeed::Fixed(SEED);
    }
    let seed = config.rng_seed;
    let changes = vec(any::<Change>(), 1..=4);
    let tried = TestRunner::new(config).run(&(any::<Index>(), changes), |(sample, changes)| {
        target(&changed(sample.get(samples).as_ref(), &changes));
        Ok(())
    });
    match tried {
        Ok(()) => {}
        Err(TestError::Fail(reason, (sample, changes))) => {
            let input = changed(sample.get(samples).as_ref(), &changes);
            let shown = String::from_utf8_lossy(&input[..input.len().min(SHOWN)]).into_owned();
            panic!("PROPTEST_RNG_SEED={seed}: {reason}: {} bytes: {shown:?}", input.len());
        }
        Err(TestError::Abort(reason)) => panic!("PROPTEST_RNG_SEED={seed}: {reason}"),
    }
}

/// The values first: a document whose bytes were changed is none in most cases.
fn changed(sample: &str, changes: &[Change]) -> Vec<u8> {
    let document = serde_json::from_str::<Value>(sample).is_ok();
    let is_value = |change: &&Change| document && change.0.index(2) > 0;
    let text = changes.iter().filter(is_value).fold(sample.to_owned(), |text, change| value(&text, change));
    let bytes = changes.iter().filter(|change| !is_value(change));
    bytes.fold(text.into_bytes(), self::bytes)
}

/// Puts a hostile value in the place of one, or a second one behind its key.
fn value(text: &str, (_, kind, place, with): &Change) -> String {
    let Ok(mut document) = serde_json::from_str::<Value>(text) else { return text.to_owned() };
    let values = values();
    let mut at = place.index(count(&document));
    let replaced = replace(&mut document, &mut at).unwrap_or_default();
    let put = with.get(&values);
    let (text, place) = (document.to_string(), Value::from(PLACE).to_string());
    let key = text.split_once(&format!(":{place}")).and_then(|(before, _)| before.rsplit_once('"')?.0.rsplit_once('"'));
    match key {
        Some((_, key)) if kind.index(3) > 1 => text.replacen(&place, &format!("{replaced},\"{key}\":{put}"), 1),
        _ => text.replacen(&place, put, 1),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Takes the value out that is so many places further on.
fn replace(value: &mut Value, at: &mut usize) -> Option<Value> {
    if *at == 0 {
        return Some(std::mem::replace(value, PLACE.into()));
    }
    *at -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| replace(value, at)),
        Value::Object(fields) => fields.values_mut().find_map(|value| replace(value, at)),
        _ => None,
    }
}

/// JSON that is odd, or none: nested deep, numbers that no type holds, half of a surrogate pair, text that is long, unseen or turns the reading.
fn values() -> Vec<String> {
    let odd = [
        "null",
        "true",
        "0",
        "-1",
        "1.5",
        "-0.0",
        "1e400",
        "-1e-400",
        "9223372036854775807",
        "-9223372036854775808",
        "18446744073709551615",
        "18446744073709551616",
        "\"\"",
        "[]",
        "{}",
        "[null]",
        "{\"\":null}",
        "{\"a\":1,\"a\":2}",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u0000""#,
        "\"\u{202e}\u{200b}\u{feff}\"",
        "\"-9223372036854775809\"",
        "\"9.99E125\"",
        "\"+275760-09-13T00:00:00Z\"",
        "\"../../..\"",
        "\"a/b/c\"",
        "NaN",
    ];
    let long = [
        "[".repeat(10_000),
        format!("{}{}", "[".repeat(10_000), "]".repeat(10_000)),
        "{\"a\":".repeat(10_000),
        "9".repeat(10_000),
        format!("\"{}\"", "x".repeat(100_000)),
        format!("\"{}\"", "\u{200b}".repeat(30_000)),
        format!("\"{}\"", "[kid: #4d9d444d] ".repeat(5_000)),
        format!("\"{}\"", "eyJ".repeat(30_000)),
        format!("[{}0]", "0,".repeat(30_000)),
    ];
    odd.into_iter().map(ToOwned::to_owned).chain(long).collect()
}

/// Bytes that are no character, or one that nobody expects there.
const PIECES: [&[u8]; 14] = [
    b"\0",
    b"\xff",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
    b"\n",
    b"\r\n",
    b"\"",
    b"\\",
    b"=",
    b"-----",
    b"}",
    "\u{202e}".as_bytes(),
    "\u{200b}".as_bytes(),
];

fn bytes(mut bytes: Vec<u8>, (_, kind, place, with): &Change) -> Vec<u8> {
    let at = place.index(bytes.len() + 1);
    let rest = bytes.split_off(at);
    match kind.index(7) {
        // Cut off.
        0 => bytes,
        // Begins too late.
        1 => rest,
        // A part of it stands twice, or often.
        2 => [&bytes, &rest, &rest].map(|part: &Vec<u8>| part.as_slice()).concat(),
        3 => [bytes, rest[..rest.len().min(8)].repeat(5_000), rest].concat(),
        // A bit turned.
        4 => {
            let turned = rest.first().map(|byte| byte ^ (1 << with.index(8)));
            bytes.into_iter().chain(turned).chain(rest.into_iter().skip(1)).collect()
        }
        _ => [bytes, with.get(&PIECES).to_vec(), rest].concat(),
    }
}

#[cfg(all(test, not(fuzzing)))]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn what_was_changed_is_often_still_a_document_and_of_many_kinds() {
        let seen = RefCell::new((BTreeSet::new(), 0));
        attack(&[r#"{"id":1,"of":{"title":"a","all":[1,2]}}"#], |input| {
            let (inputs, documents) = &mut *seen.borrow_mut();
            *documents += usize::from(serde_json::from_slice::<Value>(input).is_ok());
            inputs.insert(input.to_vec());
        });
        let (inputs, documents) = seen.into_inner();
        assert!(inputs.len() > 250 && documents > 50, "{} inputs, {documents} of them documents", inputs.len());
        let has = |wanted: &[u8]| inputs.iter().any(|input| input.windows(wanted.len()).any(|part| part == wanted));
        for wanted in [&b"[[[[[[[["[..], b"99999999999999999999", b"\xff", b"\\ud800"] {
            assert!(has(wanted), "{}", String::from_utf8_lossy(wanted));
        }
    }

    #[test]
    fn a_target_that_falls_over_is_reported_with_the_seed_and_the_input() {
        let target = |input: &[u8]| assert!(!input.contains(&0xff), "no UTF-8");
        let report = catch_unwind(AssertUnwindSafe(|| attack(&["plain"], target))).unwrap_err();
        let report = report.downcast_ref::<String>().unwrap();
        assert!(report.contains("PROPTEST_RNG_SEED=15") && report.contains("no UTF-8"), "{report}");
    }
}
