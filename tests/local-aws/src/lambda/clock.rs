//! Clocks of environments that a test moves: a function's executable reads the time through the C library, in front of which `clock.c` stands.

use std::{
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::NamedTempFile;

use super::binaries::profile_folder;

/// Names the file in which a process finds how far its clock is ahead, to `clock.c`.
const VARIABLE: &str = "MOVED_CLOCK";

/// How far the clock of one environment is ahead of this machine's.
pub(super) struct Clock {
    file: NamedTempFile,
    /// How far it is ahead of the other environments' clocks.
    pub(super) apart: i64,
}

impl Clock {
    pub(super) fn new(apart: i64, passed: i64) -> Self {
        let clock = Self { file: NamedTempFile::new().expect("a temporary file"), apart };
        clock.set(passed);
        clock
    }

    /// Moves it, also under a process that runs.
    pub(super) fn set(&self, passed: i64) {
        let seconds = (passed + self.apart).to_ne_bytes();
        self.file.as_file().write_all_at(&seconds, 0).expect("a temporary file takes 8 bytes");
    }

    /// What its process is started with.
    pub(super) fn variables(&self) -> [(&'static str, PathBuf); 2] {
        [("LD_PRELOAD", library().to_owned()), (VARIABLE, self.file.path().to_owned())]
    }
}

/// The compiled `clock.c`; the first call of a process compiles it.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/src/lambda/clock.c");
        let compiled = profile_folder().join("clock.so");
        // Another process may have it loaded: it gets a new file under the name.
        let new = compiled.with_extension(format!("so.{}", std::process::id()));
        let arguments = ["-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o"];
        let status = Command::new("cc").args(arguments).arg(&new).arg(source).status().expect("a C compiler runs");
        assert!(status.success(), "{source} does not compile");
        std::fs::rename(&new, &compiled).expect("the target folder can be written");
        compiled
    })
}
