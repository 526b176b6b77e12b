//! A terminal for commands that look different on one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// Runs a command whose standard output is a terminal this wide, and gives what it wrote there.
///
/// # Panics
/// If there is no pseudo-terminal, or the command cannot be started or fails.
pub fn run(mut command: Command, columns: u16) -> String {
    let (screen, program) = pair(columns);
    let mut child = command.stdin(Stdio::null()).stdout(program).spawn().expect("the command starts");
    // The builder holds the command's end: while it is open, the screen does not end.
    drop(command);
    let written = read(screen);
    assert!(child.wait().expect("a child can be waited for").success(), "{written}");
    written.replace("\r\n", "\n")
}

/// Runs a command at a terminal where somebody types: each answer once its question has appeared. Gives whether the
/// command succeeded and all that the screen showed.
///
/// # Panics
/// If a question does not appear, or the command cannot be started.
pub fn converse(command: Command, answers: &[(&str, &str)]) -> (bool, String) {
    converse_on(160, command, answers)
}

/// The same on a terminal this wide.
///
/// # Panics
/// As [`converse`].
pub fn converse_on(columns: u16, command: Command, answers: &[(&str, &str)]) -> (bool, String) {
    let mut terminal = Terminal::start(columns, command);
    for (question, answer) in answers {
        terminal.sees(question);
        terminal.types(answer);
    }
    terminal.ends()
}

/// A command at a terminal, under way; it is killed when dropped.
pub struct Terminal {
    keyboard: File,
    shown: mpsc::Receiver<Vec<u8>>,
    screen: Vec<u8>,
    /// How much of the screen was read by whoever sits there.
    seen: usize,
    child: Child,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
    }
}

impl Terminal {
    /// # Panics
    /// If there is no pseudo-terminal, or the command cannot be started.
    pub fn start(columns: u16, mut command: Command) -> Self {
        let (screen, program) = pair(columns);
        let copy = || program.try_clone().expect("a terminal can be shared");
        let child = command.stdin(copy()).stdout(copy()).stderr(copy()).spawn().expect("the command starts");
        // While anything else holds the command's end, the screen does not end.
        drop((command, program));
        let keyboard = screen.try_clone().expect("a terminal can be shared");
        let (sender, shown) = mpsc::channel();
        std::thread::spawn(move || {
            let (mut screen, mut buffer) = (screen, [0; 4096]);
            // An error is the end: the last program has closed the terminal.
            while let Ok(length @ 1..) = screen.read(&mut buffer) {
                let _ = sender.send(buffer[..length].to_vec());
            }
        });
        Self { keyboard, shown, screen: Vec::new(), seen: 0, child }
    }

    /// Waits until these words appear below what was seen before, and gives what stands between.
    ///
    /// # Panics
    /// If they do not appear while nothing else does for 60 s.
    pub fn sees(&mut self, words: &str) -> String {
        loop {
            let text = String::from_utf8_lossy(&self.screen[self.seen..]);
            if let Some(at) = text.find(words) {
                self.seen += at + words.len();
                return text[..at].replace("\r\n", "\n");
            }
            match self.shown.recv_timeout(Duration::from_secs(60)) {
                Ok(more) => self.screen.extend(more),
                Err(_) => panic!("{words:?} did not appear: {}", self.screen()),
            }
        }
    }

    /// # Panics
    /// If the terminal is gone.
    pub fn types(&mut self, line: &str) {
        // Echo is switched off a moment after a hidden question.
        std::thread::sleep(Duration::from_millis(100));
        self.keyboard.write_all(format!("{line}\n").as_bytes()).expect("the terminal takes what is typed");
    }

    /// Waits for the command's end; gives whether it succeeded and all that the screen showed.
    ///
    /// # Panics
    /// If the command cannot be waited for.
    pub fn ends(mut self) -> (bool, String) {
        let succeeded = self.child.wait().expect("a child can be waited for").success();
        self.screen.extend(self.shown.iter().flatten());
        (succeeded, self.screen())
    }

    fn screen(&self) -> String {
        String::from_utf8_lossy(&self.screen).replace("\r\n", "\n")
    }
}

fn pair(columns: u16) -> (File, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a pseudo-terminal");
    grantpt(&screen).expect("the terminal is ours");
    unlockpt(&screen).expect("the terminal can be opened");
    let name = ptsname(&screen, Vec::new()).expect("the terminal has a name");
    // A program that another test starts just now would keep the terminal open.
    let program =
        open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).expect("the terminal opens");
    let size = Winsize { ws_row: 50, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(&program, size).expect("the terminal has a size");
    (File::from(screen), program)
}

/// Until the last program has closed the terminal, which Linux reports as an error.
fn read(mut screen: File) -> String {
    let mut written = Vec::new();
    if let Err(error) = screen.read_to_end(&mut written) {
        assert_eq!(error.raw_os_error(), Some(Errno::IO.raw_os_error()), "the terminal is read to its end: {error}");
    }
    String::from_utf8(written).expect("commands write UTF-8")
}
