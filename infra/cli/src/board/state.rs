//! How the deliveries of a day and the checks look in a browser. What the colours say, the table and the words say as well.

use domain::contract::webhook::Word;

use super::deliveries::{Day, HOURS};
use crate::failure::Failure;
use crate::local_page::escape;
use crate::verify::{Check, counted};

/// The plot's own units: an hour is so wide, and the fullest hour so high.
const HOUR: usize = 10;
const HEIGHT: u32 = 60;

pub(super) fn page(day: &Result<Day, Failure>, checks: &[Check], path: &str) -> String {
    let deliveries = match day {
        Ok(day) => deliveries(day),
        Err(failure) => format!("<p>They cannot be shown: {}</p>\n", escape(&failure.to_string())),
    };
    format!(
        "<p><a href=\"/{path}\">Back to the board</a></p>\n<main class=\"page\">\n\
         <h2>Deliveries of the last 24 hours</h2>\n{deliveries}\
         <h2>Checks, as of this page</h2>\n<p>{}</p>\n<ul class=\"checks\">\n{}</ul>\n</main>",
        counted(checks),
        checks.iter().map(check).collect::<String>()
    )
}

fn deliveries(day: &Day) -> String {
    let rows: Vec<(&String, &[u32; HOURS])> = day.by_outcome.iter().collect();
    if rows.is_empty() {
        return "<p>None reached the webhook.</p>\n".to_owned();
    }
    let row = |(outcome, hours): &(&String, &[u32; HOURS])| {
        let (name, count) = (escape(outcome), hours.iter().sum::<u32>());
        format!("<tr><td class=\"{}\">{name}</td><td>{count}</td></tr>\n", class(outcome))
    };
    let cut = if day.cut { "<p>There are more: the log is longer than what is read of it here.</p>\n" } else { "" };
    format!(
        "{}{cut}<table>\n<tr><th scope=\"col\">outcome</th><th scope=\"col\">deliveries</th></tr>\n{}</table>\n",
        plot(&rows),
        rows.iter().map(row).collect::<String>()
    )
}

/// A bar for each hour, its outcomes one above the other.
fn plot(rows: &[(&String, &[u32; HOURS])]) -> String {
    let total = |hour: usize| rows.iter().map(|(_, hours)| hours[hour]).sum::<u32>();
    let most = (0..HOURS).map(total).max().unwrap_or_default().max(1);
    let mut bars = String::new();
    for hour in 0..HOURS {
        let mut below = 0;
        for (outcome, hours) in rows {
            // Of the difference of two heights nothing is lost by rounding, so bars of one hour never overlap.
            let (from, to) = (HEIGHT * below / most, HEIGHT * (below + hours[hour]) / most);
            below += hours[hour];
            // One delivery among thousands is still to be seen.
            let height = if hours[hour] > 0 { (to - from).max(1) } else { continue };
            bars.push_str(&format!(
                "<rect class=\"{}\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{height}\"/>\n",
                class(outcome),
                hour * HOUR,
                (HEIGHT - from).saturating_sub(height),
                HOUR - 2,
            ));
        }
    }
    format!(
        "<figure><svg viewBox=\"0 0 {} {HEIGHT}\" role=\"img\" aria-label=\"Deliveries in each hour, {most} at most; the table \
         has the numbers\">\n{bars}</svg>\n<figcaption class=\"faint\">a bar for each hour, the latest at the right; the \
         highest is {most}</figcaption></figure>\n",
        HOUR * HOURS - 2
    )
}

/// What an outcome means to who looks: something was done, nothing had to be, somebody was turned away, it went wrong.
fn class(outcome: &str) -> &'static str {
    let is = |words: &[Word]| words.iter().any(|word| word.as_str() == outcome);
    if is(&[Word::Moved, Word::Linked, Word::Unlinked, Word::Updated]) {
        "did"
    } else if is(&[Word::Unchanged, Word::Ignored, Word::Pong]) {
        "idle"
    } else if is(&[Word::Refused]) {
        "refused"
    } else {
        "broke"
    }
}

fn check(check: &Check) -> String {
    let (mark, word) = check.verdict.mark();
    let seen = match check.needs {
        Some(needs) => format!("because {needs} did not pass"),
        None => check.seen.clone().unwrap_or_default(),
    };
    let next = check.next.as_ref().map(|next| format!("<br>→ {}", escape(next))).unwrap_or_default();
    let bad = if next.is_empty() { "" } else { " class=\"bad\"" };
    format!("<li><strong{bad}>{mark} {} {word}</strong>: {}{next}</li>\n", check.name, escape(&seen))
}

#[cfg(test)]
mod tests {
    use super::{Day, deliveries, page};
    use crate::failure::Failure;

    const HOSTILE: &str = "</table><script>alert(1)</script>";

    fn day(counts: &[(&str, usize, u32)]) -> Day {
        let mut day = Day::default();
        for (outcome, hour, count) in counts {
            day.by_outcome.entry((*outcome).to_owned()).or_default()[*hour] = *count;
        }
        day
    }

    #[test]
    fn every_outcome_is_a_row_and_a_bar_however_rare() {
        let html = deliveries(&day(&[("moved", 23, 3), ("ignored", 23, 9_000), ("failed", 2, 1)]));
        for words in
            ["<td class=\"did\">moved</td><td>3<", "<td class=\"idle\">ignored</td><td>9000<", "the highest is 9003"]
        {
            assert!(html.contains(words), "{words}\n{html}");
        }
        assert_eq!(html.matches("<rect ").count(), 3, "{html}");
        assert!(!html.contains("height=\"0\""), "{html}");
        assert!(deliveries(&Day::default()).contains("None reached the webhook"));
    }

    #[test]
    fn what_logs_and_clouds_say_stays_text() {
        assert!(!deliveries(&day(&[(HOSTILE, 0, 1)])).contains("<script"));
        assert!(!page(&Err(Failure::new(HOSTILE)), &[], "secret").contains("<script"));
    }
}
