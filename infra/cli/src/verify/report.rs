//! What the checks found, for people line by line, for programs as one JSON object.

use serde::Serialize;
use serde_json::json;

use crate::failure::{Failure, one_line};
use crate::output::{self, Style, Terminal};

/// The longest name of a check.
const WIDEST: usize = "webhook-secret-at-github".len();

/// Why a check does not hold.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) seen: String,
    pub(super) next: String,
    /// Whether something was seen that does not hold; otherwise it could not be looked at.
    was_seen: bool,
}

impl Failed {
    pub(super) fn new(seen: impl Into<String>, next: impl Into<String>) -> Self {
        Self { seen: seen.into(), next: next.into(), was_seen: true }
    }
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { seen: "could not be looked at".to_owned(), next: failure.to_string(), was_seen: false }
    }
}

/// What a check saw and what it has for the checks that need it.
pub(super) type Found<T> = Result<(String, T), Failed>;

/// What an earlier check gave.
pub(super) type Given<T> = Result<T, Lacking>;

/// The earlier check that gave nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lacking {
    check: &'static str,
    /// See [`Failed::was_seen`].
    pub(super) was_seen: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Failed,
    Skipped,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    seen: Option<String>,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    /// The check that failed and that this one needs.
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<&'static str>,
}

pub(super) struct Report {
    json: bool,
    terminal: Option<Terminal>,
    checks: Vec<Check>,
    /// Standard output, once it could not be written.
    unwritable: Option<Failure>,
}

impl Report {
    pub(super) fn new(json: bool) -> Self {
        Self { json, terminal: Terminal::of_stdout(), checks: Vec::new(), unwritable: None }
    }

    /// Carries a check out, or skips it where what it needs is not there.
    pub(super) async fn check<N>(
        &mut self,
        name: &'static str,
        needs: Given<N>,
        check: impl AsyncFnOnce(N) -> Result<String, Failed>,
    ) {
        match needs {
            Ok(needs) => self.add(name, check(needs).await),
            Err(lacking) => {
                let _: Given<()> = self.skip(name, lacking);
            }
        }
    }

    /// The same for a check whose finding others need.
    pub(super) async fn check_for<N, T>(
        &mut self,
        name: &'static str,
        needs: Given<N>,
        check: impl AsyncFnOnce(N) -> Found<T>,
    ) -> Given<T> {
        match needs {
            Ok(needs) => self.learn(name, check(needs).await),
            Err(lacking) => self.skip(name, lacking),
        }
    }

    pub(super) fn add(&mut self, name: &'static str, outcome: Result<String, Failed>) {
        let _: Given<()> = self.learn(name, outcome.map(|seen| (seen, ())));
    }

    pub(super) fn learn<T>(&mut self, name: &'static str, found: Found<T>) -> Given<T> {
        match found {
            Ok((seen, value)) => {
                self.push(Check { name, verdict: Verdict::Ok, seen: Some(seen), next: None, needs: None });
                Ok(value)
            }
            Err(Failed { seen, next, was_seen }) => {
                self.push(Check { name, verdict: Verdict::Failed, seen: Some(seen), next: Some(next), needs: None });
                Err(Lacking { check: name, was_seen })
            }
        }
    }

    pub(super) fn skip<T>(&mut self, name: &'static str, lacking: Lacking) -> Given<T> {
        let needs = Some(lacking.check);
        self.push(Check { name, verdict: Verdict::Skipped, seen: None, next: None, needs });
        Err(lacking)
    }

    fn push(&mut self, mut check: Check) {
        check.seen = check.seen.map(|seen| one_line(&seen));
        check.next = check.next.map(|next| one_line(&next));
        if !self.json {
            self.write(&self.lines(&check));
        }
        self.checks.push(check);
    }

    fn lines(&self, check: &Check) -> String {
        let (mark, style) = match check.verdict {
            Verdict::Ok => ("✓", Style::Plain),
            Verdict::Failed => ("✗", Style::Alarming),
            Verdict::Skipped => ("–", Style::Faint),
        };
        let seen = match check.needs {
            Some(needs) => format!("skipped, it needs {needs}"),
            None => check.seen.clone().unwrap_or_default(),
        };
        let mut lines = format!("{}\n", self.paint(&format!("{mark} {:<WIDEST$}  {seen}", check.name), style));
        if let Some(next) = &check.next {
            lines.push_str(&format!("{:indent$}→ {next}\n", "", indent = WIDEST + 4));
        }
        lines
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
        let of = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        let (all, ok, skipped) = (self.checks.len(), of(Verdict::Ok), of(Verdict::Skipped));
        let failed = self.checks.iter().filter(|check| check.verdict == Verdict::Failed);
        let failed: Vec<&str> = failed.map(|check| check.name).collect();
        let verdict = match failed.as_slice() {
            [] => Ok(()),
            names => Err(Failure::new(format!("{} of {all} checks failed: {}", names.len(), names.join(", ")))),
        };
        let last = if self.json {
            output::json_line(&json!({"ok": verdict.is_ok(), "checks": self.checks}).to_string()).to_string()
        } else {
            let counted = format!("{all} checks: {ok} ok, {} failed, {skipped} skipped", failed.len());
            format!("{}\n", self.paint(&counted, Style::Strong))
        };
        self.write(&last);
        self.unwritable.map_or(verdict, Err)
    }
}
