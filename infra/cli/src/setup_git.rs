//! `setup-git`: writes the lines that make git ask for tokens, and takes them out again.
//!
//! It touches nothing but its own lines of one host: other helpers of the host stay where they were, and come back with `--undo`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use adapters::config::Variables;
use adapters::github::ApiUrl;
use clap::Args;

use crate::NAME;
use crate::api_url;
use crate::aws::Account;
use crate::failure::Failure;
use crate::output::Progress;

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app setup-git
  konduktor-github-app setup-git --push --function konduktor-token:agents
  konduktor-github-app --profile agents --region eu-west-1 setup-git --local
  konduktor-github-app setup-git --undo";

/// Make git ask the token function for tokens
///
/// Writes into git's configuration that this command is the credential helper of GitHub's host, that the helper is told the
/// repository, and that no other helper of the host is asked, some of which keep tokens on disk. --undo takes that out again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// For every repository of this user (the default)
    #[arg(long, conflicts_with = "local")]
    global: bool,
    /// For the repository of this folder alone
    #[arg(long)]
    local: bool,
    /// Ask for tokens that may push too; the App needs contents: write, and the policy has to allow it
    #[arg(long, conflicts_with = "undo")]
    push: bool,
    /// Take out what an earlier run has written
    #[arg(long)]
    undo: bool,
    /// Name or ARN of the token function, with an alias if need be [default: TOKEN_FUNCTION, else what `credential` asks]
    #[arg(long, value_name = "NAME", conflicts_with = "undo")]
    function: Option<String>,
    /// GitHub's REST API, where it is not github.com's [default: GITHUB_API_URL]
    #[arg(long, value_name = "URL")]
    github_api_url: Option<String>,
}

pub(crate) fn run(arguments: &Arguments, account: &Account) -> Result<(), Failure> {
    let api_url = api_url::given_or_configured(arguments.github_api_url.as_deref())?;
    let section = format!("credential.{}://{}", api_url.protocol(), api_url.web_host());
    let config = Config { scope: if arguments.local { "--local" } else { "--global" } };
    let ours = if arguments.undo { None } else { Some(helper(arguments, &api_url, account)?) };
    let (helpers, paths) = (format!("{section}.helper"), format!("{section}.useHttpPath"));

    let before = config.all(&helpers)?;
    let after = arranged(&before, ours.as_deref());
    let was_ours = before.iter().any(|helper| is_ours(helper));
    let path = match (&ours, was_ours) {
        (Some(_), _) => vec!["true".to_owned()],
        (None, true) => Vec::new(),
        (None, false) => config.all(&paths)?,
    };
    let changed = [config.replace(&helpers, &before, &after)?, config.replace(&paths, &config.all(&paths)?, &path)?];
    let mut text = String::new();
    if changed == [false, false] {
        text.push_str("nothing to change\n");
    } else {
        for (key, values) in [(&helpers, &after), (&paths, &path)] {
            if values.is_empty() {
                text.push_str(&format!("git config {} --unset-all {key}\n", config.scope));
            }
            for value in values {
                text.push_str(&format!("git config {} --add {key} {}\n", config.scope, quoted(value)));
            }
        }
    }
    text.lines().for_each(|line| Progress::ForPeople.say(line));
    Ok(())
}

/// The helpers of a host with ours as the last and only one, or without it. The empty one before it makes git forget the others.
fn arranged(before: &[String], ours: Option<&str>) -> Vec<String> {
    let mut after: Vec<String> = Vec::new();
    for helper in before {
        if is_ours(helper) {
            after.pop_if(|last| last.is_empty());
        } else {
            after.push(helper.clone());
        }
    }
    if let Some(ours) = ours {
        after.extend([String::new(), ours.to_owned()]);
    }
    after
}

/// Whether a line is one of this command's, from whatever place and with whatever options.
fn is_ours(helper: &str) -> bool {
    helper.starts_with('!') && helper.contains(NAME) && helper.contains(" credential")
}

