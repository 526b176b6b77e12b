//! The machine that an operator sets the App up from: the command line, AWS credentials, and nothing that names the stack.

use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::harness::terminal;
use local_aws::lambda::binary;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use stack::{OPERATOR, Stack};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Child;
use tokio::task::JoinHandle;

use crate::harness::agent::{Agent, CLI, Ended};

/// A machine as [`Agent`] is one, for somebody else; what that one can do, this one can.
pub struct Operator<'a> {
    machine: Agent<'a>,
}

impl<'a> Deref for Operator<'a> {
    type Target = Agent<'a>;

    fn deref(&self) -> &Agent<'a> {
        &self.machine
    }
}

impl DerefMut for Operator<'_> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.machine
    }
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
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
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

    /// Starts a command that goes on while somebody does something else.
    pub fn start(&self, arguments: &[&str]) -> Running {
        let mut command = self.command(&binary(CLI), arguments);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (stdout, stderr) = (Text::default(), Text::default());
        let readers = [
            tokio::spawn(collect(child.stdout.take().unwrap(), Arc::clone(&stdout))),
            tokio::spawn(collect(child.stderr.take().unwrap(), Arc::clone(&stderr))),
        ];
        Running { child, stdout, stderr, readers }
    }

    /// Runs a command at a terminal and types the answers; gives whether it succeeded and what the screen showed.
    pub async fn converse(&self, arguments: &[&str], answers: &[(&str, &str)]) -> (bool, String) {
        let command = self.command(&binary(CLI), arguments).into_std();
        let answers: Vec<(String, String)> =
            answers.iter().map(|(question, answer)| ((*question).to_owned(), (*answer).to_owned())).collect();
        let typed = move || {
            let answers: Vec<(&str, &str)> = answers.iter().map(|(q, a)| (q.as_str(), a.as_str())).collect();
            terminal::converse(command, &answers)
        };
        tokio::task::spawn_blocking(typed).await.unwrap()
    }
}

type Text = Arc<Mutex<String>>;

/// A command under way; it ends when dropped.
pub struct Running {
    child: Child,
    stdout: Text,
    stderr: Text,
    readers: [JoinHandle<()>; 2],
}

impl Running {
    /// Waits until a line with this was written, and gives what follows it there.
    pub async fn shows(&mut self, words: &str) -> String {
        for _ in 0..1200 {
            let both = format!("{}\n{}", self.stdout.lock().unwrap(), self.stderr.lock().unwrap());
            if let Some((_, rest)) = both.split_once(words)
                && let Some((rest, _)) = rest.split_once('\n')
            {
                return rest.trim().to_owned();
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended without {words:?}: {both}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{words:?} was not shown: {}{}", self.stdout.lock().unwrap(), self.stderr.lock().unwrap());
    }

    pub fn press_ctrl_c(&self) {
        let id = self.child.id().and_then(|id| Pid::from_raw(i32::try_from(id).unwrap())).unwrap();
        kill_process(id, Signal::INT).unwrap();
    }

    /// Waits for its end.
    pub async fn ends(mut self) -> Ended {
        let ended = tokio::time::timeout(Duration::from_secs(90), self.child.wait()).await;
        let status = ended.unwrap_or_else(|_| panic!("it goes on: {}", self.stdout.lock().unwrap())).unwrap();
        for reader in self.readers {
            reader.await.unwrap();
        }
        let text = |text: &Text| text.lock().unwrap().clone();
        Ended { ok: status.success(), code: status.code(), stdout: text(&self.stdout), stderr: text(&self.stderr) }
    }
}

async fn collect(mut pipe: impl AsyncRead + Unpin, text: Text) {
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = pipe.read(&mut bytes).await {
        text.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
}
