//! The board as the demonstration and `run` show it: a line a card, and a line for each thing that changed.

use std::collections::BTreeMap;

use serde_json::Value;
use stack::Stack;
use unicode_width::UnicodeWidthStr;

/// No line is longer, so that none wraps on a terminal that is shared or filmed.
const WIDEST: usize = 99;

/// How much of a title stands on the board.
const TITLE: usize = 24;

const COLUMNS: [&str; 6] = ["idea", "to_do", "in_progress", "pr_submitted", "done", "trash"];

/// What is shown of a card.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Card {
    title: String,
    status: String,
    pull_request: Option<(String, String)>,
    conflict: Option<bool>,
    caused_by: Option<String>,
}

/// The cards by the first digits of their ids.
pub(crate) type Cards = BTreeMap<String, Card>;

/// The board as it is now.
pub(crate) fn cards(stack: &Stack) -> Cards {
    let items = stack.dynamodb.scan(&stack.dynamodb.names().tasks);
    items.iter().map(|task| (text(&task["prefix"]).to_owned(), Card::of(task))).collect()
}

impl Card {
    fn of(task: &Value) -> Self {
        let current = task["pull_request"].as_str().map(|key| {
            let number = key.rsplit('#').next().unwrap_or(key);
            (format!("#{number}"), text(&task["pull_requests"][key]["state"]).to_owned())
        });
        Self {
            title: text(&task["title"]).to_owned(),
            status: text(&task["status"]).to_owned(),
            pull_request: current,
            conflict: task["has_merge_conflict"].as_bool(),
            caused_by: task["conflict_caused_by"].as_str().map(number),
        }
    }

    fn pull_request(&self) -> String {
        let Some((number, state)) = &self.pull_request else { return String::new() };
        let merges = match (state.as_str(), self.conflict, &self.caused_by) {
            ("open", Some(true), Some(cause)) => format!(", conflicts since {cause} was merged"),
            ("open", Some(true), None) => ", conflicts".to_owned(),
            ("open", Some(false), _) => ", merges".to_owned(),
            ("open", None, _) => ", not known yet whether it merges".to_owned(),
            _ => String::new(),
        };
        format!("{number} {state}{merges}")
    }
}

/// How wide a line may be here.
pub(crate) fn widest() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    columns.unwrap_or(WIDEST).min(WIDEST)
}

/// One line, and more of them where the terminal is too narrow for it.
pub(crate) fn say(line: &str) {
    println!("{}", fitting(line));
}

/// That line as it is printed.
pub(crate) fn fitting(line: &str) -> String {
    let (indent, text) = line.split_at(line.len() - line.trim_start().len());
    beside(indent, text, 2, widest())
}

/// A text behind its beginning, and what does not fit below it.
pub(crate) fn say_beside(beginning: &str, text: &str) {
    println!("{}", beside(beginning, text, 0, widest()));
}

/// A word stays whole: an address can be clicked and copied.
fn beside(beginning: &str, text: &str, set_in: usize, widest: usize) -> String {
    let line = format!("{beginning}{text}");
    if line.width() <= widest {
        return line;
    }
    let indent = beginning.width();
    let (mut lines, mut used) = (beginning.to_owned(), indent);
    for word in text.split_whitespace() {
        let behind = usize::from(used > indent);
        if behind > 0 && used + behind + word.width() > widest {
            lines.push_str(&format!("\n{}{word}", " ".repeat(indent + set_in)));
            used = indent + set_in + word.width();
        } else {
            lines.push_str(&format!("{}{word}", " ".repeat(behind)));
            used += behind + word.width();
        }
    }
    lines
}

/// The cards in the order of the columns, in lines of this width: where one is too narrow for a card, its pull request stands below.
pub(crate) fn board(cards: &Cards, widest: usize) -> Vec<String> {
    let place = |card: &Card| COLUMNS.iter().position(|column| *column == card.status).unwrap_or(COLUMNS.len());
    let mut cards: Vec<_> = cards.iter().collect();
    cards.sort_by_key(|(id, card)| (place(card), (*id).clone()));
    cards.into_iter().flat_map(|(id, card)| lines(id, card, widest)).collect()
}

