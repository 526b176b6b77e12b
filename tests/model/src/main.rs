//! Tries every order and says how many there were.
#![allow(clippy::print_stdout)]
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let events = args.get(1).and_then(|a| a.parse().ok()).unwrap_or(1);
    let only = args.get(2).and_then(|a| a.parse().ok());
    let limit = args.get(3).and_then(|a| a.parse().ok()).unwrap_or(usize::MAX);
    for f in model::search_all(events, limit, only) {
        println!("{}: {} states, {} steps, {} at rest, {:?}, complete {}", f.name, f.states, f.steps, f.at_rest, f.took, f.complete);
        for v in f.violations { println!("VIOLATION {}\n{}", v.wrong, v.trace); }
    }
}
