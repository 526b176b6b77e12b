//! Kid tags: how the title of a pull request names its tasks, `[kid: #4d9d444d]`.

use std::collections::BTreeSet;
use std::fmt;

use crate::ids::TaskId;
use crate::pasted::is_invisible;

/// The fewest hex digits a tag has: they are also the partition key of the tasks table.
pub const MIN_DIGITS: usize = 8;

/// The hex digits of a whole task id.
pub const MAX_DIGITS: usize = 32;

/// How many tags of a title count: every one costs a table call, and a title can hold thousands.
pub const MAX_TAGS: usize = 8;

/// After how many digits a UUID's text has its hyphens.
const HYPHENS_AFTER: [usize; 4] = [8, 12, 16, 20];

/// The words that GitHub's buttons put before the quoted title of what is reverted.
/// <https://docs.github.com/en/pull-requests/collaborating-with-pull-requests/incorporating-changes-from-a-pull-request/reverting-a-pull-request>
const REVERTS: [&str; 2] = ["revert", "reapply"];

/// The first 8 to 32 hex digits of a task's id, in lower case and without hyphens.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KidTag(String);

/// What the title of a pull request says of tasks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tags {
    /// The tags that name tasks: the first [`MAX_TAGS`], in the order of their first appearance, each once.
    pub named: Vec<KidTag>,
    /// Those beyond them, which do not count.
    pub not_read: Vec<KidTag>,
    /// Tags in the quotes of a revert's title: they tell what was reverted, and link nothing.
    pub mentioned: Vec<KidTag>,
    /// Whether something begins like a tag and is none: cut off in the middle, too short, or mistyped.
    pub unfinished: bool,
}

impl Tags {
    /// Reads a title.
    ///
    /// A tag is `[kid: #<hex>]` with 8 to 32 hex digits. The case of the letters does not matter, a UUID's hyphens may
    /// stand where a UUID has them, and white space may stand inside the brackets and around the colon. Characters that nobody sees count as
    /// absent: pasted titles are full of them. Anything else is text.
    ///
    /// ```
    /// use domain::kid_tag::{KidTag, Tags};
    /// let tags = Tags::of("Fix login [kid: #4D9D444D] [KID:#0198c5c2-7f]");
    /// assert_eq!(tags.named.iter().map(KidTag::as_str).collect::<Vec<_>>(), ["4d9d444d", "0198c5c27f"]);
    /// assert!(Tags::of(r#"Revert "Fix login [kid: #4d9d444d]""#).named.is_empty());
    /// ```
    pub fn of(title: &str) -> Self {
        let visible: String = title.chars().filter(|c| !is_invisible(*c)).collect();
        let (spoken, quoted) = split_quotes(&visible);
        let (mut named, unfinished) = all_in(&spoken);
        let not_read = named.split_off(named.len().min(MAX_TAGS));
        let (mentioned, _) = all_in(quoted);
        Self { named, not_read, mentioned, unfinished }
    }

    /// Whether one of those that count is this task's.
    pub fn name(&self, task: &TaskId) -> bool {
        self.named.iter().any(|tag| tag.names(task))
    }
}

impl KidTag {
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

    fn digits(text: &str) -> Option<(Self, &str)> {
        let mut digits = String::with_capacity(MAX_DIGITS);
        let mut hyphen_at = 0;
        let mut end = 0;
        for c in text.chars() {
            match c {
                c if is_hyphen(c) && HYPHENS_AFTER.contains(&digits.len()) && hyphen_at != digits.len() => {
                    hyphen_at = digits.len();
                }
                c if c.is_ascii_hexdigit() && digits.len() < MAX_DIGITS => digits.push(c.to_ascii_lowercase()),
                // A 33rd digit: what follows is a longer number, and half of a number names nothing.
                c if c.is_ascii_hexdigit() => return None,
                _ => break,
            }
            end += c.len_utf8();
        }
        (digits.len() >= MIN_DIGITS).then(|| (Self(digits), &text[end..]))
    }
}

impl fmt::Display for KidTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Every tag, each once, and whether one was begun that is none.
fn all_in(text: &str) -> (Vec<KidTag>, bool) {
    let mut seen = BTreeSet::new();
    let mut tags = Vec::new();
    let mut unfinished = false;
    for text in text.split('[').skip(1) {
        match after_bracket(text) {
            Some(Some(tag)) if seen.insert(tag.clone()) => tags.push(tag),
            Some(Some(_)) | None => {}
            Some(None) => unfinished = true,
        }
    }
    (tags, unfinished)
}

