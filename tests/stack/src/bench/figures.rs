//! Times, and how they are shown.

use std::time::{Duration, Instant};

/// Times of one thing, in the order they were taken.
#[derive(Debug, Clone, Default)]
pub(super) struct Times(Vec<Duration>);

impl Times {
    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The time that this part of them does not exceed, in milliseconds; 0.5 is the median.
    pub(super) fn at(&self, part: f64) -> f64 {
        quantile(self.0.iter().map(Duration::as_secs_f64).collect(), part) * 1000.0
    }

    /// The mean, in milliseconds.
    pub(super) fn mean(&self) -> f64 {
        self.0.iter().map(Duration::as_secs_f64).sum::<f64>() / self.0.len().max(1) as f64 * 1000.0
    }

    /// How many times as long as the others, taken in turn with these, they are: the median and the middle half of the ratios of each turn.
    pub(super) fn ratio(&self, others: &Self) -> String {
        let ratios =
            || self.0.iter().zip(&others.0).map(|(one, other)| one.as_secs_f64() / other.as_secs_f64()).collect();
        format!("{:.2} ({:.2}–{:.2})", quantile(ratios(), 0.5), quantile(ratios(), 0.25), quantile(ratios(), 0.75))
    }

    /// Median, middle half and 99th percentile, in milliseconds.
    pub(super) fn shown(&self) -> String {
        let middle = format!("{:.2}–{:.2}", self.at(0.25), self.at(0.75));
        format!("{:>9.2}{middle:>16}{:>9.2}", self.at(0.5), self.at(0.99))
    }
}

impl FromIterator<Duration> for Times {
    fn from_iter<I: IntoIterator<Item = Duration>>(times: I) -> Self {
        Self(times.into_iter().collect())
    }
}

/// What stands above [`Times::shown`].
pub(super) const SHOWN: &str = "   median     middle half      p99";

fn quantile(mut values: Vec<f64>, part: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = (values.len() as f64 * part) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(f64::NAN)
}

/// How long some work takes, and what comes of it.
pub(super) async fn timed<T>(work: impl Future<Output = T>) -> (Duration, T) {
    let start = Instant::now();
    let result = work.await;
    (start.elapsed(), result)
}
