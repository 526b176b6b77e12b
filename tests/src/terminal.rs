//! A terminal for commands that look different on one.

use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};

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
