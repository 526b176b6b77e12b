//! How tasks look: a board on a terminal, tab-separated lines in a pipe.

use domain::ids::PullRequestKey;
use domain::task::{COLUMNS, LinkedPullRequest, Status};
use jiff::Timestamp;

use super::List;
use super::table::Card;
use crate::history;
use crate::output::{Style, Terminal};
use crate::text::{beginning, fitting, hanging, printable, when, width, wrapped};

/// A column narrower than this wraps every other word: then fewer columns stand side by side.
const NARROWEST: usize = 20;
const GAP: usize = 2;
const MOST_TITLE_LINES: usize = 3;

/// How many tasks of a column a board shows: it is to be looked at.
const MOST: usize = 20;

/// How many of those that are done, the latest: it is about what is to be done.
const MOST_DONE: usize = 10;

/// The names of a task's facts and the space behind the longest of them.
const FACT: usize = "pull request".len() + 2;

type Line = (String, Style);

/// Columns side by side, as many as the terminal has room for.
pub(super) fn board(cards: &[Card], asked: &List, terminal: Terminal) -> String {
    let statuses = statuses(cards, asked);
    let side_by_side = ((terminal.columns + GAP) / (NARROWEST + GAP)).clamp(1, statuses.len().max(1));
    let width = ((terminal.columns + GAP) / side_by_side).saturating_sub(GAP).max(1);
    let mut text = String::new();
    for row in statuses.chunks(side_by_side) {
        let columns: Vec<Vec<Line>> =
            row.iter().map(|status| column(cards, status, most(status, asked), width)).collect();
        text.push_str(&beside(&columns, width, terminal));
        text.push('\n');
    }
    text
}

/// The columns that are shown; those of a name that this version does not know come last.
fn statuses(cards: &[Card], asked: &List) -> Vec<Status> {
    if let Some(status) = &asked.status {
        return vec![status.clone()];
    }
    let mut statuses: Vec<_> = COLUMNS.into_iter().filter(|status| asked.all || *status != Status::Trash).collect();
    for card in cards {
        if !statuses.contains(&card.task.status) {
            statuses.push(card.task.status.clone());
        }
    }
    statuses
}

fn most(status: &Status, asked: &List) -> usize {
    let usual = if *status == Status::Done { MOST_DONE } else { MOST };
    match asked.limit {
        _ if asked.all => usize::MAX,
        Some(limit) => usize::try_from(limit).unwrap_or(usize::MAX),
        None => usual,
    }
}

fn column(cards: &[Card], status: &Status, most: usize, width: usize) -> Vec<Line> {
    let mut cards: Vec<&Card> = cards.iter().filter(|card| card.task.status == *status).collect();
    let name = if status.as_str().is_empty() { "no status".to_owned() } else { printable(status.as_str()) };
    let mut lines = vec![(format!("{name} ({})", cards.len()), Style::Strong), (String::new(), Style::Plain)];
    let left_out = cards.len().saturating_sub(most);
    if left_out > 0 && *status == Status::Done {
        cards.sort_by(|one, other| other.board.updated_at.cmp(&one.board.updated_at));
    }
    cards.truncate(most);
    for card in cards {
        lines.extend(short(card, width));
        lines.push((String::new(), Style::Plain));
    }
    if left_out > 0 {
        lines.push((format!("and {left_out} more (--all)"), Style::Faint));
        lines.push((String::new(), Style::Plain));
    }
    lines
}

fn short(card: &Card, width: usize) -> Vec<Line> {
    let priority = card.board.priority.as_deref().map(printable).unwrap_or_default();
    let urgent = matches!(priority.as_str(), "p0" | "p1");
    let head = format!("{priority} {}", card.task.id.prefix());
    let mut lines = vec![(head.trim().to_owned(), if urgent { Style::Strong } else { Style::Faint })];
    lines.extend(title_lines(&title(card), width).into_iter().map(|line| (line, Style::Plain)));
    if let Some((key, linked)) = current(card) {
        let number = number(key);
        lines.push(match card.task.has_merge_conflict {
            Some(true) => (format!("#{number} conflicts"), Style::Alarming),
            _ => (format!("#{number} {}", linked.state.as_str()), Style::Faint),
        });
    }
    lines
}

/// As many lines of a title as there is room for.
fn title_lines(text: &str, columns: usize) -> Vec<String> {
    let mut lines = wrapped(text, columns);
    if lines.len() > MOST_TITLE_LINES {
        lines.truncate(MOST_TITLE_LINES);
        if let Some(last) = lines.last_mut() {
            *last = format!("{}…", beginning(last, columns.saturating_sub(1)));
        }
    }
    lines
}

