//! What the functions write.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::Notify,
};

/// How many lines are kept, so that a long run does not fill the memory.
const KEPT: usize = 100_000;

/// What the terminal shows of a function's line.
pub type Echo = fn(&str, &str) -> Option<String>;

/// The lines of all functions, in the order they arrived.
#[derive(Default)]
pub(super) struct Logs {
    lines: Mutex<VecDeque<(String, String)>>,
    added: Notify,
    echo: OnceLock<Echo>,
}

impl Logs {
    /// Collects what a process writes to one of its streams, until it closes.
    pub(super) fn follow(self: &Arc<Self>, function: &str, output: Option<impl AsyncRead + Send + Unpin + 'static>) {
        let Some(output) = output else { return };
        let (logs, function) = (Arc::clone(self), function.to_owned());
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).split(b'\n');
            while let Ok(Some(line)) = lines.next_segment().await {
                logs.add(&function, String::from_utf8_lossy(&line).into_owned());
            }
        });
    }

    fn add(&self, function: &str, line: String) {
        if let Some(shown) = self.echo.get().and_then(|echo| echo(function, &line)) {
            println!("{shown}");
        }
        let mut lines = self.lines();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back((function.to_owned(), line));
        drop(lines);
        self.added.notify_waiters();
    }

    fn lines(&self) -> MutexGuard<'_, VecDeque<(String, String)>> {
        self.lines.lock().expect("nothing panics while it holds the lines")
    }

    pub(super) fn echo(&self, echo: Echo) {
        self.echo.get_or_init(|| echo);
    }

    pub(super) fn all(&self) -> Vec<(String, String)> {
        self.lines().iter().cloned().collect()
    }

    pub(super) fn of(&self, function: &str) -> Vec<String> {
        let lines = self.lines();
        lines.iter().filter(|(writer, _)| writer == function).map(|(_, line)| line.clone()).collect()
    }

    pub(super) async fn wait_for(&self, function: &str, matches: impl Fn(&str) -> bool) -> String {
        let found = async {
            loop {
                // Registered before the look: a line that arrives between the two would else be missed.
                let added = self.added.notified();
                tokio::pin!(added);
                added.as_mut().enable();
                if let Some(line) = self.of(function).into_iter().find(|line| matches(line)) {
                    return line;
                }
                added.await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(10), found).await {
            Ok(line) => line,
            Err(_) => panic!("{function} wrote no such line; it wrote {:#?}", self.of(function)),
        }
    }
}
