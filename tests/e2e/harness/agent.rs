//! A machine that an agent works on: git and the command line, with a home folder of their own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use local_aws::lambda::binary;
use stack::{AGENT, CLIENT, OPERATOR, Stack};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

pub const CLI: &str = "konduktor-github-app";
const HELPER: &str = "!konduktor-github-app credential";

pub struct Agent<'a> {
    stack: &'a Stack,
    home: TempDir,
    environment: BTreeMap<String, String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub ok: bool,
    /// The exit status; `None` for a command that a signal ended.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("commands write UTF-8");
        Self {
            ok: output.status.success(),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// What a command that worked printed.
    pub fn printed(self) -> String {
        assert!(self.ok && self.stderr.is_empty(), "{self:?}");
        self.stdout
    }

    /// The one line that a command that failed wrote on standard error, and nothing else but git's word to ask nobody else.
    pub fn advice(self) -> String {
        assert!(!self.ok && ["", "quit=1\n"].contains(&&*self.stdout), "{self:?}");
        let line = self.stderr.strip_prefix("konduktor-github-app: ").expect("the line says who speaks");
        let line = line.strip_suffix('\n').expect("the line ends").to_owned();
        assert!(!line.contains('\n') && !line.is_empty(), "{line}");
        line
    }
}

impl<'a> Agent<'a> {
    /// An agent whose git asks the helper for the stack's GitHub.
    pub fn new(stack: &'a Stack) -> Self {
        let home = tempfile::tempdir().unwrap();
        let commands = binary(CLI).parent().unwrap().display().to_string();
        let path = format!("{commands}:{}", std::env::var("PATH").unwrap());
        let own = [
            ("PATH", path),
            ("HOME", home.path().display().to_string()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("AWS_ACCESS_KEY_ID", CLIENT.to_owned()),
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
            ("GIT_CONFIG_NOSYSTEM", "1".to_owned()),
            ("GIT_CONFIG_GLOBAL", home.path().join("gitconfig").display().to_string()),
            ("GIT_TERMINAL_PROMPT", "0".to_owned()),
            // Every process that git starts, with its arguments.
            ("GIT_TRACE2_EVENT", home.path().join("trace").display().to_string()),
        ];
        let of_stack = stack.environment().into_iter().filter(|(name, _)| {
            name.starts_with("AWS_") || ["GITHUB_API_URL", "TASKS_TABLE", "TOKEN_FUNCTION"].contains(name)
        });
        let environment = of_stack.chain(own).map(|(name, value)| (name.to_owned(), value)).collect();
        let agent = Self { stack, home, environment };
        agent.configure(HELPER, false);
        agent
    }

    /// Writes git's global configuration.
    pub fn configure(&self, helper: &str, use_http_path: bool) {
        let url = self.stack.github.url();
        let text = format!(
            "[user]\n\tname = Agent\n\temail = agent@example.com\n[init]\n\tdefaultBranch = main\n\
             [credential \"{url}\"]\n\thelper = {helper}\n\tuseHttpPath = {use_http_path}\n"
        );
        std::fs::write(self.home.path().join("gitconfig"), text).unwrap();
    }

    /// Sets a variable of every command from now on; an empty one is taken away.
    pub fn set(&mut self, name: &str, value: &str) {
        if value.is_empty() {
            self.environment.remove(name);
        } else {
            self.environment.insert(name.to_owned(), value.to_owned());
        }
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    pub fn url(&self, repository: &str) -> String {
        format!("{}/{repository}.git", self.stack.github.url())
    }

    /// Runs git in a folder of the home folder.
    pub async fn git(&self, folder: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(Path::new("git"), arguments);
        run(command.current_dir(self.path(folder)), "").await
    }

    /// Runs the command line.
    pub async fn cli(&self, arguments: &[&str]) -> Ended {
        self.cli_with(arguments, "").await
    }

    /// Runs the command line in a folder of the home folder.
    pub async fn cli_in(&self, folder: &str, arguments: &[&str]) -> Ended {
        let mut command = self.command(&binary(CLI), arguments);
        run(command.current_dir(self.path(folder)), "").await
    }

    /// Runs the command line with this on its standard input.
    pub async fn cli_with(&self, arguments: &[&str], input: &str) -> Ended {
        run(&mut self.command(&binary(CLI), arguments), input).await
    }

    /// Runs as an agent what agents run, and as an operator every other subcommand, unless a test set another key.
    pub fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(&self.environment).current_dir(self.home.path()).kill_on_drop(true);
        let for_agents = program == Path::new("git") || matches!(arguments.first(), Some(&("credential" | "token")));
        let on_the_board = matches!(arguments, ["pr" | "setup-git", ..] | ["task", "start" | "wait", ..]);
        if on_the_board && self.environment.get("AWS_ACCESS_KEY_ID").is_some_and(|key| key == CLIENT) {
            command.env("AWS_ACCESS_KEY_ID", AGENT);
        } else if !for_agents && self.environment.get("AWS_ACCESS_KEY_ID").is_some_and(|key| key == CLIENT) {
            command.env("AWS_ACCESS_KEY_ID", OPERATOR);
        }
        command
    }

    /// Fails if anything that git left behind or passed to a process as an argument holds a token.
    pub fn assert_no_token_was_left(&self, outputs: &[&Ended]) {
        let minted = self.stack.github.minted();
        assert!(!minted.is_empty(), "there was no token that could have been left");
        let trace = std::fs::read_to_string(self.path("trace")).unwrap();
        assert!(trace.contains("credential"), "the trace has the helper's own command line");
        let mut files = Vec::new();
        collect(self.home.path(), &mut files);
        for token in minted.iter().map(|minted| minted.token.as_bytes()) {
            for (path, content) in &files {
                let found = content.windows(token.len()).any(|window| window == token);
                assert!(!found, "{} holds a token", path.display());
            }
            for output in outputs {
                let text = format!("{}{}", output.stdout, output.stderr);
                assert!(!text.as_bytes().windows(token.len()).any(|window| window == token), "{text}");
            }
        }
    }
}

async fn run(command: &mut Command, input: &str) -> Ended {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that reads nothing has closed its input by now.
    let _ = stdin.write_all(input.as_bytes()).await;
    drop(stdin);
    Ended::of(child.wait_with_output().await.unwrap())
}

fn collect(folder: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.is_file() {
            files.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
}
