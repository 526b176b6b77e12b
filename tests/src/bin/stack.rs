//! `stack demo | run | bench FOLDER | exec COMMAND`: the local stack from a terminal.

#![allow(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a command reads its arguments and prints for people"
)]

use std::process::ExitCode;

use tests::stack::Stack;
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
        Some("exec") => exec(&arguments.collect::<Vec<_>>()).await,
        _ => {
            eprintln!("usage: stack demo | stack run | stack bench FOLDER | stack exec COMMAND [ARGUMENT…]");
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

fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}
