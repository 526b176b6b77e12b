//! git, asked about the folder that the command runs in.

use std::process::{Command, Stdio};

use crate::failure::Failure;

/// What git prints, `None` if it fails: these are questions, and a no is an answer.
pub(crate) fn git(arguments: &[&str]) -> Result<Option<String>, Failure> {
    let output = Command::new("git").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output();
    let output = output.map_err(|error| Failure::new(format!("git cannot be run ({error}): put it on the PATH")))?;
    let text = || String::from_utf8_lossy(&output.stdout).trim().to_owned();
    Ok(output.status.success().then(text))
}
