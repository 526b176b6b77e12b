//! How long an invocation may still work.

use std::time::Duration;

use jiff::Timestamp;

/// From now to the deadline that the Lambda Runtime API sent, epoch milliseconds.
///
/// `None` for one that had passed before the invocation began: `cargo lambda watch` sends no real one, and a function that
/// took it at its word would answer everything with a time-out.
/// <https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html#runtimes-api-next>
///
/// ```
/// # use std::time::Duration;
/// # use jiff::Timestamp;
/// # use adapters::deadline::time_left;
/// let now = Timestamp::from_second(1_795_500_000).unwrap();
/// assert_eq!(time_left(1_795_500_002_500, now), Some(Duration::from_millis(2_500)));
/// assert_eq!(time_left(1_795_500_000_000, now), None);
/// assert_eq!(time_left(1_000, now), None);
/// assert_eq!(time_left(u64::MAX, now), None);
/// ```
pub fn time_left(deadline: u64, now: Timestamp) -> Option<Duration> {
    let left = i64::try_from(deadline).ok()?.checked_sub(now.as_millisecond())?;
    u64::try_from(left).ok().filter(|left| *left > 0).map(Duration::from_millis)
}
