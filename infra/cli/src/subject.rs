//! What is to be explained, as people name it.

use domain::ids::PullRequestNumber;
use domain::kid_tag::{KidTag, Tags};

use crate::task::repository;

#[derive(Debug, Clone)]
pub(super) enum Subject {
    PullRequest { repository: String, number: PullRequestNumber },
    Task(KidTag),
}

const TAKES: &str = "name a pull request, as https://github.com/acme/app/pull/42 or acme/app#42, or a task, as \
                     4d9d444d (8 to 32 hex digits of its id) or '[kid: #4d9d444d]'";

pub(super) fn parse(text: &str) -> Result<Subject, String> {
    let text = text.trim();
    let tags = Tags::of(text).named;
    if tags.len() > 1 {
        return Err("these are several kid tags: ask about one of them, or about their pull request".to_owned());
    }
    let task = tags.into_iter().next().or_else(|| KidTag::parse(text)).map(Subject::Task);
    task.or_else(|| pull_request(text)).ok_or_else(|| TAKES.to_owned())
}

/// A page of a pull request, whatever is behind its number, or `owner/name#number`.
fn pull_request(text: &str) -> Option<Subject> {
    let (name, number) = match text.split_once("/pull/") {
        Some((page, number)) => {
            let page = page.strip_prefix("https://").or_else(|| page.strip_prefix("http://")).unwrap_or(page);
            let (_host, name) = page.split_once('/')?;
            (name, number.split(['/', '?', '#']).next()?)
        }
        None => text.split_once('#')?,
    };
    let number = number.parse().ok().filter(|number| *number > 0)?;
    Some(Subject::PullRequest { repository: repository(name).ok()?, number: PullRequestNumber(number) })
}
