//! The functions' executables, as current as the test that runs them.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The executable of a workspace binary, built with the profile of the running one.
///
/// An example is `examples/<name>`. The first call builds them all: `cargo test -p e2e` alone would run whatever was last built.
///
/// # Panics
///
/// If the build fails or there is no such binary.
pub fn binary(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let path = FOLDER.get_or_init(build).join(name);
    assert!(path.is_file(), "no binary `{name}` in the workspace: {} is missing", path.display());
    path
}

fn build() -> PathBuf {
    let folder = profile_folder();
    let target = folder.parent().expect("a profile's folder lies in the target folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(cargo)
        // cargo takes `.cargo/config.toml` from here up: from another folder it would build half of everything again, without it.
        .current_dir(&workspace)
        .args(["build", "--quiet", "--workspace", "--bins", "--examples", "--profile", profile])
        .arg("--manifest-path")
        .arg(workspace.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(target)
        .status()
        .expect("cargo runs");
    assert!(status.success(), "the workspace's binaries do not build");
    folder
}

/// `target/<profile>`, in which the running executable lies, or in its `deps`.
pub(super) fn profile_folder() -> PathBuf {
    let executable = std::env::current_exe().expect("the running executable has a path");
    let folder = executable.parent().expect("an executable lies in a folder");
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => folder.parent().expect("deps lies in a profile's folder").to_owned(),
        _ => folder.to_owned(),
    }
}
