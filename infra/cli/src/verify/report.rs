//! What the checks found, for people line by line, for programs as one JSON object.

use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{self, Style, Terminal};
use crate::text::{hanging, redacted_line};

/// The longest name of a check.
const WIDEST: usize = "webhook-secret-at-github".len();

/// What became of a check that does not hold.
#[derive(Debug)]
pub(super) enum Failed {
    /// Something was seen that does not hold.
    Seen { seen: String, next: String },
    /// It could not be looked at; what to do about that.
    Unseen { next: String },
    /// Nothing speaks against it, and nothing has shown it yet.
    Unproven { seen: String },
    /// It was not looked at, because a check that it needs did not hold.
    Needs(Lacking),
}

impl Failed {
    pub(super) fn new(seen: impl Into<String>, next: impl Into<String>) -> Self {
        Self::Seen { seen: seen.into(), next: next.into() }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self::Unseen { next: failure.to_string() }
    }
}

/// What a check saw and what it has for the checks that need it.
pub(super) type Found<T> = Result<(String, T), Failed>;

/// What an earlier check gave. A check that needs it asks for it with `?`, and is skipped where it is not there.
pub(super) type Given<T> = Result<T, Lacking>;

/// The earlier check that gave nothing: the first in a row of those that need each other.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lacking {
    check: &'static str,
    /// Whether something was seen that does not hold; otherwise it could not be looked at.
    pub(super) was_seen: bool,
}

impl From<Lacking> for Failed {
    fn from(lacking: Lacking) -> Self {
        Self::Needs(lacking)
    }
}

impl From<&Lacking> for Failed {
    fn from(lacking: &Lacking) -> Self {
        Self::Needs(*lacking)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verdict {
    Ok,
    Failed,
    Unproven,
    Skipped,
}

impl Verdict {
    /// What stands before a check, and what it means.
    pub(crate) fn mark(self) -> (&'static str, &'static str) {
        match self {
            Self::Ok => ("✓", "ok"),
            Self::Failed => ("✗", "failed"),
            Self::Unproven => ("○", "not proven yet"),
            Self::Skipped => ("–", "skipped"),
        }
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) seen: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// The check that failed and that this one needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) needs: Option<&'static str>,
}

/// How many checks there are of each verdict, in words.
pub(crate) fn counted(checks: &[Check]) -> String {
    let of = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let unproven = match of(Verdict::Unproven) {
        0 => String::new(),
        count => format!(", {count} not proven yet"),
    };
    let (ok, failed, skipped) = (of(Verdict::Ok), of(Verdict::Failed), of(Verdict::Skipped));
    format!("{} checks: {ok} ok, {failed} failed, {skipped} skipped{unproven}", checks.len())
}

pub(super) struct Report {
    json: bool,
    terminal: Option<Terminal>,
    pub(super) checks: Vec<Check>,
    /// Standard output, once it could not be written.
    unwritable: Option<Failure>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, terminal: Terminal::of_stdout(), checks: Vec::new(), unwritable: None }
    }

    /// Carries a check out and writes down what came of it.
    pub(super) async fn check(&mut self, name: &'static str, check: impl Future<Output = Result<String, Failed>>) {
        let _: Given<()> = self.learn(name, async { check.await.map(|seen| (seen, ())) }).await;
    }

    /// The same for a check whose finding others need.
    pub(super) async fn learn<T>(&mut self, name: &'static str, check: impl Future<Output = Found<T>>) -> Given<T> {
        let (verdict, seen, next, given) = match check.await {
            Ok((seen, value)) => (Verdict::Ok, Some(seen), None, Ok(value)),
            Err(Failed::Seen { seen, next }) => {
                (Verdict::Failed, Some(seen), Some(next), Err(Lacking { check: name, was_seen: true }))
            }
            Err(Failed::Unseen { next }) => {
                let seen = "could not be looked at".to_owned();
                (Verdict::Failed, Some(seen), Some(next), Err(Lacking { check: name, was_seen: false }))
            }
            Err(Failed::Unproven { seen }) => {
                (Verdict::Unproven, Some(seen), None, Err(Lacking { check: name, was_seen: false }))
            }
            Err(Failed::Needs(lacking)) => (Verdict::Skipped, None, None, Err(lacking)),
        };
        let needs = given.as_ref().err().map(|lacking| lacking.check).filter(|_| verdict == Verdict::Skipped);
        self.push(Check { name, verdict, seen, next, needs });
        given
    }

    fn push(&mut self, mut check: Check) {
        check.seen = check.seen.map(|seen| redacted_line(&seen));
        check.next = check.next.map(|next| redacted_line(&next));
        if !self.json && check.verdict != Verdict::Skipped {
            self.write(&self.lines(&check));
        }
        self.checks.push(check);
    }

    fn lines(&self, check: &Check) -> String {
        let style = match check.verdict {
            Verdict::Failed => Style::Alarming,
            Verdict::Unproven | Verdict::Skipped => Style::Faint,
            Verdict::Ok => Style::Plain,
        };
        let seen = check.seen.as_deref().unwrap_or_default();
        let mut lines = self.line(check.verdict, check.name, seen, style);
        if let Some(next) = &check.next {
            lines.push_str(&hanging(&format!("{:indent$}→ ", "", indent = WIDEST + 4), next, self.columns()));
        }
        lines
    }

    fn line(&self, verdict: Verdict, name: &str, text: &str, style: Style) -> String {
        let (mark, _) = verdict.mark();
        let line = hanging(&format!("{mark} {name:<WIDEST$}  "), text, self.columns());
        format!("{}\n", self.paint(line.trim_end(), style))
    }

    /// What was skipped, a line for each check that it needs: where the first one fails, most of the list is that.
    fn skipped(&self) -> String {
        let mut needed = Vec::<(&str, Vec<&str>)>::new();
        for check in &self.checks {
            let Some(needs) = check.needs else { continue };
            match needed.iter_mut().find(|(known, _)| *known == needs) {
                Some((_, names)) => names.push(check.name),
                None => needed.push((needs, vec![check.name])),
            }
        }
        let line = |(needs, names): &(&str, Vec<&str>)| {
            let text = format!("because {needs} did not pass: {}", names.join(", "));
            self.line(Verdict::Skipped, &format!("{} skipped", names.len()), &text, Style::Faint)
        };
        needed.iter().map(line).collect()
    }

    fn columns(&self) -> Option<usize> {
        self.terminal.map(|terminal| terminal.columns)
    }

    fn paint(&self, text: &str, style: Style) -> String {
        self.terminal.map_or_else(|| text.to_owned(), |terminal| terminal.paint(text, style))
    }

    /// The checks go on without a reader: the exit status is an answer too.
    fn write(&mut self, text: &str) {
        if let Err(failure) = output::write(text) {
            self.unwritable.get_or_insert(failure);
        }
    }

    pub(super) fn finish(mut self) -> Result<(), Failure> {
        let all = self.checks.len();
        let failed = self.checks.iter().filter(|check| check.verdict == Verdict::Failed);
        let failed: Vec<&str> = failed.map(|check| check.name).collect();
        let verdict = match failed.as_slice() {
            [] => Ok(()),
            names => Err(Failure::new(format!("{} of {all} checks failed: {}", names.len(), names.join(", ")))),
        };
        let last = if self.json {
            output::json_line(&json!({"ok": verdict.is_ok(), "checks": self.checks}).to_string()).to_string()
        } else {
            format!("{}{}\n", self.skipped(), self.paint(&counted(&self.checks), Style::Strong))
        };
        self.write(&last);
        self.unwritable.map_or(verdict, Err)
    }
}
