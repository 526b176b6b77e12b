//! A terminal for commands that look different on one.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
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
/// If a question does not appear within 60 s, or the command cannot be started.
pub fn converse(command: Command, answers: &[(&str, &str)]) -> (bool, String) {
    converse_on(160, command, answers)
}

/// The same on a terminal this wide.
///
/// # Panics
/// As [`converse`].
pub fn converse_on(columns: u16, mut command: Command, answers: &[(&str, &str)]) -> (bool, String) {
    let (screen, program) = pair(columns);
    let copy = || program.try_clone().expect("a terminal can be shared");
    command.stdin(copy()).stdout(copy()).stderr(copy());
    let mut child = command.spawn().expect("the command starts");
    drop(command);
    drop(program);
    let mut keyboard = screen.try_clone().expect("a terminal can be shared");
    let (sender, shown) = mpsc::channel();
    let reader = std::thread::spawn(move || {
        let (mut screen, mut buffer) = (screen, [0; 4096]);
        // An error is the end: the last program has closed the terminal.
        while let Ok(length @ 1..) = screen.read(&mut buffer) {
            let _ = sender.send(buffer[..length].to_vec());
        }
    });
    let (mut screen, mut seen) = (Vec::new(), 0);
    for (question, answer) in answers {
        loop {
            let text = String::from_utf8_lossy(&screen[seen..]);
            if let Some(at) = text.find(question) {
                seen += at + question.len();
                break;
            }
            match shown.recv_timeout(Duration::from_secs(60)) {
                Ok(more) => screen.extend(more),
                Err(_) => {
                    let _ = child.kill();
                    panic!("{question:?} was not asked: {}", String::from_utf8_lossy(&screen));
                }
            }
        }
        // Echo is switched off a moment after a hidden question.
        std::thread::sleep(Duration::from_millis(100));
        keyboard.write_all(format!("{answer}\n").as_bytes()).expect("the terminal takes what is typed");
    }
    let succeeded = child.wait().expect("a child can be waited for").success();
    reader.join().expect("the screen is read to its end");
    screen.extend(shown.into_iter().flatten());
    (succeeded, String::from_utf8_lossy(&screen).replace("\r\n", "\n"))
}

fn pair(columns: u16) -> (File, OwnedFd) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
    grantpt(&screen).expect("the terminal is ours");
    unlockpt(&screen).expect("the terminal can be opened");
    let name = ptsname(&screen, Vec::new()).expect("the terminal has a name");
    let program = open(&name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("the terminal opens");
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
