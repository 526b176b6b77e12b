//! Kid tags: how the title of a pull request names its tasks, `[kid: #4d9d444d]`.

use std::collections::BTreeSet;
use std::fmt;

use crate::task::TaskId;

/// The fewest hex digits a tag has: they are also the partition key of the tasks table.
pub const MIN_DIGITS: usize = 8;

/// The hex digits of a whole task id.
pub const MAX_DIGITS: usize = 32;

/// After how many digits a UUID's text has its hyphens.
const HYPHENS_AFTER: [usize; 4] = [8, 12, 16, 20];

/// The first 8 to 32 hex digits of a task's id, in lower case and without hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KidTag(String);

impl KidTag {
    /// Every tag of a title, in the order of their first appearance, each once.
    ///
    /// A tag is `[kid: #<hex>]` with 8 to 32 hex digits. The case of the letters does not matter, a UUID's hyphens may
    /// stand where a UUID has them, and white space may stand inside the brackets and around the colon. Anything else
    /// is text.
    ///
    /// ```
    /// use domain::kid_tag::KidTag;
    /// let tags = KidTag::all_in("Fix login [kid: #4D9D444D] [KID:#0198c5c2-7f]");
    /// assert_eq!(tags.iter().map(KidTag::as_str).collect::<Vec<_>>(), ["4d9d444d", "0198c5c27f"]);
    /// ```
    pub fn all_in(title: &str) -> Vec<Self> {
        let mut seen = BTreeSet::new();
        title.split('[').skip(1).filter_map(Self::after_bracket).filter(|tag| seen.insert(tag.clone())).collect()
    }

    /// A tag typed by a person: the bare digits, with or without `#` and hyphens. `None` if it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (tag, rest) = Self::digits(text.strip_prefix('#').unwrap_or(text))?;
        rest.is_empty().then_some(tag)
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The partition of the tasks table that the tag's tasks are in.
    pub fn prefix(&self) -> &str {
        &self.0[..MIN_DIGITS]
    }

    /// Whether the tag names this task.
    pub fn names(&self, task: &TaskId) -> bool {
        task.as_str().starts_with(&self.0)
    }

    /// `text` is what follows an opening bracket, up to the next one.
    fn after_bracket(text: &str) -> Option<Self> {
        let text = text.trim_start();
        let (word, text) = text.split_at_checked(3)?;
        if !word.eq_ignore_ascii_case("kid") {
            return None;
        }
        let text = text.trim_start().strip_prefix(':')?.trim_start().strip_prefix('#')?.trim_start();
        let (tag, rest) = Self::digits(text)?;
        rest.trim_start().starts_with(']').then_some(tag)
    }

    fn digits(text: &str) -> Option<(Self, &str)> {
        let mut digits = String::with_capacity(MAX_DIGITS);
        let mut hyphen_at = 0;
        let mut end = 0;
        for byte in text.bytes() {
            match byte {
                b'-' if HYPHENS_AFTER.contains(&digits.len()) && hyphen_at != digits.len() => hyphen_at = digits.len(),
                _ if byte.is_ascii_hexdigit() && digits.len() < MAX_DIGITS => {
                    digits.push(char::from(byte.to_ascii_lowercase()));
                }
                // A 33rd digit: what follows is a longer number, and half of a number names nothing.
                _ if byte.is_ascii_hexdigit() => return None,
                _ => break,
            }
            end += 1;
        }
        (digits.len() >= MIN_DIGITS).then(|| (Self(digits), &text[end..]))
    }
}

impl fmt::Display for KidTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
