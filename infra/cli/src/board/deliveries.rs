//! The deliveries of the last day, out of the webhook's log: GitHub's own list needs the App's key, and who looks at a board has none.

use std::collections::BTreeMap;

use aws_sdk_cloudwatchlogs::Client;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::aws::Call;
use crate::failure::Failure;
use crate::stack::Stack;

pub(super) const HOURS: usize = 24;

/// The one line that the webhook writes for each delivery.
const PATTERN: &str = r#"{ $.message = "delivery" }"#;

/// A page of the log is 1 MB at most: this is more than a big team's day, and bounds what a flood costs.
const MOST_PAGES: usize = 50;

const MILLISECONDS_AN_HOUR: i64 = 3_600_000;

/// How many deliveries there were of each outcome, in each hour of the day, the latest last.
#[derive(Debug, Default)]
pub(super) struct Day {
    pub(super) by_outcome: BTreeMap<String, [u32; HOURS]>,
    /// Whether the log went on after what was read of it.
    pub(super) cut: bool,
}

#[derive(Deserialize)]
struct Line {
    outcome: String,
}

impl Day {
    /// The day that ends now.
    pub(super) async fn until(now: Timestamp, stack: &Stack) -> Result<Self, Failure> {
        let since = now.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(now).as_millisecond();
        let group = format!("/aws/lambda/{}", stack.webhook_function);
        let client = Client::new(&stack.session.config);
        let asked = client.filter_log_events().log_group_name(&group).start_time(since).filter_pattern(PATTERN);
        let mut pages = asked.into_paginator().send();
        let (mut day, mut read) = (Self::default(), 0);
        while let Some(page) = pages.next().await {
            day.cut = read == MOST_PAGES;
            if day.cut {
                break;
            }
            read += 1;
            for event in page.map_err(|error| failure(stack, &group, &error))?.events.unwrap_or_default() {
                day.count(event.timestamp.unwrap_or(since) - since, event.message.as_deref().unwrap_or_default());
            }
        }
        Ok(day)
    }

    /// One line of the log, so many milliseconds after the day began.
    fn count(&mut self, after: i64, line: &str) {
        let Ok(Line { outcome }) = serde_json::from_str(line) else { return };
        let hour = usize::try_from(after / MILLISECONDS_AN_HOUR).unwrap_or(0).min(HOURS - 1);
        self.by_outcome.entry(outcome).or_default()[hour] += 1;
    }
}

fn failure<E, R>(stack: &Stack, group: &str, error: &aws_sdk_cloudwatchlogs::error::SdkError<E, R>) -> Failure
where
    E: aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    let call = Call {
        service: "CloudWatch Logs",
        action: "logs:FilterLogEvents",
        resource: &format!("log group {group}"),
        if_missing: "it comes with the webhook's first delivery",
        session: &stack.session,
    };
    call.failure(error)
}

#[cfg(test)]
mod tests {
    use super::{Day, HOURS, MILLISECONDS_AN_HOUR};

    #[test]
    fn a_line_counts_in_its_hour_and_what_is_no_summary_counts_nowhere() {
        let mut day = Day::default();
        for (after, line) in [
            (0, r#"{"message":"delivery","outcome":"moved"}"#),
            (MILLISECONDS_AN_HOUR - 1, r#"{"message":"delivery","outcome":"moved"}"#),
            (24 * MILLISECONDS_AN_HOUR + 5, r#"{"message":"delivery","outcome":"moved"}"#),
            (-1, r#"{"message":"delivery","outcome":"refused"}"#),
            (0, "START RequestId"),
            (0, r#"{"message":"delivery"}"#),
        ] {
            day.count(after, line);
        }
        assert_eq!((day.by_outcome["moved"][0], day.by_outcome["moved"][HOURS - 1]), (2, 1));
        assert_eq!(day.by_outcome["refused"][0], 1);
        assert_eq!(day.by_outcome.len(), 2);
    }
}
