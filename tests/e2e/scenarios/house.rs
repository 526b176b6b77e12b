//! The house itself: what may use what, read from the sources of all crates.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Each module at the top of a crate, and those of the same crate that it uses.
fn modules(sources: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let mut used: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in files(sources) {
        let module = file.strip_prefix(sources).unwrap().iter().next().unwrap().to_str().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let code: Vec<_> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let used = used.entry(module.trim_end_matches(".rs").to_owned()).or_default();
        for after in code.join("\n").split("crate::").skip(1) {
            // Of `crate::{…};` every word may be a module.
            let end = if after.starts_with('{') { after.find(';') } else { after.find(|c| !is_of_a_name(c)) };
            used.extend(after[..end.unwrap_or(0)].split(|c| !is_of_a_name(c)).map(str::to_owned));
        }
    }
    used
}

fn is_of_a_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let found = paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] });
    // A file of tests alone may use what drives that which it tests.
    let found = found.filter(|path| !path.ends_with("tests.rs"));
    found.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

fn reaches(used: &BTreeMap<String, BTreeSet<String>>, from: &str, to: &str, seen: &mut BTreeSet<String>) -> bool {
    let next = used.get(from).into_iter().flatten();
    next.filter(|module| *module != from)
        .any(|module| module == to || (seen.insert(module.clone()) && reaches(used, module, to, seen)))
}

#[test]
fn no_module_uses_one_that_uses_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for folder in ["functions", "shared", "infra", "tests"] {
        for name in std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().file_name()) {
            let (name, sources) = (format!("{folder}/{}", name.display()), root.join(folder).join(&name).join("src"));
            if !sources.exists() {
                continue;
            }
            let used = modules(&sources);
            let circles = used.keys().filter(|module| reaches(&used, module, module, &mut BTreeSet::new()));
            assert_eq!(circles.collect::<Vec<_>>(), [] as [&String; 0], "{name}: modules that use each other");
        }
    }
}
