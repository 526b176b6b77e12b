//! A task or a pull request, as people name it: the one place that reads it.

use std::fmt;

use domain::ids::{PullRequestNumber, RepositoryName};
use domain::kid_tag::{KidTag, Tags};

/// What is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    PullRequest { repository: RepositoryName, number: PullRequestNumber },
    Task(KidTag),
}

/// How an argument that is one is shown in the help.
pub(crate) const NAME: &str = "ID|TAG|PR-URL";

const TAKES: &str = "name a pull request, as https://github.com/acme/app/pull/42 or acme/app#42, or a task, as \
                     4d9d444d (8 to 32 hex digits of its id) or '[kid: #4d9d444d]'";

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullRequest { repository, number } => write!(f, "{repository}#{number}"),
            Self::Task(tag) => tag.fmt(f),
        }
    }
}

impl Subject {
    /// Whether this is the pull request's page.
    pub(crate) fn is_page(&self, url: &str) -> bool {
        match (self, pull_request(url)) {
            (Self::PullRequest { repository, number }, Some(Self::PullRequest { repository: other, number: at })) => {
                *number == at && repository.is(other.as_str())
            }
            _ => false,
        }
    }
}

pub(crate) fn parse(text: &str) -> Result<Subject, String> {
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
    let number = number.parse().ok().filter(|number| *number > PullRequestNumber(0))?;
    Some(Subject::PullRequest { repository: name.parse().ok()?, number })
}

#[cfg(test)]
mod tests {
    use super::{Subject, parse};

    #[test]
    fn a_task_is_named_by_its_tag_and_by_its_id_in_every_form() {
        let id = "4d9d444d0198c5c27f00aabbccddeeff";
        for text in ["4d9d444d", "#4d9d444d", " 4D9D444D\n", "[kid: #4d9d444d]", "Fix login [KID:#4d9d444d]"] {
            assert_eq!(parse(text).map(|subject| subject.to_string()), Ok("4d9d444d".to_owned()), "{text:?}");
        }
        for text in [id, "4D9D444D-0198-C5C2-7F00-AABBCCDDEEFF", "#4d9d444d-0198-c5c2-7f00-aabbccddeeff"] {
            assert_eq!(parse(text).map(|subject| subject.to_string()), Ok(id.to_owned()), "{text:?}");
        }
        for text in ["", "4d9d444", "login", "[kid: #4d9d444]", "[kid: #4d9d444d] [kid: #bbbbbbbb]"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_pull_request_is_named_by_its_page() {
        for text in [
            "https://github.com/acme/app/pull/42",
            "https://github.com/acme/app/pull/42/files?w=1#diff",
            "http://ghe.example/acme/app/pull/42#discussion_r1",
            "acme/app#42",
        ] {
            let subject = parse(text).unwrap();
            assert!(matches!(subject, Subject::PullRequest { .. }), "{text:?}");
            assert!(subject.is_page("https://github.com/Acme/App/pull/42"), "{text:?}");
            for other in ["https://github.com/acme/app/pull/43", "https://github.com/acme/api/pull/42", "4d9d444d"] {
                assert!(!subject.is_page(other), "{text:?} is not {other:?}");
            }
        }
        for text in
            ["https://github.com/acme/app/issues/42", "acme/app#0", "acme#42", "https://github.com/acme/pull/42"]
        {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
