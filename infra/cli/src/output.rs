//! Standard output: what may be written there, how wide it is and whether it takes colours.

use std::borrow::Cow;
use std::io::{self, ErrorKind, IsTerminal, Write};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

use adapters::config::Variables;
use secrecy::zeroize::Zeroizing;

use crate::failure::Failure;
use crate::text::{fitting, is_directional, printable};

/// Where a terminal does not say how big it is.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// The terminal that standard output is, if it is one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
    pub(crate) colours: bool,
}

/// What turns a style off, and what turns those on that are not plain.
const PLAIN: &str = "\u{1b}[0m";
/// Empties the screen, and goes to its top: for what is drawn anew.
pub(crate) const CLEAR: &str = "\u{1b}[H\u{1b}[2J";
const STRONG: &str = "\u{1b}[1m";
const FAINT: &str = "\u{1b}[2m";
const ALARMING: &str = "\u{1b}[31m";

/// How a piece of text is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Strong,
    Faint,
    Alarming,
}

impl Terminal {
    /// <https://no-color.org>
    pub(crate) fn of_stdout() -> Option<Self> {
        let stdout = io::stdout();
        if !stdout.is_terminal() {
            return None;
        }
        let (columns, rows) = size(&stdout);
        let mut variables = Variables::default();
        let dumb = variables.optional("TERM").is_some_and(|terminal| terminal == "dumb");
        let colours = !dumb && variables.optional("NO_COLOR").is_none();
        Some(Self { columns, rows, colours })
    }

    pub(crate) fn paint(self, text: &str, style: Style) -> String {
        let begin = match style {
            Style::Strong => STRONG,
            Style::Faint => FAINT,
            Style::Alarming => ALARMING,
            Style::Plain => return text.to_owned(),
        };
        if self.colours { format!("{begin}{text}{PLAIN}") } else { text.to_owned() }
    }
}

fn size(terminal: impl AsFd) -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(terminal).ok();
    let size = size.map(|size| (usize::from(size.ws_col), usize::from(size.ws_row)));
    size.filter(|(columns, rows)| *columns > 0 && *rows > 0).unwrap_or(USUAL_SIZE)
}

/// How wide a line may be that goes there; into a pipe it stays one, for whoever searches it.
fn columns(stream: impl IsTerminal + AsFd) -> Option<usize> {
    stream.is_terminal().then(|| size(stream).0)
}

/// Where a command that takes a while tells what it is doing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Progress {
    /// Standard output is for people.
    ForPeople,
    /// Standard output is for a program, so people look at standard error.
    BesideJson,
}

impl Progress {
    pub(crate) fn new(json: bool) -> Self {
        if json { Self::BesideJson } else { Self::ForPeople }
    }

    /// One line, and more of them at a terminal that is too narrow for it. Other people's text in it cannot write to the terminal.
    /// A reader who has gone stops nothing.
    pub(crate) fn say(self, line: &str) {
        let columns = match self {
            Self::ForPeople => columns(io::stdout()),
            Self::BesideJson => columns(io::stderr()),
        };
        self.write(&fitting(&printable(line), columns));
    }

    /// The beginning of a line that a person ends.
    pub(crate) fn ask(self, question: &str) {
        self.write(&format!("{} ", printable(question)));
    }

    fn write(self, text: &str) {
        let written = match self {
            Self::ForPeople => io::stdout().write_all(text.as_bytes()).and_then(|()| io::stdout().flush()),
            Self::BesideJson => io::stderr().write_all(text.as_bytes()),
        };
        drop(written);
    }
}

/// Writes a line to standard error. Other people's text in it cannot write to the terminal. A reader who has gone stops nothing.
pub(crate) fn note(line: &str) {
    Progress::BesideJson.say(line);
}

/// Writes to standard output what is not JSON ([`write_json`]); of all that a terminal would act on nothing but lines, tabs and our
/// own codes. A reader who has seen enough (`| head`) is no failure.
pub(crate) fn write(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(harmless(text.as_ref()).as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::new(format!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// The text itself where there is nothing to take out: a copy of a token would be left behind.
fn harmless(text: &str) -> Cow<'_, str> {
    let acts = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_directional(c);
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let (mut clean, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find(acts) {
        let (before, from) = rest.split_at(at);
        clean.push_str(before);
        let ours = [PLAIN, STRONG, FAINT, ALARMING, CLEAR].into_iter().find(|code| from.starts_with(code));
        clean.push_str(ours.unwrap_or(" "));
        rest = &from[ours.map_or_else(|| from.chars().next().map_or(0, char::len_utf8), str::len)..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// Writes what may be longer than the terminal, through the pager that `PAGER` names (`less` unless set) where somebody is
/// there to turn its pages.
pub(crate) fn page(text: &str, terminal: Terminal) -> Result<(), Failure> {
    let pager = Variables::default().optional("PAGER").unwrap_or_else(|| "less".to_owned());
    if text.lines().count() < terminal.rows || pager.trim().is_empty() || !io::stdin().is_terminal() {
        return write(text);
    }
    let mut command = Command::new("sh");
    command.args(["-c", &pager]).stdin(Stdio::piped());
    if Variables::default().optional("LESS").is_none() {
        // Colours, no pager for what fits, and what was read stays on the screen: as git starts it.
        command.env("LESS", "FRX");
    }
    let Ok(mut pages) = command.spawn() else { return write(text) };
    // Who quits before the end has seen enough.
    let _ = pages.stdin.take().map(|mut stdin| stdin.write_all(harmless(text).as_bytes()));
    match pages.wait() {
        // The shell's word for a command that is not there.
        Ok(status) if status.code() == Some(127) => write(text),
        _ => Ok(()),
    }
}

/// Writes JSON and ends its line.
pub(crate) fn write_json(json: impl AsRef<str>) -> Result<(), Failure> {
    write(&*json_line(json.as_ref()))
}

/// A line of JSON in which everything that a terminal would act on is escaped: other people's words are in it, and JSON is looked
/// at in terminals too.
pub(crate) fn json_line(json: &str) -> Zeroizing<String> {
    // Room for all of it: a text that grows leaves copies of a token behind.
    let mut line = Zeroizing::new(String::with_capacity(6 * json.len() + 1));
    for c in json.chars() {
        // Line breaks stand between values; within a text they are escaped already.
        if c != '\n' && (c.is_control() || is_directional(c)) {
            line.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            line.push(c);
        }
    }
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_its_lines_and_our_colours_and_nothing_else_that_a_terminal_acts_on() {
        let terminal = Terminal { columns: 80, rows: 24, colours: true };
        let ours = format!("{}\t{}\n", terminal.paint("a", Style::Alarming), terminal.paint("b", Style::Strong));
        assert!(matches!(harmless("plain\n\ttext"), Cow::Borrowed(_)));
        assert_eq!(harmless(&ours), ours);
        assert_eq!(harmless("a\u{1b}[2Jb\u{9b}31mc\u{202e}d\u{7f}e\r\n"), "a [2Jb 31mc d e \n");
    }

    #[test]
    fn json_keeps_its_meaning_and_nothing_that_a_terminal_acts_on() {
        let said = serde_json::json!({"title": "a\u{9b}31mb\u{202e}c\u{7f}d\u{1b}e\nf\u{e9}"});
        let line = json_line(&said.to_string());
        assert!(line.trim_end().chars().all(|c| !c.is_control() && !is_directional(c)), "{line:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&line).unwrap(), said);
    }
}
