//! `--help`, at a terminal.

use std::process::Command;

use local_aws::lambda::binary;
use unicode_width::UnicodeWidthStr;

use crate::harness::agent::CLI;
use crate::harness::terminal;

const COMMANDS: [&[&str]; 19] = [
    &[],
    &["board"],
    &["completions"],
    &["configure"],
    &["create"],
    &["credential"],
    &["explain"],
    &["pr"],
    &["setup-git"],
    &["task"],
    &["task", "create"],
    &["task", "list"],
    &["task", "move"],
    &["task", "show"],
    &["task", "start"],
    &["task", "tag"],
    &["task", "wait"],
    &["token"],
    &["verify"],
];

fn help(arguments: &[&str], flag: &str, columns: u16) -> String {
    let mut command = Command::new(binary(CLI));
    command.args(arguments).arg(flag).env("NO_COLOR", "1");
    terminal::run(command, columns)
}

#[test]
fn help_fits_the_terminal_and_a_line_that_goes_on_stands_below_its_beginning() {
    for columns in [80, 200] {
        for arguments in COMMANDS {
            for flag in ["-h", "--help"] {
                let text = help(arguments, flag, columns);
                for line in text.lines() {
                    assert!(line.width() <= usize::from(columns), "{arguments:?} at {columns}: {line:?}");
                }
            }
        }
    }
    let text = help(&["task", "list"], "--help", 80);
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.contains("Only tasks that a branch")).unwrap();
    let indent = |line: &str| line.find(|c| c != ' ');
    assert_eq!((indent(lines[at]), indent(lines[at + 1])), (Some(10), Some(10)), "{text}");
}

/// What stands behind the options.
fn examples(arguments: &[&str], columns: u16) -> String {
    let text = help(arguments, "--help", columns);
    text.split_once("--region <REGION>").unwrap_or_else(|| panic!("{arguments:?}: {text}")).1.to_owned()
}

#[test]
fn no_example_is_broken_at_80_columns() {
    for arguments in COMMANDS {
        assert_eq!(examples(arguments, 80), examples(arguments, 200), "{arguments:?}");
    }
}

#[test]
fn what_every_command_takes_for_aws_stands_last_under_a_heading_of_its_own() {
    for arguments in COMMANDS {
        let text = help(arguments, "--help", 100);
        let (own, aws) = text.split_once("\nAWS:\n").unwrap_or_else(|| panic!("{arguments:?}: {text}"));
        assert!(!own.contains("--profile <NAME>") && !own.contains("--region <REGION>"), "{arguments:?}: {text}");
        assert!(aws.contains("--profile <NAME>") && aws.contains("--region <REGION>"), "{arguments:?}: {text}");
        assert!(!aws.contains("Options:") && !aws.contains("Commands:"), "{arguments:?}: {aws}");
    }
}
