//! The machine that an operator sets the App up from: the command line, AWS credentials, and nothing that names the stack.

use std::path::PathBuf;

use serde_json::Value;
use tests::lambda::binary;
use tests::stack::{OPERATOR, Stack};
use tests::terminal;

use crate::agent::{Agent, CLI, Ended};

pub struct Operator<'a> {
    pub machine: Agent<'a>,
}

impl<'a> Operator<'a> {
    pub fn new(stack: &'a Stack) -> Self {
        let mut machine = Agent::new(stack);
        for name in ["GITHUB_API_URL", "TASKS_TABLE", "TOKEN_FUNCTION"] {
            machine.set(name, "");
        }
        machine.set("AWS_ACCESS_KEY_ID", OPERATOR);
        Self { machine }
    }

    /// Writes a file into the home folder.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.machine.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    pub async fn cli(&self, arguments: &[&str]) -> Ended {
        self.machine.cli(arguments).await
    }

    /// The JSON that a command printed; what it said meanwhile went to standard error.
    pub async fn json(&self, arguments: &[&str]) -> Value {
        let ended = self.cli(&[arguments, &["--json"]].concat()).await;
        assert!(ended.ok, "{ended:?}");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|_| panic!("{ended:?}"))
    }

    /// The last line of a command that failed, which says what to do.
    pub async fn refused(&self, arguments: &[&str]) -> String {
        let ended = self.cli(arguments).await;
        assert!(!ended.ok, "{ended:?}");
        let last = ended.stderr.lines().last().unwrap_or_default();
        last.strip_prefix("konduktor-github-app: ").unwrap_or_else(|| panic!("{ended:?}")).to_owned()
    }

    /// Runs a command at a terminal and types the answers; gives whether it succeeded and what the screen showed.
    pub async fn converse(&self, arguments: &[&str], answers: &[(&str, &str)]) -> (bool, String) {
        let command = self.machine.command(&binary(CLI), arguments).into_std();
        let answers: Vec<(String, String)> =
            answers.iter().map(|(question, answer)| ((*question).to_owned(), (*answer).to_owned())).collect();
        let typed = move || {
            let answers: Vec<(&str, &str)> = answers.iter().map(|(q, a)| (q.as_str(), a.as_str())).collect();
            terminal::converse(command, &answers)
        };
        tokio::task::spawn_blocking(typed).await.unwrap()
    }
}
