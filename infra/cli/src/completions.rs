//! `completions`: what a shell needs to complete this command.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::{NAME, output};

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app completions bash \\
    > ~/.local/share/bash-completion/completions/konduktor-github-app
  konduktor-github-app completions zsh > \"${fpath[1]}/_konduktor-github-app\"
  konduktor-github-app completions fish \\
    > ~/.config/fish/completions/konduktor-github-app.fish";

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    shell: Shell,
}

/// The command's name in bash's script, but for its last lines: clap_complete makes labels of the name, and of one with a hyphen
/// it makes two that differ, so that nothing is completed after the first word.
const WITHOUT_HYPHENS: &str = "konduktor_github_app";

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    output::write(script(arguments.shell))
}

fn script(shell: Shell) -> String {
    let name = if shell == Shell::Bash { WITHOUT_HYPHENS } else { NAME };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::Arguments::command(), name, &mut script);
    let script = String::from_utf8_lossy(&script);
    let lines = script.lines().map(|line| {
        // What the script is registered for is the command as it is typed.
        let registers = line.trim_start().strip_prefix("complete ").and_then(|line| line.strip_suffix(WITHOUT_HYPHENS));
        match registers {
            Some(line) => format!("    complete {line}{NAME}\n"),
            None => format!("{line}\n"),
        }
    });
    lines.collect()
}
