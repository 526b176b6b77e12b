//! The page of `board`, by the command itself, beside the local stack.

use std::process::Stdio;

use local_aws::lambda::binary;
use stack::Stack;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A page that is served; it ends when dropped.
pub(crate) struct Page {
    pub(crate) url: String,
    _command: Child,
}

impl Page {
    /// Serves it for people who have credentials of the local AWS alone.
    pub(crate) async fn serve(stack: &Stack) -> Result<Self, String> {
        let mut command = Command::new(binary("konduktor-github-app"));
        command.arg("board").envs(stack.environment()).env_remove("AWS_PROFILE").kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut command = command.spawn().map_err(|error| format!("board cannot be started: {error}"))?;
        let mut lines = command.stdout.take().map(|stdout| BufReader::new(stdout).lines()).ok_or("board is silent")?;
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, url)) = line.split_once("is on this page: ") {
                return Ok(Self { url: url.trim().to_owned(), _command: command });
            }
        }
        Err("board ended".to_owned())
    }
}
