//! `task wait`: until something becomes true of a card. It reads the table and nothing else, so a thousand waiting agents cost
//! GitHub no request.

use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, ValueEnum};
use domain::pull_request::State;
use domain::task::{Status, Task};
use serde_json::json;

use super::{TableArguments, open};
use crate::aws::Account;
use crate::failure::Failure;
use crate::output;
use crate::subject::{self, Subject};

/// Between two reads: at first somebody watches, later it is only about not asking for nothing.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// What may become true of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    /// Its pull request conflicts with its base
    Conflict,
    /// Its pull request merges without a conflict
    Mergeable,
    /// Its pull request was merged
    Merged,
    /// Its pull request was closed without a merge
    Closed,
    /// It has an open pull request
    Open,
    /// It is in done
    Done,
    /// It is in trash
    Trash,
}

/// Exit statuses: the same as the order of the values in the help, so that a script tells them apart.
const FIRST_STATUS: u8 = 10;

/// Nothing of it came true: the status that timeout(1) has for that.
const TIMED_OUT: u8 = 124;

const AFTER: &str = "\
Exit status: 10 conflict, 11 mergeable, 12 merged, 13 closed, 14 open, 15 done,
16 trash; 124 after --timeout; 1 if it cannot be known. With one --until, 0 in
place of its own.

Examples:
  konduktor-github-app task wait 4d9d444d --until done --timeout 2h && echo done
  konduktor-github-app task wait 4d9d444d --until conflict --until done
  [ $? -eq 10 ] && git pull --rebase origin main";

/// Wait until something is true of a task
///
/// Reads the table of tasks only, and never asks GitHub. What is true already ends it at once. Prints what came true.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub(crate) struct Wait {
    /// Its id or the first 8 digits of it or more, its tag, or the URL of its pull request
    #[arg(value_name = subject::NAME, value_parser = subject::parse)]
    task: Subject,
    /// What to wait for; the first that is true, in the order given, may be repeated
    #[arg(long, required = true, value_name = "WHAT")]
    until: Vec<Until>,
    /// How long at most, such as 90s, 15m or 2h [default: without end]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    timeout: Option<Duration>,
    /// Print what came true, the task's id and its column as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArguments,
}

pub(super) async fn run(arguments: Wait, account: &Account) -> Result<ExitCode, Failure> {
    let tasks = open(&arguments.table, account).await?;
    let mut task = tasks.one(&arguments.task).await?.task;
    // From here on by its id: another task may come to begin with the same digits.
    let named = subject::parse(task.id.as_str()).map_err(Failure::new)?;
    let ends = arguments.timeout.map(|timeout| tokio::time::Instant::now() + timeout);
    let mut pause = SHORTEST_PAUSE;
    loop {
        if let Some(came) = arguments.until.iter().find(|until| until.is_true_of(&task)) {
            let word = came.word();
            if arguments.json {
                output::write_json(json!({"until": word, "task": task.id, "status": task.status}).to_string())?;
            } else {
                output::write(format!("{word}\n"))?;
            }
            let only = arguments.until.iter().all(|until| until == came);
            return Ok(if only { ExitCode::SUCCESS } else { ExitCode::from(came.status()) });
        }
        let left = ends.map(|ends| ends.saturating_duration_since(tokio::time::Instant::now()));
        if left.is_some_and(|left| left.is_zero()) {
            let (id, column) = (task.id.prefix(), &task.status);
            output::note(&format!("{}: {id} is in {column}, and the time is over", crate::NAME));
            return Ok(ExitCode::from(TIMED_OUT));
        }
        tokio::time::sleep(left.map_or(pause, |left| pause.min(left))).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
        task = tasks.one(&named).await?.task;
    }
}

impl Until {
    fn is_true_of(self, task: &Task) -> bool {
        let current = task.pull_request.as_ref().and_then(|key| task.pull_requests.get(key)).map(|linked| linked.state);
        match self {
            Self::Conflict => task.has_merge_conflict == Some(true),
            Self::Mergeable => current == Some(State::Open) && task.has_merge_conflict == Some(false),
            Self::Merged => current == Some(State::Merged),
            Self::Closed => current == Some(State::Closed),
            Self::Open => current == Some(State::Open),
            Self::Done => task.status == Status::Done,
            Self::Trash => task.status == Status::Trash,
        }
    }

    fn word(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    fn status(self) -> u8 {
        let at = Self::value_variants().iter().position(|until| *until == self).unwrap_or_default();
        FIRST_STATUS + u8::try_from(at).unwrap_or_default()
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let takes = || "write it as 90s, 15m or 2h".to_owned();
    let (digits, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let count: u64 = digits.parse().map_err(|_| takes())?;
    let seconds = match unit {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(takes()),
    };
    count.checked_mul(seconds).filter(|seconds| *seconds < 10_000_000_000).map(Duration::from_secs).ok_or_else(takes)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::ValueEnum;
    use domain::task::Task;
    use serde_json::{Value, json};

    use super::{AFTER, Until, duration};

    fn task(status: &str, state: Option<&str>, mergeability: &str) -> Task {
        let mut task = json!({"id": "4d9d444d0198c5c27f00aabbccddeeff", "status": status});
        if let Some(state) = state {
            task["pull_requests"] = json!({"7#42": {"state": state, "url": "https://github.com/acme/app/pull/42",
                "created_at": "2026-11-09T00:00:00Z", "mergeability": mergeability}});
            task["pull_request"] = json!("7#42");
            task["has_merge_conflict"] = match mergeability {
                "conflicting" => json!(true),
                "mergeable" => json!(false),
                _ => Value::Null,
            };
        }
        serde_json::from_value(task).unwrap()
    }

    #[test]
    fn what_is_true_of_a_card_is_what_the_table_says() {
        let all = |task: &Task| -> Vec<String> {
            let variants = Until::value_variants().iter().filter(|until| until.is_true_of(task));
            variants.map(|until| until.word()).collect()
        };
        assert_eq!(all(&task("in_progress", None, "")), Vec::<String>::new());
        assert_eq!(all(&task("pr_submitted", Some("open"), "unknown")), ["open"]);
        assert_eq!(all(&task("pr_submitted", Some("open"), "mergeable")), ["mergeable", "open"]);
        assert_eq!(all(&task("pr_submitted", Some("open"), "conflicting")), ["conflict", "open"]);
        assert_eq!(all(&task("pr_submitted", Some("closed"), "unknown")), ["closed"]);
        assert_eq!(all(&task("done", Some("merged"), "unknown")), ["merged", "done"]);
        assert_eq!(all(&task("trash", None, "")), ["trash"]);
    }

    #[test]
    fn the_help_names_each_exit_status() {
        for until in Until::value_variants() {
            let line = format!("{} {}", until.status(), until.word());
            assert!(AFTER.contains(&line), "{line}");
        }
    }

    #[test]
    fn a_time_is_a_number_and_its_unit() {
        for (text, seconds) in [("0", 0), ("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400)] {
            assert_eq!(duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in ["", "h", "-1s", "1.5h", "2 h", "5y", "99999999999999999999s", "9999999999999999h"] {
            assert!(duration(text).is_err(), "{text:?}");
        }
    }
}
