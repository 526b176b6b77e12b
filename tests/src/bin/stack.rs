//! `stack demo | run | bench FOLDER | exec COMMAND | github`: the local stack from a terminal.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a command reads its arguments and prints for people"
)]

use std::process::ExitCode;

use serde_json::json;
use tests::github::{GitHub, NewPullRequest, Selection};
use tests::stack::{ACCOUNT, REPOSITORY, Stack};
use tests::{bench, demo};

/// The front door's port of `run`, so that a tunnel or a second terminal can be told once.
const PORT: u16 = 9000;

#[tokio::main]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("demo") => match demo::run().await {
            Ok(()) => ExitCode::SUCCESS,
            Err(step) => {
                eprintln!("\nThis did not hold: {step}");
                ExitCode::FAILURE
            }
        },
        Some("bench") => {
            bench::run(&arguments.collect::<Vec<_>>()).await;
            ExitCode::SUCCESS
        }
        Some("run") => run().await,
        Some("github") => github().await,
        Some("exec") => exec(&arguments.collect::<Vec<_>>()).await,
        _ => {
            eprintln!(
                "usage: stack demo | stack run | stack bench FOLDER | stack exec COMMAND [ARGUMENT…] | stack github"
            );
            ExitCode::from(2)
        }
    }
}

async fn run() -> ExitCode {
    let stack = Stack::on_port(PORT).await;
    stack.lambda.echo_logs();
    let _triggers = stack.spawn_triggers();
    println!("The local stack is up; Ctrl-C ends it. For other terminals:\n");
    for (name, value) in stack.environment() {
        println!("export {name}={}", quoted(&value));
    }
    println!("\nWebhook: {}", stack.front.url());
    let _ = tokio::signal::ctrl_c().await;
    ExitCode::SUCCESS
}

/// Runs a command with the stack's environment, and ends with it.
async fn exec(command: &[String]) -> ExitCode {
    let Some((program, arguments)) = command.split_first() else {
        eprintln!("usage: stack exec COMMAND [ARGUMENT…]");
        return ExitCode::from(2);
    };
    let stack = Stack::start().await;
    let status = tokio::process::Command::new(program)
        .args(arguments)
        .envs(stack.environment())
        .env("PRIVATE_KEY", stack.github.app().pem)
        .status()
        .await;
    stack.github.assert_nothing_unexpected();
    match status {
        Ok(status) => status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from),
        Err(error) => {
            eprintln!("{program} could not be run: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A GitHub alone, for a stack that runs elsewhere: it says in a line of JSON where it is and what its App is, and then does
/// what each line on its standard input says, answering with a line what the webhook answered.
async fn github() -> ExitCode {
    let github = GitHub::start().await;
    github.create_git_repository(REPOSITORY, &[("README.md", "# app\n")]).await;
    let installation = github.install(ACCOUNT, Selection::All);
    let app = github.app();
    println!(
        "{}",
        json!({"url": github.url(), "app_id": app.id, "pem": app.pem, "fingerprint": app.fingerprint,
            "installation_id": installation, "repository": REPOSITORY})
    );
    for line in std::io::stdin().lines().map_while(Result::ok) {
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        let event = match word {
            "hook" => {
                github.set_hook(rest, "typed into the form");
                github.ping_event()
            }
            "open" => github.open_pull_request(REPOSITORY, NewPullRequest::titled(rest)),
            "merge" => github.merge(REPOSITORY, rest.parse().expect("the number of a pull request")),
            _ => {
                eprintln!("hook URL | open TITLE | merge NUMBER");
                return ExitCode::from(2);
            }
        };
        let record = github.deliver(&event).await;
        let page = &event.payload["pull_request"]["html_url"];
        println!("{}", json!({"status": record.status, "answer": record.body, "pull_request": page}));
    }
    github.assert_nothing_unexpected();
    ExitCode::SUCCESS
}

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
