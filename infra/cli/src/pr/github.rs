//! The repository on GitHub, asked with a token that opens nothing else.

use std::fmt::Write;

use adapters::github::{ApiUrl, Client, Error};
use domain::ids::{PullRequestNumber, RepositoryId, RepositoryName};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::github_app::{once_known, refused};

#[derive(Debug, Deserialize)]
pub(super) struct Repository {
    pub(super) id: RepositoryId,
    pub(super) full_name: RepositoryName,
    pub(super) default_branch: String,
}

/// A pull request, as far as this command reads it.
#[derive(Debug, Deserialize)]
pub(super) struct Pull {
    pub(super) number: PullRequestNumber,
    pub(super) html_url: String,
    pub(super) title: String,
    #[serde(default)]
    pub(super) draft: bool,
    pub(super) base: Base,
    #[serde(default)]
    requested_reviewers: Vec<User>,
    #[serde(default)]
    requested_teams: Vec<Team>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Base {
    #[serde(rename = "ref")]
    pub(super) branch: String,
}

#[derive(Debug, Deserialize)]
struct User {
    login: String,
}

#[derive(Debug, Deserialize)]
struct Team {
    slug: String,
}

#[derive(Debug, Deserialize)]
struct Branch {
    commit: Commit,
}

#[derive(Debug, Deserialize)]
struct Commit {
    sha: String,
}

#[derive(Debug, Deserialize)]
struct Comparison {
    ahead_by: u64,
}

#[derive(Debug, Deserialize)]
struct Review {
    user: Option<User>,
}

/// A pull request that is to be opened.
#[derive(Debug)]
pub(super) struct NewPull<'a> {
    pub(super) title: &'a str,
    pub(super) head: &'a str,
    pub(super) base: &'a str,
    pub(super) body: Option<&'a str>,
    pub(super) draft: bool,
}

pub(super) struct GitHub {
    client: Client,
    token: SecretString,
    pub(super) repository: Repository,
}

impl GitHub {
    /// Finds the repository by the name that it has or had.
    pub(super) async fn of(api_url: &ApiUrl, token: SecretString, name: &RepositoryName) -> Result<Self, Failure> {
        let client = Client::new(api_url.clone());
        let path = format!("/repos/{name}");
        let read = once_known(async || client.get(&path, &token).await).await;
        let repository: Repository = read.map_err(|error| refused(&format!("show {name}"), api_url, &error))?.body;
        Ok(Self { client, token, repository })
    }

    /// The commit that a branch is at; `None` if nothing was pushed there.
    pub(super) async fn branch(&self, branch: &str) -> Result<Option<String>, Failure> {
        let path = self.path(&format!("branches/{}", encoded(branch)));
        match once_known(async || self.client.get::<Branch>(&path, &self.token).await).await {
            Ok(answer) => Ok(Some(answer.body.commit.sha)),
            Err(Error::NotFound(_)) => Ok(None),
            Err(error) => Err(self.refused("show the branch", &error)),
        }
    }

    /// How many commits a branch has that another has not.
    pub(super) async fn ahead(&self, base: &str, head: &str) -> Result<u64, Failure> {
        let path = self.path(&format!("compare/{}...{}", encoded(base), encoded(head)));
        match once_known(async || self.client.get::<Comparison>(&path, &self.token).await).await {
            Ok(answer) => Ok(answer.body.ahead_by),
            Err(Error::NotFound(_)) => Err(Failure::new(format!(
                "{} has no branch {base}: name the one to merge into with --base",
                self.repository.full_name
            ))),
            Err(error) => Err(self.refused("compare the branches", &error)),
        }
    }

    /// The open pull requests of a branch of this repository.
    pub(super) async fn open(&self, branch: &str) -> Result<Vec<Pull>, Failure> {
        let head = format!("{}:{branch}", self.repository.full_name.owner());
        let path = self.path(&format!("pulls?state=open&per_page=100&head={}", encoded(&head)));
        let read = once_known(async || self.client.get_all(&path, &self.token).await).await;
        read.map_err(|error| self.refused("list the pull requests", &error))
    }

    /// Opens one. GitHub refuses a second one of the same branches.
    pub(super) async fn create(&self, new: &NewPull<'_>) -> Result<Pull, Error> {
        let mut body = json!({"title": new.title, "head": new.head, "base": new.base, "draft": new.draft});
        if let Some(text) = new.body {
            body["body"] = json!(text);
        }
        let path = self.path("pulls");
        Ok(once_known(async || self.client.post(&path, &self.token, &body).await).await?.body)
    }

    pub(super) async fn retitle(&self, pull: &Pull, title: &str) -> Result<Pull, Failure> {
        let path = self.path(&format!("pulls/{}", pull.number));
        let body = json!({"title": title});
        let changed = once_known(async || self.client.patch(&path, &self.token, &body).await).await;
        Ok(changed.map_err(|error| self.refused("change the title", &error))?.body)
    }

    /// Asks people, and teams as `owner/team`, for a review, unless they were asked or have answered.
    pub(super) async fn ask(&self, pull: &Pull, reviewers: &[String]) -> Result<usize, Failure> {
        let path = self.path(&format!("pulls/{}/reviews?per_page=100", pull.number));
        let reviews = once_known(async || self.client.get_all::<Review>(&path, &self.token).await).await;
        let reviews = reviews.map_err(|error| self.refused("list the reviews", &error))?;
        let reviewed = reviews.into_iter().filter_map(|review| review.user).map(|user| user.login);
        let asked: Vec<String> =
            pull.requested_reviewers.iter().map(|user| user.login.clone()).chain(reviewed).collect();
        let teams: Vec<String> = pull.requested_teams.iter().map(|team| team.slug.clone()).collect();
        let new = |name: &str, known: &[String]| !known.iter().any(|known| known.eq_ignore_ascii_case(name));
        let (of_teams, of_people): (Vec<&String>, Vec<&String>) = reviewers.iter().partition(|name| name.contains('/'));
        let of_teams: Vec<&str> = of_teams.into_iter().filter_map(|name| name.rsplit('/').next()).collect();
        let of_teams: Vec<&str> = of_teams.into_iter().filter(|slug| new(slug, &teams)).collect();
        let of_people: Vec<&String> = of_people.into_iter().filter(|login| new(login, &asked)).collect();
        let count = of_teams.len() + of_people.len();
        if count > 0 {
            let path = self.path(&format!("pulls/{}/requested_reviewers", pull.number));
            let body = json!({"reviewers": of_people, "team_reviewers": of_teams});
            let requested = once_known(async || self.client.post::<Value>(&path, &self.token, &body).await).await;
            requested.map_err(|error| self.refused("ask for a review", &error))?;
        }
        Ok(count)
    }

    pub(super) fn refused(&self, doing: &str, error: &Error) -> Failure {
        refused(doing, self.client.api_url(), error)
    }

    fn path(&self, rest: &str) -> String {
        format!("/repos/{}/{rest}", self.repository.full_name)
    }
}

/// As it can stand in a URL: a branch's name may hold nearly everything.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut all, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(all, "%{byte:02X}");
        }
        all
    })
}
