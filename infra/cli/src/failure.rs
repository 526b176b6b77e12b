//! What a user is told when a command fails: one line that says what to do next.

use std::error::Error;
use std::fmt;

use crate::text::redacted_line;

/// One line for standard error. It never holds a token, whoever's words it repeats.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(line: impl AsRef<str>) -> Self {
        Self(redacted_line(line.as_ref()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<adapters::Error> for Failure {
    fn from(error: adapters::Error) -> Self {
        Self::new(error.chain())
    }
}

/// The end of the chain of causes: what wraps it only repeats that something failed, and this says why.
pub(crate) fn deepest(error: &(dyn Error + 'static)) -> String {
    chain(error).last().map(ToString::to_string).unwrap_or_default()
}

pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}
