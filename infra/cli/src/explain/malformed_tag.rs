//! What in a title was meant as a kid tag and is none.

use domain::kid_tag::{MAX_DIGITS, MIN_DIGITS, Tags};

/// How much of a title is shown.
const SHOWN: usize = 60;

/// Fewer hex digits than this begin many a word.
const LIKE_DIGITS: usize = 4;

#[derive(Debug)]
pub(super) struct MalformedTag {
    /// As it stands in the title.
    pub(super) text: String,
    /// Why it is none.
    pub(super) reason: String,
    /// What was probably meant.
    pub(super) meant: Option<String>,
}

/// The first `kid` of a title that looks like a tag's and does not begin one.
pub(super) fn find(title: &str) -> Option<MalformedTag> {
    let lower = title.to_ascii_lowercase();
    lower.match_indices("kid").find_map(|(at, word)| at_word(&title[..at], &title[at + word.len()..], title))
}

fn at_word(before: &str, after: &str, title: &str) -> Option<MalformedTag> {
    let bracket = before.trim_end().chars().next_back().filter(|c| "[({<".contains(*c));
    let rest = after.trim_start_matches(['s', 'S']);
    let plural = rest.len() < after.len();
    let (colon, digits_on) = without(rest.trim_start(), ':');
    let (hash, digits_on) = without(digits_on, '#');
    let (digits, end) = digits(digits_on);
    let within_a_word = before.ends_with(char::is_alphanumeric) || rest.starts_with(char::is_alphabetic);
    let begins_like_one = bracket.is_some() || colon || hash;
    let goes_on_like_one = digits.len() >= LIKE_DIGITS || (colon && hash);
    if within_a_word || !begins_like_one || !goes_on_like_one {
        return None;
    }
    let start = bracket.map_or(before.len(), |_| before.trim_end().len() - 1);
    let text = &title[start..];
    let text = &text[..text.find([']', ')', '}', '>']).map_or(text.len(), |at| at + 1)];
    if !Tags::of(text).named.is_empty() {
        return None;
    }
    let count = digits.len();
    let other = end.chars().next().filter(|next| next.is_alphanumeric());
    let reason = if bracket != Some('[') {
        "it does not stand in square brackets".to_owned()
    } else if plural {
        "the word is kid".to_owned()
    } else if !colon {
        "the colon after kid is missing".to_owned()
    } else if !hash {
        "the # before the digits is missing".to_owned()
    } else if let Some(other) = other {
        format!("{other} is not a hex digit")
    } else if !(MIN_DIGITS..=MAX_DIGITS).contains(&count) {
        format!("it has {count} hex digits and takes {MIN_DIGITS} to {MAX_DIGITS}")
    } else if !end.trim_start().starts_with(']') {
        "no ] follows its digits".to_owned()
    } else {
        "its hyphens do not stand where a UUID has them".to_owned()
    };
    let whole = other.is_none() && (MIN_DIGITS..=MAX_DIGITS).contains(&count);
    let shown = text.trim_end().chars().take(SHOWN).collect();
    Some(MalformedTag { text: shown, reason, meant: whole.then(|| format!("[kid: #{digits}]")) })
}

fn without(text: &str, sign: char) -> (bool, &str) {
    text.strip_prefix(sign).map_or((false, text), |rest| (true, rest.trim_start()))
}

/// The hex digits that a text begins with, in lower case and without hyphens, and what follows them.
fn digits(text: &str) -> (String, &str) {
    let end = text.find(|c: char| !c.is_ascii_hexdigit() && c != '-').unwrap_or(text.len());
    let digits = text[..end].chars().filter(|c| *c != '-').map(|c| c.to_ascii_lowercase());
    (digits.collect(), &text[end..])
}
