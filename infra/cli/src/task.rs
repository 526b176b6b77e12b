//! `task`: the board from a terminal.
//!
//! It writes as the board does: `title`, `status`, `priority`, `repository` and the two times, never an attribute that the
//! functions own.

mod list;
mod start;
mod table;
mod view;
mod wait;

use std::process::ExitCode;

use adapters::config::Variables;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::ids::RepositoryName;
use domain::task::{Status, Task};
use serde_json::Value;

use crate::aws::{Account, Session};
use crate::clock;
use crate::failure::Failure;
use crate::output::{self, Terminal};
use crate::stack::{self, Stack};
use crate::subject::{self, Subject};
use crate::text::printable;
use start::Start;
use table::NewTask;
use wait::Wait;

pub(crate) use start::branch;
pub(crate) use table::{Card, Tasks};

const STATUSES: [&str; 6] = ["idea", "to_do", "in_progress", "pr_submitted", "done", "trash"];
const PRIORITIES: [&str; 5] = ["p0", "p1", "p2", "p3", "p4"];

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app task create 'Fix login' --repository acme/app
  konduktor-github-app task tag 4d9d444d
  git switch -c $(konduktor-github-app task start 4d9d444d)
  konduktor-github-app task move 4d9d444d in_progress
  konduktor-github-app task wait 4d9d444d --until done --timeout 2h
  konduktor-github-app task list --repository acme/app --conflict
  konduktor-github-app task list --status pr_submitted --json";

/// Work the board
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub(crate) enum Command {
    Create(Create),
    List(List),
    Show(Show),
    Start(Start),
    Wait(Wait),
    Move(Move),
    Tag(Tag),
}

#[derive(Debug, Args)]
pub(crate) struct TableArguments {
    /// The table of tasks [default: TASKS_TABLE, else the stack's]
    #[arg(long, value_name = "NAME")]
    tasks_table: Option<String>,
    /// The CloudFormation stack that has the table
    #[arg(long, value_name = "NAME", default_value = stack::DEFAULT_STACK, conflicts_with = "tasks_table")]
    stack: String,
}

impl TableArguments {
    /// The stack, whether the table is found by it or named otherwise.
    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }
}

/// Put a task on the board, and print its id and its tag
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// What is to be done
    #[arg(value_parser = title)]
    title: String,
    /// Its column
    #[arg(long, default_value = "to_do", value_parser = status())]
    status: Status,
    /// p0 is the most urgent
    #[arg(long, default_value = "p2", value_parser = PossibleValuesParser::new(PRIORITIES))]
    priority: String,
    /// owner/name; without one, the first pull request with its tag decides
    #[arg(long, value_parser = repository)]
    repository: Option<RepositoryName>,
    /// Print the task as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArguments,
}

/// Show the board, the most urgent and oldest tasks first
///
/// Into a pipe it goes as one line a task: id, status, priority, repository, conflict and title, separated by tabs. What is
/// longer than the terminal goes through PAGER, less unless set. With --watch a pipe gets the line of each task that changed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only this column
    #[arg(long, value_parser = status())]
    status: Option<Status>,
    /// Only tasks of this repository
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository)]
    repository: Option<RepositoryName>,
    /// Only tasks that a branch of this clone is named after, as `task start` names it
    #[arg(long)]
    mine: bool,
    /// Only tasks whose pull request conflicts with its base
    #[arg(long)]
    conflict: bool,
    /// At most so many tasks of each column [default at a terminal: 20, and 10 that are done]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..), conflicts_with = "all")]
    limit: Option<u32>,
    /// Also the trash, and every task of each column
    #[arg(long)]
    all: bool,
    /// Show what changes as it does, until Ctrl-C
    #[arg(long, conflicts_with = "json")]
    watch: bool,
    /// Print the tasks as JSON, with everything that the table holds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArguments,
}

/// Show a task and its pull requests
#[derive(Debug, Args)]
pub(crate) struct Show {
    /// Its id or the first 8 digits of it or more, its tag, or the URL of its pull request
    #[arg(value_name = subject::NAME, value_parser = subject::parse)]
    task: Subject,
    /// Print it as JSON, with everything that the table holds
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    table: TableArguments,
}

/// Move a task to another column
#[derive(Debug, Args)]
pub(crate) struct Move {
    /// Its id or the first 8 digits of it or more, its tag, or the URL of its pull request
    #[arg(value_name = subject::NAME, value_parser = subject::parse)]
    task: Subject,
    /// The column
    #[arg(value_parser = status())]
    status: Status,
    #[command(flatten)]
    table: TableArguments,
}

/// Print the shortest tag that names this task alone, for the title of a pull request
#[derive(Debug, Args)]
pub(crate) struct Tag {
    /// Its id or the first 8 digits of it or more, its tag, or the URL of its pull request
    #[arg(value_name = subject::NAME, value_parser = subject::parse)]
    task: Subject,
    #[command(flatten)]
    table: TableArguments,
}

pub(crate) async fn run(command: Command, account: &Account) -> Result<ExitCode, Failure> {
    match command {
        // What came true is told by the exit status.
        Command::Wait(arguments) => return wait::run(arguments, account).await,
        Command::Start(arguments) => start::run(arguments, account).await,
        Command::Create(arguments) => create(arguments, account).await,
        Command::List(arguments) => list(arguments, account).await,
        Command::Show(arguments) => show(arguments, account).await,
        Command::Move(arguments) => move_task(arguments, account).await,
        Command::Tag(arguments) => print_tag(arguments, account).await,
    }?;
    Ok(ExitCode::SUCCESS)
}

