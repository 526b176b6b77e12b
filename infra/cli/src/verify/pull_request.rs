//! A pull request from its title to its card: the guide's "Test with a pull request", without making one.

use super::report::Failed;
use crate::explain::{self, Outlook};
use crate::output::Progress;
use crate::stack::Stack;
use crate::subject::Subject;

pub(super) async fn check(stack: &Stack, named: &Subject, progress: Progress) -> Result<String, Failed> {
    match explain::outlook(stack, named, progress).await? {
        Outlook::Well(sentence) => Ok(sentence),
        Outlook::Pending(sentence) => Err(Failed::Unproven { seen: sentence }),
        Outlook::Wrong { cause, next } => Err(Failed::new(format!("{named}: {cause}"), next)),
    }
}
