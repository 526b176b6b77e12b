//! `pr`: from a pushed branch to a pull request whose title names the task, and to the card in `pr_submitted`.
//!
//! Each step first looks whether it was done, so the command may be run again at any time: after it broke off, or for nothing.
//! The pull request comes before the card: a card in `pr_submitted` without one would wait for a merge that nobody can make.

mod checkout;
mod github;
mod title;

use std::path::{Path, PathBuf};

use adapters::github::Error;
use clap::Args;
use domain::contract::token::{Level, Repositories, Scope};
use domain::ids::RepositoryName;
use domain::kid_tag::KidTag;
use domain::task::Status;
use serde_json::json;

use crate::api_url;
use crate::aws::Account;
use crate::failure::Failure;
use crate::output;
use crate::subject::{self, Subject};
use crate::task::{self, Card, TableArguments, Tasks};
use crate::token_function::{Function, TokenFunction};
use checkout::Checkout;
use github::{GitHub, NewPull, Pull};

/// GitHub takes no longer body.
const LONGEST_BODY: usize = 65_536;

const EXAMPLES: &str = "\
Examples:
  git push -u origin HEAD && konduktor-github-app pr 4d9d444d
  konduktor-github-app pr '[kid: #4d9d444d]' --title 'Fix it' --body-file a.md
  konduktor-github-app pr 4d9d444d --base release --reviewer acme/core --draft";

/// Open the pull request of a task, with the task's tag in its title
///
/// Run it on a pushed branch. Where a pull request is open for the branch, that one gets the tag. The task's card moves to
/// pr_submitted, out of which the merge will move it to done. Prints the pull request's URL; run again it changes nothing.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// The task: its id or the first 8 digits of it or more, its tag, or the URL of a pull request of it
    #[arg(value_name = subject::NAME, value_parser = subject::parse)]
    task: Subject,
    /// What to call it, the tag excepted [default: the task's title]
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// A file with its description
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// The branch to merge into [default: the repository's default branch]
    #[arg(long, value_name = "BRANCH")]
    base: Option<String>,
    /// The branch to be merged [default: the one that is checked out here]
    #[arg(long, value_name = "BRANCH")]
    head: Option<String>,
    /// The repository [default: the one that this branch is pushed to]
    #[arg(long, value_name = "OWNER/NAME", value_parser = task::repository)]
    repository: Option<RepositoryName>,
    /// Open it as a draft
    #[arg(long)]
    draft: bool,
    /// Somebody to ask for a review, a login or owner/team; may be repeated
    #[arg(long, value_name = "LOGIN")]
    reviewer: Vec<String>,
    /// Print what there is and what was done as JSON
    #[arg(long)]
    json: bool,
    /// GitHub's REST API, where it is not github.com's [default: GITHUB_API_URL]
    #[arg(long, value_name = "URL")]
    github_api_url: Option<String>,
    #[command(flatten)]
    table: TableArguments,
    #[command(flatten)]
    function: Function,
}

/// The pull request of the branch, and what was done to it.
struct Found {
    pull: Pull,
    opened: bool,
    retitled: bool,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let api_url = api_url::given_or_configured(arguments.github_api_url.as_deref())?;
    let body = arguments.body_file.as_deref().map(read).transpose()?;
    let tasks = task::open(&arguments.table, account).await?;
    let card = tasks.one(&arguments.task).await?;
    let id = card.task.id.prefix().to_owned();
    refuse_finished(&card)?;
    let tag = tasks.shortest_tag(&card.task.id).await?;
    let tag = KidTag::parse(&tag).ok_or_else(|| Failure::new(format!("the task {id} has no tag")))?;

    let checkout = match (&arguments.head, &arguments.repository) {
        (Some(_), Some(_)) => None,
        _ => Some(Checkout::here()?),
    };
    let name = match (&arguments.repository, &checkout) {
        (Some(name), _) => name.clone(),
        (None, Some(checkout)) => checkout.repository(api_url.web_host())?,
        (None, None) => return Err(Failure::new("name the repository with --repository")),
    };
    let head = arguments.head.clone().or_else(|| checkout.as_ref().map(|checkout| checkout.branch.clone()));
    let head = head.unwrap_or_default();

    let repositories = Repositories::new(&[name.as_str()]).map_err(|invalid| Failure::new(invalid.to_string()))?;
    let permissions = [("contents", Level::Read), ("pull_requests", Level::Write)];
    let scope = Scope {
        repositories: Some(repositories),
        permissions: Some(permissions.into_iter().map(|(name, level)| (name.to_owned(), level)).collect()),
        installation_id: arguments.function.installation_id,
        min_ttl_seconds: None,
    };
    let function = TokenFunction::connect(&arguments.function, account, "pr").await?;
    let github = GitHub::of(&api_url, function.token(&scope).await?.token.token, &name).await?;
    refuse_elsewhere(&card, &github)?;

    // With --head it is another branch that is meant than the one at hand.
    let here = checkout.as_ref().filter(|checkout| arguments.head.is_none() || checkout.branch == head);
    let found = pull_request(&github, &card, &tag, &head, here, &arguments, body.as_deref()).await?;
    let asked = if arguments.reviewer.is_empty() { 0 } else { github.ask(&found.pull, &arguments.reviewer).await? };
    let from = submit(&tasks, card, &arguments.task, &found.pull).await?;

