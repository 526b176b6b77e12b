//! `completions`: what the shells themselves make of the scripts, at a terminal.

use std::path::Path;
use std::process::Command;

use local_aws::lambda::binary;

use crate::harness::agent::CLI;
use crate::harness::terminal;

/// What is typed, with tabs, and what the command is then called with.
const TYPED: [(&str, &str); 5] = [
    ("ta\tmo\t4d9d444d in\t", "task move 4d9d444d in_progress"),
    ("task wa\t4d9d444d --unt\tconf\t", "task wait 4d9d444d --until conflict"),
    ("setup-\t--pu\t", "setup-git --push"),
    ("p\t4d9d444d --dra\t", "pr 4d9d444d --draft"),
    ("configure --rot\tk\t", "configure --rotate key"),
];

fn script(shell: &str) -> String {
    let output = Command::new(binary(CLI)).args(["completions", shell]).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Types into an interactive shell in which the command only says what it was called with. `joint` is what the shell puts between
/// an option and its value.
fn completes(shell: &str, arguments: &[&str], joint: &str, prepare: &str) {
    let folder = tempfile::tempdir().unwrap();
    let home: &Path = folder.path();
    std::fs::write(home.join("prepare"), prepare.replace("SCRIPT", &home.join("script").display().to_string()))
        .unwrap();
    std::fs::write(home.join("script"), script(shell)).unwrap();
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", shell]).args(arguments).env_clear().current_dir(home);
    command.env("HOME", home).env("PATH", std::env::var("PATH").unwrap()).env("TERM", "xterm").env("PS1", "> ");
    command.env("LC_ALL", "C.UTF-8");
    let source = format!(". {}", home.join("prepare").display());
    let lines: Vec<String> = TYPED.iter().map(|(typed, _)| format!("{CLI} {typed}")).collect();
    let mut answers = vec![("> ", source.as_str())];
    let mut awaited = vec!["READY".to_owned()];
    let joined = |called: &str| {
        ["--until ", "--rotate "]
            .iter()
            .fold(called.to_owned(), |called, option| called.replace(option, &format!("{}{joint}", option.trim())))
    };
    awaited.extend(TYPED.iter().map(|(_, called)| format!("CALLED {} END", joined(called))));
    answers.extend(awaited.iter().map(String::as_str).zip(lines.iter().map(String::as_str).chain(["exit"])));
    let (ended, screen) = terminal::converse(command, &answers);
    assert!(ended, "{screen}");
}

#[test]
fn bash_completes_subcommands_options_and_values() {
    let prepare = ". SCRIPT\nkonduktor-github-app() { echo CALLED \"$@\" END; }\necho REA''DY\n";
    completes("bash", &["--norc", "--noprofile", "-i"], " ", prepare);
}

#[test]
// `make test` promises Rust, a C compiler and git alone; `.ci/run` runs this one by itself, and fails where what it needs is missing.
#[ignore = "needs zsh: `make shells`"]
fn zsh_completes_subcommands_options_and_values() {
    let prepare = "autoload -Uz compinit; compinit -u -D; . SCRIPT; compdef _konduktor-github-app konduktor-github-app\n\
                   konduktor-github-app() { echo CALLED \"$@\" END; }\necho REA''DY\n";
    completes("zsh", &["-f", "-i"], "=", prepare);
}
