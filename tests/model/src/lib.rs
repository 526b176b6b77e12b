//! Every order, tried: the protocol and the decisions of `domain`, as they are, over tables in memory and a GitHub that changes by itself.

mod machine;
mod scope;
mod search;
mod store;
mod system;
mod truth;
mod world;

pub use search::{Found, Violation};

/// Searches every scope with so many events on GitHub besides the opening of pull requests, and says what was found as it is.
pub fn search_all(events: u8, limit: usize, only: Option<usize>) -> Vec<Found> {
    let scopes = scope::scopes(events).into_iter().enumerate();
    scopes.filter(|(at, _)| only.is_none_or(|only| only == *at)).map(|(_, scope)| search::search(scope, limit)).collect()
}