/// `text` is what follows an opening bracket, up to the next one. `None`: this begins no tag; `Some(None)`: it begins one and is none.
fn after_bracket(text: &str) -> Option<Option<KidTag>> {
    let (word, rest) = text.trim_start().split_at_checked(3)?;
    if !word.eq_ignore_ascii_case("kid") || rest.starts_with(char::is_alphanumeric) {
        return None;
    }
    let tag = || {
        let text = rest.trim_start().strip_prefix(':')?.trim_start().strip_prefix('#')?.trim_start();
        let (tag, rest) = KidTag::digits(text)?;
        rest.trim_start().starts_with(']').then_some(tag)
    };
    Some(tag())
}

/// Parts a title into what it says and what it quotes of a title that it reverts: from the first quote to the last. To the end, where not every
/// quote that opens is closed: the title was cut, and what follows the last quote is still quoted.
fn split_quotes(title: &str) -> (String, &str) {
    let quotes = quotes(title);
    let Some(first) = quotes.iter().position(|quote| quote.opens && reverts(&title[..quote.start])) else {
        return (title.to_owned(), "");
    };
    let quotes = &quotes[first..];
    let opened = quotes.iter().filter(|quote| quote.opens).count();
    let (start, last) = (quotes[0].start, quotes[quotes.len() - 1].end);
    let end = if opened > quotes.len() - opened { title.len() } else { last };
    (format!("{} {}", &title[..start], &title[end..]), &title[start..end])
}

struct Quote {
    start: usize,
    end: usize,
    opens: bool,
}

/// The quotes of a title. One opens at the beginning, behind a space, a bracket or another that opens; else it closes: in `a "Revert" button` the
/// second one does not open what is reverted.
fn quotes(title: &str) -> Vec<Quote> {
    let mut quotes: Vec<Quote> = Vec::new();
    let mut before = ' ';
    for (start, c) in title.char_indices() {
        if is_quote(c) {
            let behind_one = quotes.last().is_some_and(|last| last.end == start && last.opens);
            let opens =
                c != '\u{201d}' && (c == '\u{201c}' || behind_one || before.is_whitespace() || "([".contains(before));
            quotes.push(Quote { start, end: start + c.len_utf8(), opens });
        }
        before = c;
    }
    quotes
}

/// Whether text ends with the word that makes what is quoted after it a reverted title.
fn reverts(before: &str) -> bool {
    let before = before.trim_end();
    REVERTS.iter().any(|word| {
        let last = before.len().checked_sub(word.len()).and_then(|cut| before.split_at_checked(cut));
        last.is_some_and(|(rest, last)| last.eq_ignore_ascii_case(word) && !rest.ends_with(char::is_alphanumeric))
    })
}

fn is_quote(c: char) -> bool {
    matches!(c, '"' | '\u{201c}' | '\u{201d}')
}

