//! A token from the token function, and a clone of a private repository with it, as an agent's git makes one.
//!
//! git is given this command as its only credential helper, for this one run, and no token is in an argument, a URL or a
//! file. From 2.46 on it asks the helper before its first request, so that neither a public repository nor a .netrc
//! gets it through without; the helper's user in the URL keeps the usual rewrites of URLs (`insteadOf`) from matching.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Duration;

use adapters::github::{Client, Error, Repository};
use domain::contract::token::{ErrorType, Level, Repositories, Scope};
use domain::ids::RepositoryName;
use secrecy::SecretString;
use tokio::process::Command;

use super::report::{Failed, Found};
use crate::NAME;
use crate::aws::Account;
use crate::credential::USER;
use crate::github_app::{once_known, refused};
use crate::output::Progress;
use crate::stack::Stack;
use crate::text::redacted_line;
use crate::token_function::{IssuedToken, NoToken, TokenFunction};

/// A clone of one commit without its files takes seconds.
const LONGEST_CLONE: Duration = Duration::from_secs(60);

/// A token that is refused after this was not refused for being new: the API has accepted it before.
const BEFORE_ANOTHER: Duration = Duration::from_secs(3);

/// What git says is cut here.
const LONGEST_REASON: usize = 300;

const GET_THROUGH: &str = "the token itself is good: see that git gets through to GitHub from here (proxy, firewall, the \
                           account's list of allowed addresses)";

/// A token that reads code, as git's helper asks for.
pub(super) async fn token(
    stack: &Stack,
    repository: Option<&RepositoryName>,
    progress: Progress,
) -> Found<SecretString> {
    progress.say("Asking the token function for a token...");
    let repositories = repository.map(|name| Repositories::new(&[name.as_str()])).transpose();
    let scope = Scope {
        repositories: repositories.map_err(|invalid| Failed::new(invalid.to_string(), "name it with --clone"))?,
        permissions: Some(BTreeMap::from([("contents".to_owned(), Level::Read)])),
        ..Scope::default()
    };
    let function = TokenFunction::new(stack.session.clone(), stack.tokens().to_owned(), "verify");
    match function.token(&scope).await {
        Ok(IssuedToken { token, .. }) => {
            let whose = token.account.map(|account| format!(" for {account}")).unwrap_or_default();
            Ok((format!("the function returned a token{whose}, valid until {}", token.expires_at), token.token))
        }
        Err(NoToken::Crashed(failure) | NoToken::Other(failure)) => Err(failure.into()),
        Err(NoToken::Refused(refusal)) => {
            let name_it = match refusal.error_type {
                ErrorType::RepositoriesNotNamed => "; name one with --clone",
                _ => "",
            };
            Err(Failed::new(refusal.error_type.headline(), format!("{}{name_it}", refusal.error_message)))
        }
    }
}

pub(super) async fn check(
    stack: &Stack,
    token: &SecretString,
    named: Option<&RepositoryName>,
    account: &Account,
    progress: Progress,
) -> Result<String, Failed> {
    let api_url = &stack.github_api_url;
    let client = Client::new(api_url.clone());
    let found = repository(&client, token, named).await;
    let found = found.map_err(|error| refused("list the repositories that the token opens", api_url, &error))?;
    let Some(repository) = found else {
        return match named {
            Some(named) => Err(Failed::new(
                format!("the token does not open {named}"),
                format!("add it to the installation, or name another with --clone; `{NAME} verify` names the account"),
            )),
            None => Err(Failed::Unproven {
                seen: "the installation opens no private repository: there is nothing that takes a token".to_owned(),
            }),
        };
    };
    progress.say(&format!("Cloning {}...", repository.full_name));
    clone(stack, &repository.full_name, named.is_some(), account).await?;
    let visibility = if repository.private { "private" } else { "public" };
    let helper = &stack.git_credential_helper;
    Ok(format!("{} ({visibility}); an agent's machine is set up with `{helper}`", repository.full_name))
}

