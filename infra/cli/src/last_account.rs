//! Which AWS account was written to last, so that another one is not by mistake: profiles and variables choose it out of sight.
//!
//! Kept in `XDG_STATE_HOME`, else `~/.local/state`, and nowhere else; where it cannot be kept, nothing is asked.

use std::fs;
use std::path::PathBuf;

use adapters::config::Variables;

use crate::failure::Failure;
use crate::output::Progress;
use crate::prompt;
use crate::stack::Stack;

/// Says where a command is about to write, and asks if that is another account than the last time.
pub(crate) fn confirm(stack: &Stack, yes: bool, progress: Progress) -> Result<(), Failure> {
    let Stack { name, account, session, .. } = stack;
    progress.say(&format!("Stack {name} in the AWS account {account}, {}.", session.region));
    let Some(file) = file() else { return Ok(()) };
    let last = fs::read_to_string(&file).ok().map(|last| last.trim().to_owned()).filter(|last| !last.is_empty());
    if let Some(last) = last.filter(|last| last != account) {
        let question = format!("The last time it was the account {last}. Go on in {account}?");
        prompt::confirm(&question, yes, progress)?;
    }
    // A folder that is read-only asks nobody the next time; it keeps nobody from working either.
    let kept = file.parent().map(fs::create_dir_all).transpose().and_then(|_| fs::write(&file, format!("{account}\n")));
    drop(kept);
    Ok(())
}

fn file() -> Option<PathBuf> {
    let mut variables = Variables::default();
    let state = variables.optional("XDG_STATE_HOME").map(PathBuf::from);
    let home = || variables.optional("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    Some(state.filter(|folder| folder.is_absolute()).or_else(home)?.join(crate::NAME).join("last-account"))
}
