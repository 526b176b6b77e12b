//! Text as it may be shown: other people's words made harmless, times, and how wide text is.

use adapters::github::redact;
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

/// Other people's text on one line: without what would move the cursor, recolour the terminal or reverse the reading.
pub(crate) fn printable(text: &str) -> String {
    let harmless = |c: char| if c.is_control() || is_directional(c) { ' ' } else { c };
    text.chars().map(harmless).collect()
}

/// The marks of the Unicode bidirectional algorithm (<https://www.unicode.org/reports/tr9/>).
pub(crate) fn is_directional(c: char) -> bool {
    matches!(c, '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Whoever's words, on one line and without a token.
pub(crate) fn one_line(text: &str) -> String {
    let line = printable(text);
    let words: Vec<&str> = line.split_whitespace().collect();
    redact(&words.join(" "))
}

/// A time in UTC, and how far off it is.
pub(crate) fn when(at: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    let (count, unit) = match seconds.unsigned_abs() {
        seconds @ 0..120 => (seconds, "s"),
        seconds @ 120..7200 => (seconds / 60, "min"),
        seconds @ 7200..172_800 => (seconds / 3600, "h"),
        seconds => (seconds / 86_400, "days"),
    };
    let off = if seconds < 0 { format!("in {count} {unit}") } else { format!("{count} {unit} ago") };
    format!("{} ({off})", at.strftime("%Y-%m-%d %H:%M:%S UTC"))
}

/// How many columns of a terminal the text takes: an ideograph two, a combining mark none.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

/// As much of the beginning as fits into so many columns; that may be nothing.
pub(crate) fn beginning(text: &str, columns: usize) -> &str {
    // Measured as a whole: a digit and the mark that makes it an emoji take two columns together, and one and none alone.
    let prefixes = text.char_indices().map(|(at, character)| &text[..at + character.len_utf8()]);
    prefixes.take_while(|prefix| width(prefix) <= columns).last().unwrap_or_default()
}

/// Cuts a text in two where the first part fills no more than so many columns. The first holds one character at least,
/// however wide that is: whoever goes on with the rest comes to an end.
pub(crate) fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.split_at(beginning(text, columns).len().max(first))
}
