//! When an item is to be looked at: the same five attributes for every kind of item.
//!
//! An item that has `due` and `next_check_at` is in the sparse index of what is owed an answer; `check` is what the table's stream is
//! filtered by. The three are set together and taken off together, so they are one value.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ids::InstallationId;

/// After how many minutes an item is looked at again that could not be settled; the last one goes on.
const BACKOFF_MINUTES: [i64; 5] = [1, 2, 5, 10, 15];

/// The same where GitHub refuses: what a person has to end is not asked for every quarter of an hour for ever, and yet each hour says that
/// it lasts.
const REFUSED_MINUTES: [i64; 7] = [1, 2, 5, 10, 15, 30, 60];

/// For how long GitHub must have said that something is not there before it is believed, seconds.
pub const CONFIRMED_GONE: i64 = 3 * 24 * 60 * 60;

/// Within how many seconds it must say so again for that: what was not asked for days, or had another answer, was not seen to be gone meanwhile.
const SAID_AGAIN: i64 = 12 * 60 * 60;

/// The value of the attribute `due`, the partition key of the sparse index, of pull requests and bases that are owed an answer. Those of
/// resyncs have partitions of their own, [`resync_shard`], so that nothing that is owed waits behind thousands of them.
pub const DUE: &str = "open";

/// How many partitions of the index the resyncs are spread over, so that an invocation can be given one of them.
pub const RESYNC_SHARDS: u64 = 4;

/// The `due` of an installation's resyncs: all in one shard, since fifty repositories of one installation cost one query.
pub fn resync_shard(installation: Option<InstallationId>) -> String {
    resync_shard_at(installation.map_or(0, |id| id.0) % RESYNC_SHARDS)
}

/// The `due` of a shard, counted from 0.
pub fn resync_shard_at(shard: u64) -> String {
    format!("resync-{shard}")
}

/// What `check` of an item says; the stream's filter matches `now`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Check {
    /// Reconcile is to look at once.
    Now,
    /// Reconcile has looked and will look again when it is due.
    Later,
}

/// When reconcile looks at an item. The default: not before something happens to it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Schedule {
    /// [`Check::Now`] until reconcile has taken it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<Check>,
    /// The partition of the sparse index: [`DUE`], or a resync's shard; absent while nothing is owed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    /// When reconcile is to look, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_check_at: Option<i64>,
    /// How often reconcile has looked since the last question without settling it.
    #[serde(default)]
    pub attempts: u32,
    /// Since when it could not be done, if the last try failed. Whoever changes the question takes it off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failing: Option<Failing>,
}

/// That something could not be done, try after try.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Failing {
    /// Since when, epoch seconds; 0: not known.
    pub since: i64,
    /// Since when GitHub says that it is not there, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_since: Option<i64>,
    /// When it last said so, epoch seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone_at: Option<i64>,
    /// What was said last.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub because: String,
}

impl Failing {
    /// After one more try that failed. `None` once GitHub has said for [`CONFIRMED_GONE`] that it is not there.
    pub fn after(known: Option<&Self>, refusal: Refusal, because: &str, now: Timestamp) -> Option<Self> {
        let now = now.as_second();
        let gone_before = known.and_then(|known| Some((known.gone_since?, known.gone_at?)));
        let gone_before = gone_before.filter(|(_, at)| now.saturating_sub(*at) <= SAID_AGAIN);
        let (gone_since, gone_at) = match refusal {
            Refusal::Gone => (gone_before.map(|(since, _)| since).or(Some(now)), Some(now)),
            Refusal::Refused => (None, None),
            // A short outage in between says nothing about whether it is there.
            Refusal::Other => gone_before.unzip(),
        };
        let is_gone =
            refusal == Refusal::Gone && gone_since.is_some_and(|since| now.saturating_sub(since) >= CONFIRMED_GONE);
        let since = known.map_or(now, |known| known.since);
        (!is_gone).then(|| Self { since, gone_since, gone_at, because: because.to_owned() })
    }
}

/// How a try failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// GitHub says that it is not there, or not for us.
    Gone,
    /// GitHub says something else of it.
    Refused,
    /// Nothing is said of it.
    Other,
}

impl Schedule {
    /// At once: by the stream, or by the schedule where the stream failed.
    pub fn at_once(now: Timestamp) -> Self {
        Self { check: Some(Check::Now), ..Self::at(now.as_second(), 0) }
    }

    /// At this second.
    pub fn at(second: i64, attempts: u32) -> Self {
        let due = Some(DUE.to_owned());
        Self { check: Some(Check::Later), due, next_check_at: Some(second), attempts, failing: None }
    }

    /// As [`Self::at`], for the resyncs of an installation, which the stream never asks for.
    pub fn turn(installation: Option<InstallationId>, second: i64) -> Self {
        Self { check: None, due: Some(resync_shard(installation)), ..Self::at(second, 0) }
    }

