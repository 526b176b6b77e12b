//! Measurements of the functions as deployed, beside the empty function and what people would use instead, in the same run.
//!
//! Figures of one machine on one day: compare within a run, not between runs. Nothing here passes or fails. What each table says is
//! explained in `tests/bench/README.md`.

mod contestants;
mod deliveries;
mod figures;
mod freshness;
mod growth;
mod payloads;
mod reconcile;
mod shares;
mod sizes;
mod tls;
mod tokens;

use std::path::PathBuf;

use stack::Stack;

/// What is measured, in this order; a word of the command line picks one.
const SECTIONS: [&str; 8] = ["sizes", "deliveries", "tokens", "tls", "shares", "freshness", "growth", "reconcile"];

/// Where everything lies that is measured.
struct Bench {
    /// The functions' executables: `target/release`.
    functions: PathBuf,
    /// Peers, as `tests/bench/peers/install` left them.
    peers: PathBuf,
}

impl Bench {
    fn function(&self, name: &str) -> PathBuf {
        self.functions.join(name)
    }

    fn peer(&self, name: &str) -> PathBuf {
        self.peers.join("bin").join(name)
    }

    /// A stack of its own for a section: no section waits for what another left in the tables.
    async fn stack(&self) -> Stack {
        Stack::with_binaries(0, |name| self.function(name)).await
    }
}

/// Prints the figures: `bench FUNCTIONS PEERS [SECTION…]`.
pub(super) async fn run(arguments: &[String]) {
    let [functions, peers, sections @ ..] = arguments else {
        panic!("usage: stack bench FOLDER-OF-FUNCTIONS FOLDER-OF-PEERS [SECTION…]");
    };
    // The host starts processes in a folder of their own.
    let whole =
        |folder: &String| PathBuf::from(folder).canonicalize().unwrap_or_else(|error| panic!("{folder}: {error}"));
    let bench = Bench { functions: whole(functions), peers: whole(peers) };
    if let Some(unknown) = sections.iter().find(|section| !SECTIONS.contains(&section.as_str())) {
        panic!("no section {unknown}: {}", SECTIONS.join(", "));
    }
    for section in
        SECTIONS.into_iter().filter(|section| sections.is_empty() || sections.iter().any(|one| one == section))
    {
        measure(section, &bench).await;
    }
}

async fn measure(section: &str, bench: &Bench) {
    match section {
        "sizes" => sizes::run(bench),
        "deliveries" => deliveries::run(bench).await,
        "tokens" => tokens::run(bench).await,
        "tls" => tls::run(bench).await,
        "shares" => shares::run(bench).await,
        "freshness" => freshness::run(bench).await,
        "growth" => growth::run(bench).await,
        _ => reconcile::run(bench).await,
    }
}

/// A number of the environment, as the Makefile hands them on: `WARM=200`.
fn setting(name: &str, otherwise: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}