    if arguments.json {
        let Pull { number, html_url, title, draft, base, .. } = &found.pull;
        let answer = json!({"url": html_url, "number": number, "repository": github.repository.full_name, "title": title,
            "head": head, "base": base.branch, "draft": draft, "opened": found.opened, "retitled": found.retitled,
            "reviewers_asked": asked, "task": id, "tag": tag.as_str(), "moved_from": from});
        return output::write_json(answer.to_string());
    }
    let Found { pull, opened, retitled } = found;
    let done = [
        opened.then(|| format!("opened #{} into {}: {}", pull.number, pull.base.branch, pull.title)),
        retitled.then(|| format!("#{} was open, and is now called: {}", pull.number, pull.title)),
        from.map(|from| format!("{id}: {from} → {}", Status::PrSubmitted)),
    ];
    for line in done.into_iter().flatten() {
        output::note(&line);
    }
    output::write(format!("{}\n", pull.html_url))
}

/// The open pull request of the branch with the tag in its title, opened if there is none.
async fn pull_request(
    github: &GitHub,
    card: &Card,
    tag: &KidTag,
    head: &str,
    checkout: Option<&Checkout>,
    asked: &Arguments,
    body: Option<&str>,
) -> Result<Found, Failure> {
    let base = asked.base.as_deref().unwrap_or(&github.repository.default_branch);
    if head == base {
        return Err(Failure::new(format!(
            "{head} is the branch that pull requests go into: put the work on one of its own with `git switch -c {}` and \
             push that",
            task::branch(card)
        )));
    }
    let push = || Failure::new(format!("{head} is not on GitHub: push it with `git push -u origin HEAD` first"));
    let pushed = github.branch(head).await?.ok_or_else(push)?;
    if let Some(checkout) = checkout
        && !checkout.is_in(&pushed)?
    {
        output::note(&format!("{}: GitHub's {head} lacks commits of yours: push them as well", crate::NAME));
    }
    if let Some(pull) = of_branch(github.open(head).await?, asked.base.as_deref(), base)? {
        return tag_it(github, card, tag, pull).await;
    }
    if github.ahead(base, head).await? == 0 {
        return Err(Failure::new(format!("{head} has no commit that {base} has not: commit, push, and try again")));
    }
    let title = title::new(asked.title.as_deref(), card.task.title.as_deref(), &card.task.id, tag);
    let title = title.map_err(Failure::new)?;
    let new = NewPull { title: &title, head, base, body, draft: asked.draft };
    match github.create(&new).await {
        Ok(pull) => Ok(Found { pull, opened: true, retitled: false }),
        // Somebody may have opened one meanwhile; GitHub says so, and nothing else, with this status.
        Err(error @ Error::Unprocessable(_)) => match of_branch(github.open(head).await?, Some(base), base)? {
            Some(pull) => tag_it(github, card, tag, pull).await,
            None => Err(github.refused("open the pull request", &error)),
        },
        Err(error) => Err(github.refused("open the pull request", &error)),
    }
}

async fn tag_it(github: &GitHub, card: &Card, tag: &KidTag, pull: Pull) -> Result<Found, Failure> {
    let title = title::tagged(&pull.title, &card.task.id, tag).map_err(Failure::new)?;
    if title == pull.title {
        return Ok(Found { pull, opened: false, retitled: false });
    }
    Ok(Found { pull: github.retitle(&pull, &title).await?, opened: false, retitled: true })
}

/// A branch may have one open pull request into each other branch.
fn of_branch(open: Vec<Pull>, asked: Option<&str>, usual: &str) -> Result<Option<Pull>, Failure> {
    let (mut into, mut others): (Vec<Pull>, Vec<Pull>) =
        open.into_iter().partition(|pull| pull.base.branch == asked.unwrap_or(usual));
    match (into.pop(), asked, others.pop()) {
        (Some(pull), _, _) => Ok(Some(pull)),
        (None, None, Some(only)) if others.is_empty() => Ok(Some(only)),
        (None, None, Some(_)) => Err(Failure::new("the branch has several open pull requests: choose with --base")),
        (None, _, _) => Ok(None),
    }
}

fn refuse_finished(card: &Card) -> Result<(), Failure> {
    let (id, status) = (card.task.id.prefix(), &card.task.status);
    if matches!(status, Status::Done | Status::Trash) {
        return Err(Failure::new(format!(
            "the task {id} is in {status}: if there is more to do, move it back with `{} task move {id} in_progress`",
            crate::NAME
        )));
    }
    Ok(())
}

/// The rules link a pull request to tasks of its repository alone.
fn refuse_elsewhere(card: &Card, github: &GitHub) -> Result<(), Failure> {
    let here = &github.repository;
    let named = card.task.repository.as_deref().filter(|name| !name.trim().is_empty());
    let elsewhere = match card.task.repository_id {
        Some(id) => id != here.id,
        None => named.is_some_and(|name| !here.full_name.is(name)),
    };
    if elsewhere {
        return Err(Failure::new(format!(
            "the task {} is about {}, and this is {}: push to that one, or create a task for this one",
            card.task.id.prefix(),
            named.unwrap_or("another repository"),
            here.full_name
        )));
    }
    Ok(())
}

/// Moves the card out of the column that it was read in; gives that column, or nothing if it was where it should be.
async fn submit(tasks: &Tasks, card: Card, named: &Subject, pull: &Pull) -> Result<Option<Status>, Failure> {
    let from = card.task.status.clone();
    if from == Status::PrSubmitted {
        return Ok(None);
    }
    let Err(failure) = tasks.move_task(&card.task, &Status::PrSubmitted, crate::clock::now()).await else {
        return Ok(Some(from));
    };
    // Somebody else may have moved it just there.
    match tasks.one(named).await {
        Ok(now) if now.task.status == Status::PrSubmitted => Ok(None),
        _ => Err(Failure::new(format!("{} is open, but its card did not move: {failure}", pull.html_url))),
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format!("--body-file {}: {error}", path.display())))?;
    if text.chars().count() > LONGEST_BODY {
        return Err(Failure::new(format!("--body-file {}: GitHub takes {LONGEST_BODY} characters", path.display())));
    }
    Ok(text)
}
