//! An error with its causes, as a log has it.

use crate::redact::redact;

/// What a source may be: anything that can cross a task boundary.
pub type Source = Box<dyn std::error::Error + Send + Sync>;

/// An error and everything below it in one line, for a log. Whatever stands in it, and whoever said it, no token and no key does.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    redact(&text)
}
