//! Questions to the person at the terminal.

use std::io::{IsTerminal, stdin};

use rpassword::ConfigBuilder;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;

use crate::failure::Failure;
use crate::output::Progress;

/// Whether somebody is there to answer.
pub(crate) fn is_possible() -> bool {
    stdin().is_terminal()
}

/// One line, without the spaces around it.
pub(crate) fn line(question: &str, progress: Progress) -> Result<String, Failure> {
    progress.ask(question);
    let mut line = String::new();
    match stdin().read_line(&mut line) {
        Ok(0) => Err(Failure::new("the answers ended: nothing was stored")),
        Ok(_) => Ok(line.trim().to_owned()),
        Err(error) => Err(unreadable(&error)),
    }
}

/// Asks until the answer is one; the end of all answers ends it.
pub(crate) fn answer<T>(
    progress: Progress,
    ask: impl Fn() -> Result<Result<T, Failure>, Failure>,
) -> Result<T, Failure> {
    loop {
        match ask()? {
            Ok(answer) => return Ok(answer),
            Err(wrong) => progress.say(&format!("  {wrong}")),
        }
    }
}

/// One line that is not shown while it is typed.
pub(crate) fn hidden(question: &str, progress: Progress) -> Result<SecretString, Failure> {
    progress.ask(question);
    // Standard input, not /dev/tty: a terminal that is not the controlling one answers too.
    let terminal = ConfigBuilder::new().input_file_path("/dev/stdin").output_discard().build();
    let line = rpassword::read_password_with_config(terminal).map(Zeroizing::new);
    progress.say("");
    let line = line.map_err(|error| unreadable(&error))?;
    Ok(line.trim().into())
}

/// Goes on only after a yes: typed, or given beforehand as `--yes`.
pub(crate) fn confirm(question: &str, yes: bool, progress: Progress) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    if !is_possible() {
        return Err(Failure::new(format!("{question} Pass --yes to say so; nothing was changed")));
    }
    let answer = line(&format!("{question} [y/N]"), progress)?;
    if matches!(answer.to_ascii_lowercase().as_str(), "y" | "yes") {
        Ok(())
    } else {
        Err(Failure::new("nothing was changed"))
    }
}

/// A question that is usually answered with yes; so it is where nobody is asked.
pub(crate) fn usually(question: &str, yes: bool, progress: Progress) -> Result<bool, Failure> {
    if yes || !is_possible() {
        return Ok(true);
    }
    let answer = line(&format!("{question} [Y/n]"), progress)?;
    Ok(!matches!(answer.to_ascii_lowercase().as_str(), "n" | "no"))
}

fn unreadable(error: &std::io::Error) -> Failure {
    Failure::new(format!("standard input cannot be read: {error}"))
}
