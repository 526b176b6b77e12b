//! `explain`: why a card does not move.
//!
//! It reads what is stored, what GitHub says now and what was answered to GitHub's deliveries, lets the rules that
//! move tasks decide what they would do with that, and says in one sentence what stands between. It changes nothing,
//! and what it cannot read it says and does without.

mod cause;
mod context;
mod deliveries;
mod diagnosis;
mod evidence;
mod malformed_tag;
mod view;

use clap::Args;

use crate::aws::Account;
use crate::clock;
use crate::failure::Failure;
use crate::output::{self, Progress, Terminal};
use crate::stack::{self, Stack};
use crate::subject::{self, Subject};
use cause::{Cause, Explanation};

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app explain https://github.com/acme/app/pull/42
  konduktor-github-app explain acme/app#42
  konduktor-github-app explain 4d9d444d
  konduktor-github-app explain '[kid: #4d9d444d]' --json | jq -r .cause";

/// Say why a card does not move
///
/// Shows what is stored about the pull request and its tasks, what GitHub says now, and the recent deliveries about it
/// with their answers; then the one sentence that explains the difference, and what to do. Nothing is changed. With
/// --json the sentence is `explanation`, and `cause` is one stable word for it.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A pull request's URL or owner/name#number, a kid tag, or a task's id
    #[arg(value_name = "PR-URL|TAG|TASK-ID", value_parser = subject::parse)]
    subject: Subject,
    #[command(flatten)]
    stack: stack::Name,
    /// Print everything as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let stack = Stack::find(&arguments.stack, account).await?;
    // Its lines go to standard error in either case: a report is read, kept and searched.
    let evidence = evidence::gather(&stack, &arguments.subject, Progress::BesideJson).await?;
    let now = clock::now();
    let diagnosis = diagnosis::decide(&evidence, now);
    if arguments.json {
        output::write_json(view::json(&evidence, &diagnosis)?.to_string())?;
    } else {
        output::write(view::sections(&evidence, &diagnosis, Terminal::of_stdout(), now))?;
    }
    if diagnosis.cause == Cause::Unexplained { Err(Failure::new(diagnosis.explanation.sentence)) } else { Ok(()) }
}

/// What is to be expected of a pull request, for `verify`.
pub(crate) enum Outlook {
    /// Everything is known, and nothing is in its card's way.
    Well(String),
    /// Something is still being asked.
    Pending(String),
    /// Something stands between it and its card.
    Wrong { cause: String, next: String },
}

/// The explanation of a pull request, or of a task's, as an answer to whether it works.
pub(crate) async fn outlook(stack: &Stack, subject: &Subject, progress: Progress) -> Result<Outlook, Failure> {
    let evidence = evidence::gather(stack, subject, progress).await?;
    let diagnosis = diagnosis::decide(&evidence, clock::now());
    let Explanation { sentence, command } = diagnosis.explanation;
    let next = command.map_or(sentence.clone(), |command| format!("{sentence} {command}"));
    Ok(match diagnosis.cause {
        // That it conflicts was found out, which is what is asked here.
        Cause::Open | Cause::Done | Cause::DoneOtherwise | Cause::Conflict => Outlook::Well(sentence),
        Cause::TitleAsked | Cause::Owed | Cause::ConflictOutdated | Cause::ConflictUnknown => Outlook::Pending(next),
        cause => Outlook::Wrong { cause: cause.word(), next },
    })
}