fn beside(columns: &[Vec<Line>], each: usize, terminal: Terminal) -> String {
    let height = columns.iter().map(Vec::len).max().unwrap_or_default();
    let empty = (String::new(), Style::Plain);
    let mut text = String::new();
    for at in 0..height {
        let mut line = String::new();
        let mut owed = 0;
        for column in columns {
            let (cell, style) = column.get(at).unwrap_or(&empty);
            let cell = beginning(cell, each);
            if !cell.is_empty() {
                line.push_str(&" ".repeat(owed));
                owed = 0;
                line.push_str(&terminal.paint(cell, *style));
            }
            owed += (each + GAP).saturating_sub(width(cell));
        }
        text.push_str(&line);
        text.push('\n');
    }
    text
}

/// One line a task: id, status, priority, repository, conflict and title.
pub(super) fn lines(cards: &[Card]) -> String {
    let mut text = String::new();
    for card in cards {
        let task = &card.task;
        let conflict = if task.has_merge_conflict == Some(true) { "conflict" } else { "" };
        let fields = [
            task.id.as_str(),
            task.status.as_str(),
            card.board.priority.as_deref().unwrap_or_default(),
            task.repository.as_deref().unwrap_or_default(),
            conflict,
            &title(card),
        ];
        text.push_str(&fields.map(printable).join("\t"));
        text.push('\n');
    }
    text
}

/// All of a task, for people.
pub(super) fn card(card: &Card, tag: &str, columns: Option<usize>, now: Timestamp) -> String {
    let (task, board) = (&card.task, &card.board);
    let mut facts = vec![("id", task.id.to_string()), ("tag", tag.to_owned()), ("status", task.status.to_string())];
    let time = |at: &Option<String>| at.as_ref().map(|at| at.parse().map_or_else(|_| at.clone(), |at| when(at, now)));
    for (name, value) in [
        ("priority", board.priority.clone()),
        ("repository", task.repository.clone()),
        ("created", time(&board.created_at)),
        ("updated", time(&board.updated_at)),
    ] {
        facts.extend(value.map(|value| (name, value)));
    }
    for (key, linked) in &task.pull_requests {
        let current = if task.pull_request.as_ref() == Some(key) { " (current)" } else { "" };
        facts.push(("pull request", format!("{} {}{current}", linked.url, linked.state.as_str())));
    }
    if task.has_merge_conflict == Some(true) {
        let cause = task.conflict_caused_by.as_deref().map(|url| format!(", since {url} was merged"));
        facts.push(("conflict", format!("with its base branch{}", cause.unwrap_or_default())));
    }
    let facts: String = facts
        .into_iter()
        .map(|(name, value)| hanging(&format!("{name:<FACT$}"), &printable(&value), columns))
        .collect();
    let timeline = history::timeline(task, now);
    let timeline: String = timeline.iter().map(|line| fitting(&format!("  {}", printable(line)), columns)).collect();
    let history = if timeline.is_empty() { "" } else { "\nhistory\n" };
    format!("{}\n{facts}{history}{timeline}", hanging("", &title(card), columns))
}

fn current(card: &Card) -> Option<(&PullRequestKey, &LinkedPullRequest)> {
    card.task.pull_requests.get_key_value(card.task.pull_request.as_ref()?)
}

fn number(key: &PullRequestKey) -> &str {
    key.as_str().rsplit_once('#').map_or(key.as_str(), |(_, number)| number)
}

fn title(card: &Card) -> String {
    printable(card.task.title.as_deref().unwrap_or("(no title)"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_title_breaks_where_the_terminal_would() {
        assert_eq!(title_lines("ログインの時間切れを直す", 10), ["ログインの", "時間切れを", "直す"]);
        // A combining mark takes no column of its own.
        assert_eq!(title_lines("re\u{301}sume\u{301} the upload", 10), ["re\u{301}sume\u{301} the", "upload"]);
        // Of a wide character no half is shown.
        assert_eq!(title_lines("豈豈豈豈", 2), ["豈", "豈", "…"]);
        assert_eq!(title_lines("a  word ofmorethantencharacters", 10), ["a word", "ofmorethan", "tencharac…"]);
    }

    #[test]
    fn columns_stand_below_each_other_whatever_their_text() {
        let terminal = Terminal { columns: 80, rows: 24, colours: false };
        let cell = |text: &str| vec![(text.to_owned(), Style::Plain)];
        let shown = beside(&[cell("ログイン"), cell("e\u{301}"), cell("end")], 10, terminal);
        assert_eq!(shown, "ログイン    e\u{301}           end\n");
    }

    #[test]
    fn an_emoji_of_two_characters_fits_into_its_column_or_is_cut() {
        for line in title_lines("aΣaA𐝀aA!00A0\u{fe0f}!0𖼀a0", 12) {
            assert!(width(&line) <= 12, "{line:?}");
        }
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_its_column_and_no_word_is_lost(text in any::<String>(), columns in 2_usize..40) {
            let text = printable(&text);
            let lines = title_lines(&text, columns);
            for line in &lines {
                prop_assert!(width(line) <= columns, "{line:?} in {columns}");
            }
            if lines.len() < MOST_TITLE_LINES {
                let letters = |text: &str| text.split_whitespace().collect::<String>();
                prop_assert_eq!(letters(&lines.concat()), letters(&text));
            }
        }
    }
}