    /// The same item at another second.
    #[must_use]
    pub fn moved_to(&self, second: i64) -> Self {
        Self { next_check_at: Some(second), ..self.clone() }
    }

    /// After a try that failed: ever more rarely. `None` once GitHub has said for [`CONFIRMED_GONE`] that it is not there.
    pub fn refused(&self, refusal: Refusal, because: &str, now: Timestamp) -> Option<Self> {
        let failing = Failing::after(self.failing.as_ref(), refusal, because, now)?;
        let wait = REFUSED_MINUTES[(REFUSED_MINUTES.len() - 1).min(self.attempts as usize)];
        Some(Self {
            check: self.check.map(|_| Check::Later),
            due: self.due.clone().or_else(|| Some(DUE.to_owned())),
            next_check_at: Some(now.as_second() + 60 * wait),
            attempts: self.attempts.saturating_add(1),
            failing: Some(failing),
        })
    }

    /// Once more, ever more rarely.
    pub fn again(attempts: u32, now: Timestamp) -> Self {
        Self::at(look_again(attempts, now), attempts.saturating_add(1))
    }

    /// Whether reconcile is to look at all.
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// Whether it is to look at once.
    pub fn is_at_once(&self) -> bool {
        self.is_due() && self.check == Some(Check::Now)
    }
}

/// When to look again at what could not be settled, epoch seconds.
pub fn look_again(attempts: u32, now: Timestamp) -> i64 {
    let last = BACKOFF_MINUTES.len() - 1;
    now.as_second() + 60 * BACKOFF_MINUTES[last.min(attempts as usize)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_refusal_is_asked_about_ever_more_rarely_and_ends_nothing_before_three_days() {
        let (mut schedule, mut now, mut asked) = (Schedule::at(0, 0), 0, Vec::new());
        while let Some(next) = schedule.refused(Refusal::Gone, "404", at(now)) {
            let then = next.next_check_at.unwrap();
            asked.push((then - now) / 60);
            (schedule, now) = (next, then);
        }
        assert_eq!(asked[..7], [1, 2, 5, 10, 15, 30, 60]);
        assert!(asked[7..].iter().all(|minutes| *minutes == 60), "{asked:?}");
        assert!((CONFIRMED_GONE..CONFIRMED_GONE + 60 * 60).contains(&now), "gone after {now} s");
        assert_eq!(schedule.failing.unwrap().since, 0);
    }

    #[test]
    fn an_outage_never_ends_anything_and_does_not_count_as_gone() {
        let failing = Some(Failing { since: 0, gone_since: None, gone_at: None, because: String::new() });
        let long_ago = Schedule { failing, ..Schedule::at(0, 30) };
        let now = 10 * CONFIRMED_GONE;
        assert!(long_ago.refused(Refusal::Other, "502", at(now)).is_some());
        let gone = long_ago.refused(Refusal::Gone, "404", at(now)).unwrap().failing.unwrap();
        assert_eq!((gone.since, gone.gone_since), (0, Some(now)));
    }

    #[test]
    fn two_moments_days_apart_in_which_it_was_not_there_are_no_three_days() {
        let gone = Schedule::at(0, 0).refused(Refusal::Gone, "404", at(0)).unwrap();
        let other = gone.refused(Refusal::Refused, "SAML", at(60)).unwrap();
        assert!(other.refused(Refusal::Gone, "404", at(2 * CONFIRMED_GONE)).is_some());
        let outage = gone.refused(Refusal::Other, "502", at(60)).unwrap();
        assert!(outage.refused(Refusal::Gone, "404", at(2 * CONFIRMED_GONE)).is_some());
        assert!(gone.refused(Refusal::Gone, "404", at(2 * CONFIRMED_GONE)).is_some(), "nothing was asked in between");
    }

    #[test]
    fn a_short_outage_makes_the_three_days_no_longer() {
        let (mut schedule, mut now) = (Schedule::at(0, 0), 0);
        while let Some(next) = schedule.refused(Refusal::Gone, "404", at(now)) {
            schedule = next.refused(Refusal::Other, "502", at(now + 60)).unwrap();
            now = schedule.next_check_at.unwrap();
        }
        assert!((CONFIRMED_GONE..CONFIRMED_GONE + 2 * 60 * 60).contains(&now), "gone after {now} s");
    }

    #[test]
    fn a_refused_resync_stays_in_its_shard_and_a_settled_row_becomes_due() {
        let resync = Schedule::turn(Some(InstallationId(7)), 0).refused(Refusal::Other, "", at(60)).unwrap();
        assert_eq!((resync.due.as_deref(), resync.check), (Some("resync-3"), None));
        let settled = Schedule::default().refused(Refusal::Other, "", at(60)).unwrap();
        assert_eq!(settled.due.as_deref(), Some(DUE));
    }
}
