//! How large a function is.

use std::path::Path;
use std::process::Command;

use super::Bench;

/// The executables, and how they pack.
pub(super) fn run(bench: &Bench) {
    println!("Deployed size          executable    deflated");
    for name in ["webhook", "reconcile", "token"] {
        size(name, &bench.function(name));
    }
}

fn size(name: &str, executable: &Path) {
    let megabytes = |bytes: usize| bytes as f64 / 1e6;
    let whole = std::fs::metadata(executable).map_or(0, |metadata| metadata.len()) as usize;
    let deflated =
        Command::new("gzip").args(["-9", "--stdout"]).arg(executable).output().expect("gzip runs").stdout.len();
    println!("  {name:<18}{:>9.2} MB{:>9.2} MB", megabytes(whole), megabytes(deflated));
}
