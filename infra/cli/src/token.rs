//! `token`: an installation token for scripts.

use clap::Args;
use domain::contract::token::{Level, Permissions, Repositories, Scope, is_permission};
use secrecy::ExposeSecret;
use secrecy::zeroize::Zeroizing;

use crate::aws::Account;
use crate::failure::Failure;
use crate::output;
use crate::token_function::{Function, TokenFunction};

const EXAMPLES: &str = "\
Examples:
  GH_TOKEN=$(konduktor-github-app token --repository app \\
    --permission pull_requests=write) gh pr list --repo acme/app
  konduktor-github-app token --repository acme/app --repository acme/api \\
    --permission contents=read --json";

/// Print an installation token, valid for an hour at most
///
/// The token comes from the token function's cache, or is minted. Without --repository it opens every repository of
/// the installation, without --permission everything that the policy allows: ask for less.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// A repository it opens, owner/name or name; may be repeated
    #[arg(long, value_name = "REPOSITORY")]
    repository: Vec<String>,
    /// What it may do there, such as contents=write; may be repeated
    #[arg(long, value_name = "NAME=LEVEL", value_parser = permission)]
    permission: Vec<(String, Level)>,
    /// How long it lives at least
    #[arg(long, value_name = "SECONDS")]
    min_ttl: Option<u32>,
    /// Print the whole answer: expiry, installation, permissions, repositories
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    function: Function,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let repositories = (!arguments.repository.is_empty()).then(|| Repositories::new(&arguments.repository));
    let scope = Scope {
        repositories: repositories.transpose().map_err(|invalid| Failure::new(invalid.to_string()))?,
        permissions: permissions(arguments.permission)?,
        installation_id: arguments.function.installation_id,
        min_ttl_seconds: arguments.min_ttl,
    };
    let function = TokenFunction::connect(&arguments.function, account, "token").await?;
    let answer = function.token(&scope).await?;
    if arguments.json {
        // The function's own answer, which may say more than this command knows of.
        return output::write_json(std::str::from_utf8(&answer.json).unwrap_or_default());
    }
    let token = answer.token.token.expose_secret();
    let mut line = Zeroizing::new(String::with_capacity(token.len() + 1));
    line.push_str(token);
    line.push('\n');
    output::write(&*line)
}

fn permission(text: &str) -> Result<(String, Level), String> {
    let pair = text.split_once('=').filter(|(name, _)| is_permission(name));
    let (name, level) = pair.ok_or("write it as name=level, such as contents=write")?;
    Ok((name.to_owned(), level.parse::<Level>().map_err(|invalid| invalid.to_string())?))
}

/// The same permission at two levels is a mistake, and choosing one of them would hide it.
fn permissions(pairs: Vec<(String, Level)>) -> Result<Option<Permissions>, Failure> {
    let mut permissions = Permissions::new();
    for (name, level) in pairs {
        let other = permissions.insert(name.clone(), level);
        if other.is_some_and(|other| other != level) {
            return Err(Failure::new(format!("--permission {name} is given with two levels: leave one out")));
        }
    }
    Ok((!permissions.is_empty()).then_some(permissions))
}
