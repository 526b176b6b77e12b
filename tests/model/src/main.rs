//! `model --events N`: tries every order in each scope and prints a line for each; fails if anything is wrong, and then prints how it comes about.

use std::io::{self, Write};
use std::process::ExitCode;

use model::Found;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut events, mut limit, mut only) = (1, usize::MAX, String::new());
    while let Some(name) = arguments.next() {
        let text = arguments.next().unwrap_or_default();
        match (name.as_str(), text.parse::<usize>().ok()) {
            ("--scope", _) => only = text,
            ("--events", Some(value @ 0..=4)) => events = value as u8,
            ("--limit", Some(value)) => limit = value,
            _ => {
                let _ = writeln!(io::stderr(), "usage: model [--events 0..4] [--limit STATES] [--scope WORDS]");
                return ExitCode::from(2);
            }
        }
    }
    let found = model::search_all(events, limit, &only, |found| {
        let _ = tell(&mut io::stdout().lock(), found);
    });
    let failed = found.iter().filter(|found| !found.passed()).count();
    let _ = writeln!(io::stdout(), "{} passed, {failed} failed", found.len() - failed);
    ExitCode::from(u8::from(failed > 0))
}

fn tell(output: &mut impl Write, found: &Found) -> io::Result<()> {
    let Found { name, states, steps, at_rest, took, .. } = found;
    let how = match (found.violations.is_empty(), found.complete) {
        (false, _) => "WRONG",
        (true, true) => "ok",
        (true, false) => "CUT OFF",
    };
    let seconds = took.as_secs_f64();
    writeln!(output, "{how:<7} {name}: {states} states, {steps} steps, {at_rest} let come to rest, {seconds:.1} s")?;
    for violation in &found.violations {
        writeln!(output, "\n  {}\n{}", violation.wrong, violation.trace)?;
    }
    output.flush()
}
