//! `completions`: what a shell needs to complete this command.

use std::time::Duration;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::aws::Account;
use crate::failure::Failure;
use crate::{NAME, output, task};

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app completions bash \\
    > ~/.local/share/bash-completion/completions/konduktor-github-app
  konduktor-github-app completions zsh > \"${fpath[1]}/_konduktor-github-app\"
  konduktor-github-app completions fish \\
    > ~/.config/fish/completions/konduktor-github-app.fish";

/// Print the completions of a shell
///
/// They know the ids of the tasks that are not done, too, where the table answers within a second.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[arg(required_unless_present = "tasks")]
    shell: Option<Shell>,
    /// What the scripts call: the tasks that are not done, each with its title behind a tab
    #[arg(long, hide = true)]
    tasks: bool,
}

/// The command's name in bash's script, but for its last lines: clap_complete makes labels of the name, and of one with a hyphen
/// it makes two that differ, so that nothing is completed after the first word.
const WITHOUT_HYPHENS: &str = "konduktor_github_app";

/// Who presses a key waits no longer.
const PATIENCE: Duration = Duration::from_secs(1);

pub(crate) async fn run(arguments: &Arguments, account: &Account) -> Result<(), Failure> {
    match arguments.shell {
        Some(shell) if !arguments.tasks => output::write(script(shell)),
        // Whatever is in the way: a key that completes nothing says so itself.
        _ => match tokio::time::timeout(PATIENCE, task::named(account)).await {
            Ok(Ok(lines)) => output::write(lines),
            _ => Ok(()),
        },
    }
}

fn script(shell: Shell) -> String {
    let name = if shell == Shell::Bash { WITHOUT_HYPHENS } else { NAME };
    let mut command = crate::Arguments::command();
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command, name, &mut script);
    let script = String::from_utf8_lossy(&script);
    match shell {
        Shell::Bash => bash(&script, &command),
        Shell::Zsh => zsh(&script),
        Shell::Fish => fish(&script, &command),
        _ => script.into_owned(),
    }
}

/// Every subcommand with the words that lead to it, such as `task show`.
fn subcommands<'a>(command: &'a clap::Command, path: &str) -> Vec<(String, &'a clap::Command)> {
    let mut found = Vec::new();
    for command in command.get_subcommands().filter(|command| command.get_name() != "help") {
        let path = format!("{path} {}", command.get_name());
        found.push((path.trim().to_owned(), command));
        found.extend(subcommands(command, &path));
    }
    found
}

fn takes_task(argument: &clap::Arg) -> bool {
    argument.is_positional() && ["task", "subject"].contains(&argument.get_id().as_str())
}

fn bash(script: &str, command: &clap::Command) -> String {
    let (functions, registration) = script.split_once("\nif [[ \"${BASH_VERSINFO").unwrap_or((script, ""));
    let takers = subcommands(command, "").into_iter().filter(|(_, command)| command.get_positionals().any(takes_task));
    let words: Vec<_> = takers.map(|(path, _)| format!("*\" {path} \"")).collect();
    // What the script is registered for is the command as it is typed.
    let registration =
        registration.replace(&format!("-F _{WITHOUT_HYPHENS} "), &format!("-F _{WITHOUT_HYPHENS}_or_task "));
    let registration = registration.replace(&format!(" {WITHOUT_HYPHENS}\n"), &format!(" {NAME}\n"));
    format!(
        "{functions}
_{WITHOUT_HYPHENS}_or_task() {{
    _{WITHOUT_HYPHENS} \"$@\"
    local cur=${{COMP_WORDS[COMP_CWORD]}} tasks
    [[ $cur == -* ]] && return
    case \" ${{COMP_WORDS[*]:1:COMP_CWORD-1}} \" in
        {})
            tasks=$({NAME} completions --tasks 2>/dev/null | cut -f1)
            [[ -n $tasks ]] && COMPREPLY=($(compgen -W \"$tasks\" -- \"$cur\"))
            ;;
    esac
}}

if [[ \"${{BASH_VERSINFO{registration}",
        words.join("|")
    )
}

fn zsh(script: &str) -> String {
    let tasks = format!(
        "_{WITHOUT_HYPHENS}_tasks() {{
    local -a tasks
    tasks=(${{(f)\"$({NAME} completions --tasks 2>/dev/null)\"}})
    tasks=(${{tasks/$'\\t'/:}})
    _describe -V task tasks
}}

"
    );
    let mut told = String::new();
    for line in script.split_inclusive('\n') {
        if line.starts_with("_konduktor-github-app() {") {
            told.push_str(&tasks);
        }
        let takes = ["':task -- ", "':subject -- ", "'--task="].iter().any(|start| line.starts_with(start));
        let line =
            if takes { line.replace(":_default'", &format!(":_{WITHOUT_HYPHENS}_tasks'")) } else { line.to_owned() };
        told.push_str(&line);
    }
    told
}

/// clap_complete tells fish of no value that stands without an option.
fn fish(script: &str, command: &clap::Command) -> String {
    let mut told = script.to_owned();
    let tasks = format!("({NAME} completions --tasks 2>/dev/null)");
    for (path, command) in subcommands(command, "") {
        for (at, argument) in command.get_positionals().enumerate() {
            let values: Vec<_> =
                argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
            let offered = if takes_task(argument) { tasks.clone() } else { values.join(" ") };
            if offered.is_empty() {
                continue;
            }
            // The command, its subcommands, and the values before this one.
            let words = 1 + path.split(' ').count() + at;
            told.push_str(&format!(
                "complete -c {NAME} -n 'test (count (commandline -opc)) -eq {words}; and string match -q -- \"{NAME} {path}*\" \
                 (string join \" \" -- (commandline -opc))' -k -f -a '{offered}'\n"
            ));
        }
    }
    told
}