/// A hyphen, or one of the characters that word processors put in its place.
fn is_hyphen(c: char) -> bool {
    matches!(c, '-' | '\u{2010}'..='\u{2013}' | '\u{2212}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{KidTag, MAX_TAGS, Tags};

    fn named(title: &str) -> Vec<String> {
        Tags::of(title).named.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_tag_is_read_as_it_looks() {
        for title in [
            "Fix login [kid: #4d9d444d]",
            "[KID:#4D9D444D] Fix login",
            "Fix[ kid : # 4d9d444d ]login",
            "Fix login [kid:\u{200B}#4d9d444d]",
            "Fix login [kid: #4d9d\u{00AD}444d]",
            "Fix login [\u{FEFF}k\u{2060}id: #4d9d444d\u{200E}]",
            "Fix login [kid:\u{00A0}#4d9d444d]",
            "Fix login [kid: #4d9d444d] and [kid: #4d9d444d] again",
            "[[kid: #4d9d444d]]",
        ] {
            assert_eq!(named(title), ["4d9d444d"], "{title:?}");
        }
        assert_eq!(named("[kid: #4d9d444d-0198-c5c2-7f00-aabbccddeeff]"), ["4d9d444d0198c5c27f00aabbccddeeff"]);
        assert_eq!(named("[kid: #4d9d444d\u{2011}0198]"), ["4d9d444d0198"], "a hyphen that breaks no line");
    }

    #[test]
    fn what_is_no_tag_names_nothing() {
        for title in [
            "Fix login",
            "[kid: #4d9d444]",
            "[kid: 4d9d444d]",
            "[kid #4d9d444d]",
            "[kids: #4d9d444d]",
            "kid: #4d9d444d",
            "[kid: #4d9d444g]",
            "[kid: #4d9d-444d]",
            "[kid: #4d9d444d--0198]",
            "[kid: #4d9d444d0198c5c27f00aabbccddeeff0]",
        ] {
            assert!(named(title).is_empty(), "{title:?}");
        }
    }

    #[test]
    fn a_tag_that_was_begun_and_not_ended_is_noticed() {
        for title in
            ["Fix [kid: #4d9d4…", "Fix [kid: #4d9d444d", "Fix [kid", "Fix [kid: #4d9d444 ]", "Fix [KID #4d9d444d]"]
        {
            let tags = Tags::of(title);
            assert!(tags.unfinished && tags.named.is_empty(), "{title:?}");
        }
        for title in ["Fix login", "Fix [kids] login", "Fix [kidney]", "Fix [kid: #4d9d444d]", "a [k"] {
            assert!(!Tags::of(title).unfinished, "{title:?}");
        }
    }

    #[test]
    fn what_a_revert_quotes_is_a_mention() {
        for title in [
            r#"Revert "Fix login [kid: #4d9d444d]""#,
            r#"Reapply "Fix login [kid: #4d9d444d]""#,
            r#"Revert "Revert "Fix login [kid: #4d9d444d]"""#,
            r#"Revert "Fix "quoted" login [kid: #4d9d444d]""#,
            r#"Revert "Fix login [kid: #4d9d444d]"#,
            r#"[release-1.2] Revert "Fix login [kid: #4d9d444d]" (#12)"#,
            "revert \u{201c}Fix login [kid: #4d9d444d]\u{201d}",
            "Revert\u{00A0}\"Fix login [kid: #4d9d444d]\"",
            r#"Revert "Revert "Fix login [kid: #4d9d444d] for everyone who…"#,
            r#"Reapply "Revert "Fix login [kid: #4d9d444d] for…"#,
            r#"Revert "Fix the "Sign in" button [kid: #4d9d444d] for…"#,
            "Revert \"Fix the \u{201c}Sign in\u{201d} button [kid: #4d9d444d] for…",
            r#"Revert ""Sign in" is slow [kid: #4d9d444d] for…"#,
            r#"Revert ""Sign in" is slow [kid: #4d9d444d]""#,
        ] {
            let tags = Tags::of(title);
            assert!(tags.named.is_empty(), "{title:?}");
            assert_eq!(tags.mentioned.iter().map(KidTag::as_str).collect::<Vec<_>>(), ["4d9d444d"], "{title:?}");
        }
        assert_eq!(
            named(r#"Revert "Fix login [kid: #4d9d444d]" [kid: #bbbbbbbb]"#),
            ["bbbbbbbb"],
            "it names its own task"
        );
        assert_eq!(named(r#"[kid: #bbbbbbbb] Revert "Fix [kid: #4d9d444d]""#), ["bbbbbbbb"]);
        assert_eq!(named(r#"Fix "login" [kid: #4d9d444d]"#), ["4d9d444d"], "quotes alone are no revert");
        for title in [
            r#"Add a "Revert" button [kid: #4d9d444d]"#,
            r#"Rename "Undo" to "Revert" [kid: #4d9d444d]"#,
            r#"Make "reapply" idempotent [kid: #4d9d444d]"#,
            r#"Hide ("Revert") [kid: #4d9d444d]"#,
            "Add a \u{201c}Revert\u{201d} button [kid: #4d9d444d]",
        ] {
            assert_eq!(named(title), ["4d9d444d"], "the word is quoted, and no title: {title:?}");
        }
        assert_eq!(named(r#"Undo prevert "x [kid: #4d9d444d]""#), ["4d9d444d"], "another word that ends alike");
    }

    #[test]
    fn only_the_first_tags_count() {
        let title: String = (0..20).map(|at| format!("[kid: #{at:08x}]")).collect();
        let tags = Tags::of(&title);
        assert_eq!((tags.named.len(), tags.not_read.len()), (MAX_TAGS, 20 - MAX_TAGS));
    }

    proptest! {
        #[test]
        fn a_tag_is_found_wherever_it_stands(before in "[^\\[\"”“]{0,40}", digits in "[0-9a-fA-F]{8,32}", after in "[^\\[\"”“]{0,40}") {
            let title = format!("{before}[kid: #{digits}]{after}");
            prop_assert_eq!(named(&title), [digits.to_ascii_lowercase()]);
        }

        #[test]
        fn any_title_can_be_read(title in any::<String>()) {
            let tags = Tags::of(&title);
            prop_assert!(tags.named.len() <= MAX_TAGS);
            for tag in tags.named.iter().chain(&tags.mentioned) {
                prop_assert_eq!(KidTag::parse(tag.as_str()), Some(tag.clone()));
            }
        }
    }

    #[test]
    fn a_hostile_title_is_read() {
        let titles = [
            "Fix login [kid: #4d9d444d] [KID:#0198c5c2-7f00]",
            "Revert \"Fix “quoted” login [kid: #4d9d444d]\" [kid: #bbbbbbbb]",
            "[kid\u{200b}: #4d9d444d-0198-c5c2-7f00-aabbccddeeff]",
        ];
        hostile::attack(&titles, |input| {
            let title = String::from_utf8_lossy(input);
            let tags = Tags::of(&title);
            assert!(tags.named.len() <= MAX_TAGS);
            KidTag::parse(&title);
        });
    }
}