async fn create(arguments: Create, account: &Account) -> Result<(), Failure> {
    let tasks = open(&arguments.table, account).await?;
    let new = NewTask {
        title: arguments.title,
        status: arguments.status,
        priority: arguments.priority,
        repository: arguments.repository,
        created_at: clock::now(),
    };
    let card = tasks.create(&new).await?;
    if arguments.json {
        return output::write_json(card.json()?.to_string());
    }
    let tag = tasks.shortest_tag(&card.task.id).await?;
    output::write(format!("{} {}\n", card.task.id, written(&tag)))
}

async fn list(arguments: List, account: &Account) -> Result<(), Failure> {
    let tasks = open(&arguments.table, account).await?;
    let wanted = list::Wanted::of(&arguments)?;
    if arguments.watch {
        return list::watch(&tasks, &wanted, &arguments).await;
    }
    let cards = list::read(&tasks, &wanted, true).await?;
    if arguments.json {
        let cards = cards.iter().map(Card::json).collect::<Result<Vec<_>, _>>()?;
        return output::write_json(Value::Array(cards).to_string());
    }
    match Terminal::of_stdout() {
        Some(terminal) => output::page(&view::board(&cards, &arguments, terminal), terminal),
        None => output::write(view::lines(&cards)),
    }
}

async fn show(arguments: Show, account: &Account) -> Result<(), Failure> {
    let tasks = open(&arguments.table, account).await?;
    let card = tasks.one(&arguments.task).await?;
    if arguments.json {
        return output::write_json(card.json()?.to_string());
    }
    let tag = tasks.shortest_tag(&card.task.id).await?;
    let columns = Terminal::of_stdout().map(|terminal| terminal.columns);
    output::write(view::card(&card, &written(&tag), columns, clock::now()))
}

async fn move_task(arguments: Move, account: &Account) -> Result<(), Failure> {
    let tasks = open(&arguments.table, account).await?;
    let Card { task, .. } = tasks.one(&arguments.task).await?;
    let (id, from, to) = (task.id.prefix(), printable(task.status.as_str()), &arguments.status);
    if task.status == *to {
        return output::write(format!("{id} is in {to} already\n"));
    }
    tasks.move_task(&task, to, clock::now()).await?;
    output::write(format!("{id}: {from} → {to}\n"))
}

async fn print_tag(arguments: Tag, account: &Account) -> Result<(), Failure> {
    let tasks = open(&arguments.table, account).await?;
    let card = tasks.one(&arguments.task).await?;
    let tag = tasks.shortest_tag(&card.task.id).await?;
    output::write(format!("{}\n", written(&tag)))
}

/// The one task that is named so.
pub(crate) async fn look_up(session: &Session, table: &str, subject: &Subject) -> Result<Task, Failure> {
    Ok(Tasks::new(session.clone(), table.to_owned()).one(subject).await?.task)
}

pub(crate) async fn open(table: &TableArguments, account: &Account) -> Result<Tasks, Failure> {
    let name = table.tasks_table.clone().or_else(|| Variables::default().optional("TASKS_TABLE"));
    Ok(match name {
        Some(name) => Tasks::new(account.session().await?, name),
        None => {
            let Stack { session, tasks_table, .. } = Stack::find(&stack::Name::of(&table.stack), account).await?;
            Tasks::new(session, tasks_table)
        }
    })
}

/// The tasks that are not done, the most urgent first, by the digits that name them alone, each with its title behind a tab.
pub(crate) async fn named(account: &Account) -> Result<String, Failure> {
    let usual = TableArguments { tasks_table: None, stack: stack::DEFAULT_STACK.to_owned() };
    let (mut cards, _) = open(&usual, account).await?.all().await?;
    cards.sort_by(|one, other| one.rank().cmp(&other.rank()));
    let shared = |card: &Card| cards.iter().filter(|other| other.task.id.prefix() == card.task.id.prefix()).count() > 1;
    let open = cards.iter().filter(|card| !matches!(card.task.status, Status::Done | Status::Trash));
    let line = |card: &Card| {
        let id = if shared(card) { card.task.id.as_str() } else { card.task.id.prefix() };
        format!("{id}\t{}\n", printable(card.task.title.as_deref().unwrap_or_default()))
    };
    Ok(open.map(line).collect())
}

/// As people write it in a title.
fn written(tag: &str) -> String {
    format!("[kid: #{tag}]")
}

fn status() -> impl TypedValueParser<Value = Status> {
    PossibleValuesParser::new(STATUSES).map(Status::from)
}

fn title(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err("a title is one line of text".to_owned());
    }
    Ok(text.to_owned())
}

/// `owner/name`, of an argument.
pub(crate) fn repository(text: &str) -> Result<RepositoryName, String> {
    text.parse().map_err(|_| "write it as owner/name, such as acme/app".to_owned())
}

#[cfg(test)]
mod tests {
    use domain::task::COLUMNS;

    use super::*;

    #[test]
    fn the_columns_that_a_task_may_be_put_into_are_those_of_the_board() {
        assert_eq!(COLUMNS.each_ref().map(Status::as_str), STATUSES);
    }
}
