//! GitHub's API.

/// What GitHub refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// GitHub could not be reached.
    #[error("GitHub could not be reached")]
    Unreachable,
}
