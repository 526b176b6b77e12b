//! What the roles called, written down: the template's check compares it with what they are granted.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io::Write,
    sync::{Mutex, PoisonError},
};

/// Names the file that lines are added to; without it nothing is written.
const FILE: &str = "RECORDED_CALLS";

/// Writes down, once in this process, that this access key needs an action on a resource.
pub fn record(access_key_id: &str, action: &str, resource: &str) {
    static WRITTEN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let Some(file) = std::env::var_os(FILE) else { return };
    let line = format!("{access_key_id}\t{action}\t{resource}\n");
    if !WRITTEN.lock().unwrap_or_else(PoisonError::into_inner).insert(line.clone()) {
        return;
    }
    let opened = OpenOptions::new().create(true).append(true).open(file);
    // One write a line: processes that append at the same time do not mix theirs.
    opened.and_then(|mut file| file.write_all(line.as_bytes())).expect("the file for recorded calls can be written");
}