fn lines(id: &str, card: &Card, widest: usize) -> Vec<String> {
    let title = beginning(&card.title, TITLE);
    let space = " ".repeat(TITLE - title.width());
    let (named, pull_request) = (format!("{:<13} {id}  {title}", card.status), card.pull_request());
    let line = format!("{named}{space}  {pull_request}").trim_end().to_owned();
    if line.width() <= widest {
        return vec![line];
    }
    vec![named, format!("{:24}{pull_request}", "")]
}

/// What happened to the cards between two looks.
pub(crate) fn changes(before: &Cards, after: &Cards) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, card) in after {
        let mut say = |what: String| lines.push(format!("{id} {}: {what}", card.title));
        let Some(earlier) = before.get(id) else {
            say(format!("new in {}", card.status));
            continue;
        };
        if earlier.status != card.status {
            say(format!("moved {} → {}", earlier.status, card.status));
        }
        let told = |card: &Card| (card.pull_request.clone(), card.conflict, card.caused_by.clone());
        if told(earlier) != told(card) && card.pull_request.is_some() {
            say(card.pull_request());
        }
    }
    lines
}

/// The number of a pull request's page.
fn number(url: &str) -> String {
    format!("#{}", url.rsplit('/').next().unwrap_or(url))
}

/// As much of it as so many columns of a terminal hold: an ideograph takes two.
fn beginning(text: &str, columns: usize) -> &str {
    let prefixes = text.char_indices().map(|(at, character)| &text[..at + character.len_utf8()]);
    prefixes.take_while(|prefix| prefix.width() <= columns).last().unwrap_or_default()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use unicode_width::UnicodeWidthStr;

    use super::{Card, Cards, beside, board, changes};

    fn cards(status: &str, conflict: serde_json::Value) -> Cards {
        let task = json!({"title": "Fix login ".repeat(20), "status": status, "pull_request": "7#1",
            "pull_requests": {"7#1": {"state": "open"}}, "has_merge_conflict": conflict,
            "conflict_caused_by": "https://github.com/acme/app/pull/2"});
        Cards::from([("4d9d444d".to_owned(), Card::of(&task))])
    }

    #[test]
    fn a_line_says_what_changed() {
        let (before, after) = (cards("pr_submitted", json!(false)), cards("done", json!(true)));
        assert_eq!(changes(&before, &before), Vec::<String>::new());
        let short = |mut cards: Cards| {
            cards.values_mut().for_each(|card| card.title = "Fix".to_owned());
            cards
        };
        assert_eq!(
            changes(&short(before.clone()), &short(after.clone())),
            ["4d9d444d Fix: moved pr_submitted → done", "4d9d444d Fix: #1 open, conflicts since #2 was merged"]
        );
    }

    #[test]
    fn the_board_fits_and_loses_nothing_but_the_end_of_a_title() {
        let long = "#1 open, conflicts since #2 was merged";
        for (widest, lines) in [(80, 2), (99, 1)] {
            let board = board(&cards("pr_submitted", json!(true)), widest);
            assert!(board.len() == lines && board.iter().all(|line| line.width() <= widest), "{board:?}");
            assert!(board.last().unwrap().ends_with(long), "{board:?}");
        }
    }

    #[test]
    fn what_does_not_fit_stands_below_and_an_address_stays_whole() {
        assert_eq!(beside("  merge N  ", "it is merged", 0, 20), "  merge N  it is\n           merged");
        assert_eq!(beside("", "see http://127.0.0.1:9000/abc now", 2, 20), "see\n  http://127.0.0.1:9000/abc\n  now");
    }

    #[test]
    fn what_follows_a_title_stands_in_its_column_however_wide_its_letters_are() {
        let titled = |title: &str| {
            let mut cards = cards("done", json!(null));
            cards.values_mut().for_each(|card| card.title = title.to_owned());
            let line = board(&cards, 99).remove(0);
            line[..line.find("#1").unwrap()].width()
        };
        assert_eq!(titled("Fix login"), titled("ログインの時間切れをすぐに直す"));
        assert_eq!(titled("Fix login"), titled("👩‍💻 e\u{301}"));
    }
}
