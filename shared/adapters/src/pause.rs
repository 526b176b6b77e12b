//! How long to wait before something is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

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
