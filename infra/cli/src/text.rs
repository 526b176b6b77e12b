//! Text as it may be shown: other people's words made harmless, times, and how wide text is.

use adapters::github::redact;
use jiff::Timestamp;
use unicode_width::UnicodeWidthStr;

/// Text is not wrapped into less than this.
const NARROWEST: usize = 16;

/// How far the rest of a line stands to the right of its beginning.
const SET_IN: usize = 2;

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
pub(crate) fn redacted_line(text: &str) -> String {
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

/// Who writes marks that take no column without end wants to stop whoever measures them: of so many characters a column the rest is not looked at.
const MOST_CHARACTERS_A_COLUMN: usize = 16;

/// As much of the beginning as fits into so many columns; that may be nothing.
pub(crate) fn beginning(text: &str, columns: usize) -> &str {
    // Measured as a whole: a digit and the mark that makes it an emoji take two columns together, and one and none alone.
    let prefixes = text.char_indices().map(|(at, character)| &text[..at + character.len_utf8()]);
    let prefixes = prefixes.take(MOST_CHARACTERS_A_COLUMN * columns);
    prefixes.take_while(|prefix| width(prefix) <= columns).last().unwrap_or_default()
}

/// Cuts a text in two where the first part fills no more than so many columns. The first holds one character at least,
/// however wide that is: whoever goes on with the rest comes to an end.
pub(crate) fn split_at_width(text: &str, columns: usize) -> (&str, &str) {
    let first = text.chars().next().map_or(0, char::len_utf8);
    text.split_at(beginning(text, columns).len().max(first))
}

/// Lines of so many columns, broken at spaces, and inside a word only where it is longer than a line.
pub(crate) fn wrapped(text: &str, columns: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let (first, mut rest) = split_at_width(word, columns);
        match lines.last_mut() {
            Some(line) if width(line) + 1 + width(first) <= columns => {
                line.push(' ');
                line.push_str(first);
            }
            _ => lines.push(first.to_owned()),
        }
        while !rest.is_empty() {
            let (part, after) = split_at_width(rest, columns);
            lines.push(part.to_owned());
            rest = after;
        }
    }
    lines
}

/// A line as it is where it fits, and else broken at spaces, with what follows set in. A word stays whole, however long it is: an
/// address or a path that is broken cannot be clicked or copied.
pub(crate) fn fitting(line: &str, columns: Option<usize>) -> String {
    let Some(columns) = columns.filter(|columns| width(line) > *columns) else { return format!("{line}\n") };
    let indent = line.len() - line.trim_start().len();
    let (mut text, mut used) = (" ".repeat(indent), indent);
    for word in line.split_whitespace() {
        let behind = usize::from(used > indent);
        if behind > 0 && used + behind + width(word) > columns {
            text.push_str(&format!("\n{}{word}", " ".repeat(indent + SET_IN)));
            used = indent + SET_IN + width(word);
        } else {
            text.push_str(&format!("{}{word}", " ".repeat(behind)));
            used += behind + width(word);
        }
    }
    text + "\n"
}

/// Text behind its beginning, and whatever does not fit into the columns below it. Without columns, as into a pipe, it stays one line.
pub(crate) fn hanging(beginning: &str, text: &str, columns: Option<usize>) -> String {
    let indent = width(beginning);
    // Where there is hardly room beside the beginning, wrapping helps nobody.
    let Some(room) = columns.and_then(|columns| columns.checked_sub(indent)).filter(|room| *room >= NARROWEST) else {
        return format!("{beginning}{text}\n");
    };
    let lines = wrapped(text, room);
    format!("{beginning}{}\n", lines.join(&format!("\n{}", " ".repeat(indent))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_stands_below_its_beginning() {
        let text = "it conflicts with its base since 12 was merged";
        assert_eq!(hanging("why   ", text, None), format!("why   {text}\n"));
        let narrow = "why   it conflicts with its\n      base since 12 was merged\n";
        assert_eq!(hanging("why   ", text, Some(30)), narrow);
        assert_eq!(hanging("why   ", text, Some(10)), format!("why   {text}\n"));
    }

    #[test]
    fn a_line_that_is_too_wide_goes_on_below_and_an_address_stays_whole() {
        assert_eq!(fitting("short  as it was", Some(20)), "short  as it was\n");
        assert_eq!(fitting("long as a pipe takes it", None), "long as a pipe takes it\n");
        assert_eq!(
            fitting("  see it here: http://127.0.0.1:9000/abc and go on", Some(20)),
            "  see it here:\n    http://127.0.0.1:9000/abc\n    and go on\n"
        );
    }

    #[test]
    fn text_that_takes_no_columns_is_cut_all_the_same() {
        let unseen = "\u{200b}".repeat(100_000);
        assert_eq!(beginning(&unseen, 10).chars().count(), 10 * MOST_CHARACTERS_A_COLUMN);
        assert_eq!(wrapped(&unseen, 80).concat(), unseen, "nothing is lost");
    }

    #[test]
    fn hostile_text_is_shown_within_its_columns_and_on_one_line() {
        let texts =
            ["Fix login [kid: #4d9d444d] 1\u{fe0f}\u{20e3} \u{4e2d}\u{6587}", "a\u{1b}[2Jb\u{9b}31mc\u{202e}d\r\n"];
        hostile::attack(&texts, |input| {
            let text = String::from_utf8_lossy(input);
            let line = redacted_line(&text);
            assert!(!line.contains(|c: char| c.is_control() || is_directional(c)), "{line:?}");
            assert!(width(beginning(&line, 20)) <= 20);
            assert!(hanging("why   ", &line, Some(60)).lines().all(|line| width(line) <= 60), "{line:?}");
        });
    }
}