/// This command as git's shell runs it, with all that another terminal may not have in its environment.
fn helper(arguments: &Arguments, api_url: &ApiUrl, account: &Account) -> Result<String, Failure> {
    let mut words = vec![command()?];
    for (flag, value) in [("--profile", account.profile()), ("--region", account.region())] {
        words.extend(value.into_iter().flat_map(|value| [flag.to_owned(), value.to_owned()]));
    }
    words.push("credential".to_owned());
    let function = arguments.function.clone().or_else(|| Variables::default().optional("TOKEN_FUNCTION"));
    words.extend(function.into_iter().flat_map(|name| ["--function".to_owned(), name]));
    if *api_url != ApiUrl::default() {
        words.extend(["--github-api-url".to_owned(), api_url.to_string()]);
    }
    if arguments.push {
        words.push("--write".to_owned());
    }
    Ok(format!("!{}", words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")))
}

/// The command's name where the PATH leads to it, else where it is.
fn command() -> Result<String, Failure> {
    let here = std::env::current_exe().and_then(|path| path.canonicalize());
    let here = here.map_err(|error| Failure::new(format!("the path of this program cannot be found ({error})")))?;
    let path = Variables::default().optional("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(NAME)).find(|path| path.is_file());
    let same = found.and_then(|path: PathBuf| path.canonicalize().ok()).is_some_and(|path| path == here);
    match (same, Path::to_str(&here)) {
        (true, _) => Ok(NAME.to_owned()),
        (false, Some(path)) => Ok(path.to_owned()),
        (false, None) => Err(Failure::new(format!("put {NAME} on the PATH: `make install`"))),
    }
}

/// As a shell takes it for one word.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// One of git's files.
struct Config {
    scope: &'static str,
}

impl Config {
    fn all(&self, key: &str) -> Result<Vec<String>, Failure> {
        let values = self.git(&["-z", "--get-all", key])?.unwrap_or_default();
        Ok(values.split_terminator('\0').map(str::to_owned).collect())
    }

    /// Gives whether there was anything to change.
    fn replace(&self, key: &str, before: &[String], after: &[String]) -> Result<bool, Failure> {
        if before == after {
            return Ok(false);
        }
        if !before.is_empty() {
            self.git(&["--unset-all", key])?;
        }
        for value in after {
            self.git(&["--add", key, value])?;
        }
        Ok(true)
    }

    /// `None`: there is no such key.
    fn git(&self, arguments: &[&str]) -> Result<Option<String>, Failure> {
        let output = Command::new("git").args(["config", self.scope]).args(arguments).stdin(Stdio::null()).output();
        let output =
            output.map_err(|error| Failure::new(format!("git cannot be run ({error}): put it on the PATH")))?;
        match output.status.code() {
            Some(0) => Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned())),
            Some(1) => Ok(None),
            _ => {
                let said = String::from_utf8_lossy(&output.stderr);
                Err(Failure::new(format!("git config {}: {}", self.scope, said.trim())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{arranged, is_ours, quoted};

    const OURS: &str = "!konduktor-github-app credential";

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_is_not_ours_comes_back() {
        for before in [&[][..], &["store"], &["", "manager"], &["manager", ""], &["!gh auth git-credential"]] {
            let with = arranged(&texts(before), Some(OURS));
            assert_eq!(with[with.len() - 2..], ["", OURS], "it is the only one that git asks");
            assert_eq!(arranged(&with, Some(OURS)), with, "once is enough");
            assert_eq!(arranged(&with, None), texts(before));
        }
    }

    #[test]
    fn an_earlier_line_of_ours_is_replaced() {
        for earlier in [
            OURS,
            "!TOKEN_FUNCTION=acme-token AWS_PROFILE=agents konduktor-github-app credential --write",
            "!'/opt/a b/konduktor-github-app' --region eu-west-1 credential",
        ] {
            assert!(is_ours(earlier), "{earlier}");
            assert_eq!(arranged(&texts(&["", earlier]), Some("!new")), ["", "!new"]);
            assert_eq!(arranged(&texts(&["store", earlier]), None), ["store"]);
        }
        assert!(!is_ours("store --file ~/konduktor-github-app credential"));
    }

    #[test]
    fn a_word_stays_one_word() {
        assert_eq!(quoted("konduktor-token:agents"), "konduktor-token:agents");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's $HOME"), r"'it'\''s $HOME'");
    }
}