/// The repository of this name, or the first private one.
async fn repository(
    client: &Client,
    token: &SecretString,
    named: Option<&RepositoryName>,
) -> Result<Option<Repository>, Error> {
    let mut next: Option<String> = None;
    loop {
        let page = once_known(async || client.installation_repositories(token, next.as_deref()).await).await?;
        let wanted = |found: &Repository| match named {
            Some(named) => found.full_name.is(named.as_str()),
            None => found.private,
        };
        let found = page.body.repositories.into_iter().find(wanted);
        next = page.next;
        if found.is_some() || next.is_none() {
            return Ok(found);
        }
    }
}

async fn clone(stack: &Stack, repository: &RepositoryName, by_path: bool, account: &Account) -> Result<(), Failed> {
    let github = &stack.github_api_url;
    let (protocol, host) = (github.protocol(), github.web_host());
    let site = format!("{protocol}://{host}");
    let helper = helper(stack, account)?;
    let settings = [
        // The empty one leaves every other helper out.
        format!("credential.{site}.helper="),
        format!("credential.{site}.helper={helper}"),
        // As the token was asked for: the same one then comes from the cache.
        format!("credential.{site}.useHttpPath={by_path}"),
        "http.proactiveAuth=basic".to_owned(),
        // What a CI system may send instead of asking a helper.
        format!("http.{site}/{repository}.git.extraHeader="),
    ];
    let url = format!("{protocol}://{USER}@{host}/{repository}.git");
    let mut said = git_clone(&settings, &url).await?;
    if said.is_some() {
        // The API may know a new token some seconds before git's servers do.
        tokio::time::sleep(BEFORE_ANOTHER).await;
        said = git_clone(&settings, &url).await?;
    }
    match said {
        None => Ok(()),
        Some(said) => Err(Failed::new(format!("git does not clone {repository}: {said}"), GET_THROUGH)),
    }
}

/// Clones the latest commit into a folder that is removed again; gives what git says if it cannot.
async fn git_clone(settings: &[String], url: &str) -> Result<Option<String>, Failed> {
    let folder = tempfile::tempdir().map_err(|error| {
        Failed::new(format!("there is no temporary folder: {error}"), "name one that can be written to with TMPDIR")
    })?;
    let mut git = Command::new("git");
    git.args(settings.iter().flat_map(|setting| ["-c", setting]))
        .args(["clone", "--quiet", "--bare", "--depth=1", "--filter=tree:0", "--template=", url])
        .arg(folder.path())
        .env("GIT_TERMINAL_PROMPT", "0")
        // Set but empty: no window asks either.
        .env("GIT_ASKPASS", "")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    match tokio::time::timeout(LONGEST_CLONE, git.output()).await {
        Ok(Ok(output)) if output.status.success() => Ok(None),
        Ok(Ok(output)) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // Cut after the redaction: half a token is not found by it.
            Ok(Some(redacted_line(&said).chars().take(LONGEST_REASON).collect()))
        }
        Ok(Err(error)) => {
            Err(Failed::new(format!("git cannot be run: {error}"), "install git, and put it on the PATH"))
        }
        Err(_) => {
            let seen = format!("git is not done with {url} after {} s", LONGEST_CLONE.as_secs());
            Err(Failed::new(seen, GET_THROUGH))
        }
    }
}

/// This very command, as git's shell runs it.
fn helper(stack: &Stack, account: &Account) -> Result<String, Failed> {
    let command = std::env::current_exe().ok();
    let command = command.as_deref().and_then(std::path::Path::to_str).ok_or_else(|| {
        Failed::new("this command cannot find its own path", "install it with `make install` and run it from there")
    })?;
    let mut words = vec![command, "--region", stack.session.region.as_ref()];
    if let Some(profile) = account.profile() {
        words.extend(["--profile", profile]);
    }
    words.extend(["credential", "--function", stack.tokens(), "--github-api-url", stack.github_api_url.as_str()]);
    let quoted: Vec<String> = words.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
    Ok(format!("!{}", quoted.join(" ")))
}
