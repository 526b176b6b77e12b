//! `task start`: an agent takes a card.

use clap::Args;
use domain::task::Status;
use serde_json::json;

use super::{Card, TableArguments, open};
use crate::aws::Account;
use crate::failure::Failure;
use crate::output;
use crate::subject::{self, Subject};

/// How much of a title a branch's name takes over.
const LONGEST_SLUG: usize = 40;

/// Take a task: move it to in_progress, and print a name for its branch
///
/// A task that another agent has taken, or that is further, is refused.
#[derive(Debug, Args)]
pub(crate) struct Start {
    /// Its id or the first 8 digits of it or more, its tag, or the URL of its pull request
    #[arg(value_name = subject::NAME, value_parser = subject::parse)]
    task: Subject,
    /// Print the task's id, its tag and the branch as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArguments,
}

pub(super) async fn run(arguments: Start, account: &Account) -> Result<(), Failure> {
    let tasks = open(&arguments.table, account).await?;
    let card = tasks.one(&arguments.task).await?;
    let (id, from) = (card.task.id.prefix(), &card.task.status);
    if matches!(from, Status::InProgress | Status::PrSubmitted | Status::Done | Status::Trash) {
        return Err(Failure::new(format!(
            "the task {id} is in {from}: take another one, or move it with `{} task move {id} in_progress`",
            crate::NAME
        )));
    }
    // The condition on the column is what keeps two agents from taking the same task.
    tasks.move_task(&card.task, &Status::InProgress, crate::clock::now()).await?;
    let branch = branch(&card);
    if arguments.json {
        let tag = tasks.shortest_tag(&card.task.id).await?;
        let answer = json!({"id": card.task.id, "tag": tag, "branch": branch, "moved_from": from});
        return output::write_json(answer.to_string());
    }
    output::note(&format!("{id}: {from} → {}", Status::InProgress));
    output::write(format!("{branch}\n"))
}

/// A name for the task's branch: ASCII, so that it can be typed everywhere, and with the digits that name the task.
pub(crate) fn branch(card: &Card) -> String {
    named(card.task.title.as_deref().unwrap_or_default(), card.task.id.prefix())
}

fn named(title: &str, prefix: &str) -> String {
    let mut slug = String::new();
    for word in title.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
        if slug.len() + 1 + word.len() > LONGEST_SLUG {
            break;
        }
        slug.push('-');
        slug.push_str(&word.to_ascii_lowercase());
    }
    format!("{prefix}{slug}")
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn a_branch_is_named_by_the_task_and_can_be_typed() {
        assert_eq!(named("Fix login timeout!", "4d9d444d"), "4d9d444d-fix-login-timeout");
        assert_eq!(named("ログイン", "4d9d444d"), "4d9d444d");
        assert_eq!(named("../..; rm -rf ~", "4d9d444d"), "4d9d444d-rm-rf");
        assert!(named(&"word ".repeat(50), "4d9d444d").len() <= 8 + super::LONGEST_SLUG);
    }
}
