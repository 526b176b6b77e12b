//! `credential`: git's credential helper (<https://git-scm.com/docs/gitcredentials#_custom_helpers>).
//!
//! git starts it anew for each command, so nothing is kept here: a token is as fresh as the token function's cache. It
//! answers for GitHub alone. For everything else it is silent and content, so that git asks the next helper.

use std::collections::BTreeMap;
use std::io::Read;

use adapters::config::{Variables, check_api_url};
use clap::Args;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::aws::Account;
use crate::failure::Failure;
use crate::github_app::web_host;
use crate::output;
use crate::token_function::{Answer, Function, Refusal, Scope, TokenFunction, wants_repositories};

/// The user that goes with every installation token.
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>
pub(crate) const USER: &str = "x-access-token";

/// What git describes is a few lines; a 2 KB token is the longest.
const LONGEST_DESCRIPTION: u64 = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  Clone and fetch what the App may read:
    git config --global credential.https://github.com.helper '!konduktor-github-app credential'
  A token for just the repository at hand:
    git config --global credential.https://github.com.useHttpPath true
  Push:
    git config --global credential.https://github.com.helper '!konduktor-github-app credential --write'
  Another function, region and profile:
    git config --global credential.https://github.com.helper \\
      '!TOKEN_FUNCTION=acme-token AWS_PROFILE=agents AWS_REGION=eu-west-1 konduktor-github-app credential'

git offers a working password to every helper of the host, and some write it to disk. An empty helper before this one
leaves the others out:
    git config --global credential.https://github.com.helper ''
    git config --global --add credential.https://github.com.helper '!konduktor-github-app credential'";

/// Give git the token it asks for (git's credential helper protocol)
///
/// It answers for https and the host that belongs to the GitHub API URL, and says nothing for others. A rejected token
/// is reported to the token function, so that nobody is handed it again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Ask for contents: write, for pushes
    #[arg(long)]
    write: bool,
    /// GitHub's REST API, where it is not github.com's [default: GITHUB_API_URL]
    #[arg(long, value_name = "URL")]
    github_api_url: Option<String>,
    #[command(flatten)]
    function: Function,
    /// get, store or erase, as git says; anything else is ignored
    #[arg(value_name = "OPERATION")]
    operation: String,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let description = match arguments.operation.as_str() {
        "get" | "erase" => Description::read()?,
        // git keeps nothing here, and a helper has to ignore operations that it does not know.
        _ => return Ok(()),
    };
    let api_url = api_url(arguments.github_api_url.as_deref())?;
    let Some(scope) = description.scope(&api_url, &arguments) else { return Ok(()) };
    if arguments.operation == "get" {
        get(&scope, &arguments, account).await
    } else {
        erase(&description, &scope, &arguments, account).await
    }
}

async fn get(scope: &Scope, arguments: &Arguments, account: &Account) -> Result<(), Failure> {
    let command = if arguments.write { "credential get --write" } else { "credential get" };
    let function = TokenFunction::connect(&arguments.function, account, command).await?;
    let answer = function.token(scope).await.map_err(|refusal| match refusal {
        Refusal::Function { message, .. } if wants_repositories(&message) => {
            Failure::new(format!("{message}; let git name them: `git config --global credential.useHttpPath true`"))
        }
        other => other.into(),
    })?;
    output::write(&*lines(&answer)?)
}

fn lines(answer: &Answer) -> Result<Zeroizing<String>, Failure> {
    let token = answer.token.expose_secret();
    // A line break would end the password and begin an attribute of its own.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::new("the token function answered with something that git cannot take for a password"));
    }
    let expiry = answer.expires_at.as_second();
    // Room for all of it: a text that grows leaves copies of the token behind.
    let mut lines = Zeroizing::new(String::with_capacity(token.len() + 128));
    for part in ["username=", USER, "\npassword=", token, "\npassword_expiry_utc=", &expiry.to_string(), "\n"] {
        lines.push_str(part);
    }
    Ok(lines)
}

/// Reports a rejected password, but only one that this helper may have given: another helper's is not ours to pass on.
async fn erase(
    description: &Description,
    scope: &Scope,
    arguments: &Arguments,
    account: &Account,
) -> Result<(), Failure> {
    let (Some(USER), Some(password)) = (description.username.as_deref(), &description.password) else {
        return Ok(());
    };
    let sha256 = hex::encode(Sha256::digest(password.expose_secret()));
    let function = TokenFunction::connect(&arguments.function, account, "credential erase").await?;
    Ok(function.invalidate(scope, &sha256).await?)
}

pub(crate) fn api_url(flag: Option<&str>) -> Result<String, Failure> {
    if let Some(url) = flag {
        return check_api_url(url).map_err(|reason| Failure::new(format!("--github-api-url: {reason}")));
    }
    let mut variables = Variables::default();
    let url = variables.github_api_url();
    variables.finish()?;
    Ok(url)
}

/// What git says about the place it wants to reach.
#[derive(Debug, Default)]
struct Description {
    protocol: String,
    host: String,
    path: Option<String>,
    username: Option<String>,
    password: Option<SecretString>,
}

impl Description {
    fn read() -> Result<Self, Failure> {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        let read = std::io::stdin().take(LONGEST_DESCRIPTION).read_to_end(&mut text);
        read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        Ok(Self::parse(&text))
    }

    /// Attributes of other names are for other versions of git; what is not UTF-8 names nothing on GitHub.
    fn parse(text: &[u8]) -> Self {
        let mut description = Self::default();
        let lines = text.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
        for line in lines {
            let pair = std::str::from_utf8(line).ok().and_then(|line| line.split_once('='));
            let Some((name, value)) = pair else { continue };
            match name {
                "protocol" => description.protocol = value.to_owned(),
                "host" => description.host = value.to_ascii_lowercase(),
                "path" => description.path = Some(value.to_owned()),
                "username" => description.username = Some(value.to_owned()),
                "password" => description.password = Some(value.into()),
                _ => {}
            }
        }
        description
    }

    /// What to ask the token function for; `None` if this is not for us to answer.
    fn scope(&self, api_url: &str, arguments: &Arguments) -> Option<Scope> {
        let (protocol, host) = web_host(api_url)?;
        let asked = self.host.strip_suffix(":443").filter(|_| protocol == "https").unwrap_or(&self.host);
        if self.protocol != protocol || asked != host {
            return None;
        }
        // A URL that names another user wants that user's password.
        if self.username.as_deref().is_some_and(|user| user != USER) {
            return None;
        }
        let repositories = match self.path.as_deref() {
            None => Vec::new(),
            Some(path) => vec![repository(path)?],
        };
        let level = if arguments.write { "write" } else { "read" };
        Some(Scope {
            repositories,
            permissions: BTreeMap::from([("contents".to_owned(), level.to_owned())]),
            installation_id: arguments.function.installation_id,
            min_ttl_seconds: None,
        })
    }
}

/// `owner/name` of `owner/name.git`, of its wiki and of its large files.
fn repository(path: &str) -> Option<String> {
    let path = path.trim_matches('/');
    let path = path.strip_suffix("/info/lfs").unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let path = path.strip_suffix(".wiki").unwrap_or(path);
    let (owner, name) = path.split_once('/')?;
    (!owner.is_empty() && !name.is_empty() && !name.contains('/')).then(|| path.to_owned())
}
