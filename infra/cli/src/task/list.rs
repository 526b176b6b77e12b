//! `task list`: which tasks are meant, and what happens to them while somebody watches.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::ids::RepositoryName;
use domain::task::Status;

use super::table::{Card, Tasks};
use super::{List, view};
use crate::failure::Failure;
use crate::git::git;
use crate::output::{self, Terminal};
use crate::text::beginning;

/// Each look reads the whole table.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);

/// Which tasks are meant.
pub(super) struct Wanted<'a> {
    asked: &'a List,
    /// The digits that the branches of this clone name tasks by, where only those are meant.
    mine: Option<Vec<String>>,
}

impl<'a> Wanted<'a> {
    pub(super) fn of(asked: &'a List) -> Result<Self, Failure> {
        Ok(Self { asked, mine: asked.mine.then(named_by_branches).transpose()? })
    }

    fn wants(&self, Card { task, .. }: &Card) -> bool {
        let List { status, repository, conflict, all, .. } = self.asked;
        let of = |name: &RepositoryName| task.repository.as_ref().is_some_and(|own| name.is(own));
        status.as_ref().map_or(*all || task.status != Status::Trash, |status| task.status == *status)
            && repository.as_ref().is_none_or(of)
            && (!conflict || task.has_merge_conflict == Some(true))
            && self.mine.as_ref().is_none_or(|mine| mine.iter().any(|digits| task.id.as_str().starts_with(digits)))
    }
}

/// The tasks that are meant, the most urgent and oldest first; at a terminal the view leaves out what is over its limit, and counts it.
pub(super) async fn read(tasks: &Tasks, wanted: &Wanted<'_>, warn: bool) -> Result<Vec<Card>, Failure> {
    let (mut cards, unreadable) = tasks.all().await?;
    if unreadable > 0 && warn {
        output::note(&format!("{}: {unreadable} items of the table are no tasks and were left out", crate::NAME));
    }
    cards.retain(|card| wanted.wants(card));
    cards.sort_by(|one, other| one.rank().cmp(&other.rank()));
    if let Some(limit) = wanted.asked.limit
        && (wanted.asked.json || Terminal::of_stdout().is_none())
    {
        let mut counts = BTreeMap::<String, u32>::new();
        cards.retain(|card| {
            let count = counts.entry(card.task.status.as_str().to_owned()).or_default();
            *count += 1;
            *count <= limit
        });
    }
    Ok(cards)
}

/// Until Ctrl-C: at a terminal the board, drawn again when it changes, and else the line of each task that did.
pub(super) async fn watch(tasks: &Tasks, wanted: &Wanted<'_>, asked: &List) -> Result<(), Failure> {
    let mut seen = Seen::default();
    loop {
        let cards = read(tasks, wanted, false).await?;
        output::write(match Terminal::of_stdout() {
            Some(terminal) => seen.screen(view::board(&cards, asked, terminal), terminal),
            None => seen.changed(&cards),
        })?;
        tokio::select! {
            () = tokio::time::sleep(BETWEEN_LOOKS) => {}
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

/// What was shown last.
#[derive(Default)]
struct Seen {
    screen: String,
    lines: BTreeMap<String, String>,
}

impl Seen {
    /// The board from the top of the screen; what is below its end is not drawn, or the top would be lost.
    fn screen(&mut self, board: String, terminal: Terminal) -> String {
        let board = fitted(&board, terminal);
        if board == self.screen {
            return String::new();
        }
        self.screen.clone_from(&board);
        format!("{}{board}", output::CLEAR)
    }

    fn changed(&mut self, cards: &[Card]) -> String {
        let mut text = String::new();
        for card in cards {
            let line = view::lines(std::slice::from_ref(card));
            if self.lines.insert(card.task.id.as_str().to_owned(), line.clone()).as_ref() != Some(&line) {
                text.push_str(&line);
            }
        }
        text
    }
}

fn fitted(board: &str, terminal: Terminal) -> String {
    let rows = terminal.rows.saturating_sub(1).max(1);
    let count = board.lines().count();
    if count <= rows {
        return board.to_owned();
    }
    let shown: Vec<&str> = board.lines().take(rows - 1).collect();
    let rest = format!("… {} more lines", count - shown.len());
    format!("{}\n{}\n", shown.join("\n"), beginning(&rest, terminal.columns))
}

fn named_by_branches() -> Result<Vec<String>, Failure> {
    let branches = git(&["for-each-ref", "--format=%(refname:short)", "refs/heads"])?.ok_or_else(|| {
        Failure::new("this folder is not a clone of a repository, and --mine is about its branches: go to one")
    })?;
    Ok(digits(&branches))
}

/// What stands in names of branches as the first digits of an id.
fn digits(branches: &str) -> Vec<String> {
    let words = branches.split(|c: char| !c.is_ascii_alphanumeric()).map(str::to_ascii_lowercase);
    words.filter(|word| (8..=32).contains(&word.len()) && word.chars().all(|c| c.is_ascii_hexdigit())).collect()
}

#[cfg(test)]
mod tests {
    use super::{Terminal, digits, fitted};

    #[test]
    fn a_branch_names_its_task_wherever_the_digits_stand() {
        assert_eq!(digits("4d9d444d-fix-login\nmain\nagent/B7C1E2F3-x"), ["4d9d444d", "b7c1e2f3"]);
        assert_eq!(digits("4d9d444\nfeature-accedeable\n0x4d9d444d"), [""; 0]);
    }

    #[test]
    fn a_board_that_is_watched_never_scrolls() {
        let terminal = Terminal { columns: 20, rows: 5, colours: false };
        assert_eq!(fitted("1\n2\n3\n4\n", terminal), "1\n2\n3\n4\n");
        assert_eq!(fitted("1\n2\n3\n4\n5\n", terminal), "1\n2\n3\n… 2 more lines\n");
    }
}
