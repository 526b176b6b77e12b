//! How long to wait before something is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// Whether something that was done then still counts as done.
///
/// What lies in the future never does. A clock that was an hour ahead and is set right would otherwise make each age negative, and for that
/// hour nothing would be read, asked or compared again.
///
/// ```
/// # use jiff::{SignedDuration, Timestamp};
/// # use adapters::pause::is_recent;
/// let now = Timestamp::from_second(1_795_500_000).unwrap();
/// let minute = SignedDuration::from_mins(1);
/// assert!(is_recent(now, minute, now));
/// assert!(!is_recent(now - minute, minute, now), "a minute has passed");
/// assert!(!is_recent(now + minute, minute, now), "it has not happened yet");
/// ```
pub fn is_recent(then: Timestamp, limit: SignedDuration, now: Timestamp) -> bool {
    (SignedDuration::ZERO..limit).contains(&now.duration_since(then))
}

/// Between two tries at an item that another transaction holds: up to 20 ms, doubled each time.
pub fn pause(attempt: u32) -> Duration {
    jittered(Duration::from_millis(20 << attempt.min(4)))
}

/// Half to all of a time: who failed together does not come back together, to fail together again.
pub fn jittered(time: Duration) -> Duration {
    let drawn = RandomState::new().hash_one(0_u8) % 512;
    time / 2 + time * u32::try_from(drawn).unwrap_or(0) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_waits_less_than_half_or_more_than_all_and_not_all_wait_alike() {
        let time = Duration::from_secs(16);
        let drawn: Vec<_> = (0..100).map(|_| jittered(time)).collect();
        assert!(drawn.iter().all(|drawn| (time / 2..=time).contains(drawn)), "{drawn:?}");
        assert!(drawn.iter().any(|other| *other != drawn[0]), "{drawn:?}");
        assert!((0..40).all(|attempt| pause(attempt) <= Duration::from_millis(320)));
    }
}
