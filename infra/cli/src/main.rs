//! `konduktor-github-app`: sets the GitHub App up, gives agents their tokens, and works the board from a terminal.
//!
//! One module per subcommand; each says in one line on standard error what to do when it fails.

// Other people's text goes to a terminal through `output`, which takes out of it what a terminal would act on.
#![warn(clippy::print_stderr)]

mod api_url;
mod aws;
mod board;
mod clock;
mod completions;
mod configure;
mod create;
mod credential;
mod explain;
mod failure;
mod git;
mod github_app;
mod history;
mod last_account;
mod local_page;
mod output;
mod pr;
mod prompt;
mod secret;
mod setup_git;
mod stack;
mod subject;
mod task;
mod text;
mod token;
mod token_function;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use aws::Account;
use failure::Failure;

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app create --organization acme
  konduktor-github-app configure
  konduktor-github-app verify
  konduktor-github-app setup-git
  GH_TOKEN=$(konduktor-github-app token --repository app \\
    --permission pull_requests=write) gh pr list --repo acme/app
  konduktor-github-app task create 'Fix login timeout' --priority p1
  konduktor-github-app task list
  konduktor-github-app board
  konduktor-github-app pr 4d9d444d
  konduktor-github-app explain https://github.com/acme/app/pull/42";

/// Sets the Konduktor GitHub App up, gives agents their tokens, and works the board from a terminal.
#[derive(Debug, Parser)]
#[command(name = NAME, version, after_help = EXAMPLES)]
struct Arguments {
    #[command(flatten)]
    account: Account,
    #[command(subcommand)]
    command: Command,
}

const NAME: &str = "konduktor-github-app";

#[derive(Debug, Subcommand)]
enum Command {
    Configure(configure::Arguments),
    Create(create::Arguments),
    Verify(verify::Arguments),
    Credential(credential::Arguments),
    Explain(explain::Arguments),
    Pr(pr::Arguments),
    SetupGit(setup_git::Arguments),
    Token(token::Arguments),
    Board(board::Arguments),
    #[command(subcommand)]
    Task(task::Command),
    Completions(completions::Arguments),
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(status) => status,
        Err(failure) => {
            output::note(&format!("{NAME}: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { account, command }: Arguments) -> Result<ExitCode, Failure> {
    match command {
        Command::Task(command) => return task::run(command, &account).await,
        Command::Configure(arguments) => configure::run(arguments, &account).await,
        Command::Create(arguments) => create::run(arguments, &account).await,
        Command::Verify(arguments) => verify::run(arguments, &account).await,
        Command::Credential(arguments) => credential::run(arguments, &account).await,
        Command::Explain(arguments) => explain::run(arguments, &account).await,
        Command::Board(arguments) => board::run(arguments, &account).await,
        Command::Pr(arguments) => pr::run(arguments, &account).await,
        Command::SetupGit(arguments) => setup_git::run(&arguments, &account),
        Command::Token(arguments) => token::run(arguments, &account).await,
        Command::Completions(arguments) => completions::run(&arguments, &account).await,
    }?;
    Ok(ExitCode::SUCCESS)
}
