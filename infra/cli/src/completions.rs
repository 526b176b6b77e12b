//! `completions`: what a shell needs to complete this command.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::{NAME, output};

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app completions bash > ~/.local/share/bash-completion/completions/konduktor-github-app
  konduktor-github-app completions zsh > \"${fpath[1]}/_konduktor-github-app\"
  konduktor-github-app completions fish > ~/.config/fish/completions/konduktor-github-app.fish";

/// Print the completions of a shell
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut crate::Arguments::command(), NAME, &mut script);
    output::write(script)
}
