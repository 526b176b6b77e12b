//! `credential`: git's credential helper (<https://git-scm.com/docs/gitcredentials#_custom_helpers>).
//!
//! git starts it anew for each command, so nothing is kept here: a token is as fresh as the token function's cache. It
//! answers for GitHub alone. For everything else it is silent and content, so that git asks the next helper. So it is for what it
//! does not understand in full: a path that is left out or cut would open more than the repository at hand.

use std::collections::BTreeMap;
use std::io::Read;

use adapters::github::ApiUrl;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use domain::contract::token::{ErrorType, Level, Repositories, Scope, Token};
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::api_url;
use crate::aws::Account;
use crate::failure::Failure;
use crate::output;
use crate::token_function::{Function, NoToken, TokenFunction};

/// The user that goes with every installation token.
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/authenticating-as-a-github-app-installation>
pub(crate) const USER: &str = "x-access-token";

/// Whom people write into URLs for GitHub without meaning anybody: `https://git@github.com/…`, as over SSH.
const NOBODY: &str = "git";

/// GitHub gives out no longer login; a token is longer.
const LONGEST_LOGIN: usize = 39;

/// What a git of 2.46 and later announces: it then takes a whole header, and tells no other helper.
/// <https://git-scm.com/docs/git-credential#_input_output_format>
const AUTHTYPE: &str = "authtype";

/// What git describes is a few lines; a 2 KB token is the longest.
const LONGEST_DESCRIPTION: u64 = 64 * 1024;

const EXAMPLES: &str = "\
Examples:
  Clone and fetch what the App may read:
    git config --global credential.https://github.com.helper \\
      '!konduktor-github-app credential'
  A token for just the repository at hand:
    git config --global credential.https://github.com.useHttpPath true
  Push:
    git config --global credential.https://github.com.helper \\
      '!konduktor-github-app credential --write'
  Another function and profile:
    git config --global credential.https://github.com.helper \\
      '!konduktor-github-app --profile agents credential --function acme-token'

`konduktor-github-app setup-git` writes such lines, and takes them out again.

git offers a working password to every helper of the host, and some write it to
disk. An empty helper before this one leaves the others out:
    git config --global credential.https://github.com.helper ''
    git config --global --add credential.https://github.com.helper \\
      '!konduktor-github-app credential'";

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
    let api_url = api_url::given_or_configured(arguments.github_api_url.as_deref())?;
    let Some(description) = description.filter(|description| description.is_for(&api_url)) else { return Ok(()) };
    if arguments.operation == "erase" {
        return erase(&description, &arguments, account).await;
    }
    if let Some(user) = description.username.as_deref().filter(|user| !["", USER, NOBODY].contains(user)) {
        // Without a word git asks for a password that there is nobody to type.
        output::note(&format!("{}: {}", crate::NAME, another_user(user)));
        return Ok(());
    }
    match description.scope(&arguments) {
        Some(scope) => get(&description, &scope, &api_url, &arguments, account).await,
        None => Ok(()),
    }
}

fn another_user(user: &str) -> Failure {
    // Some write a token there.
    let user = if user.len() > LONGEST_LOGIN { "another user" } else { &format!("the user {user}") };
    Failure::new(format!(
        "the URL names {user}, and these tokens are not the password of that user: take the name out of the URL to use the \
         App's tokens"
    ))
}

async fn get(
    description: &Description,
    scope: &Scope,
    api_url: &ApiUrl,
    arguments: &Arguments,
    account: &Account,
) -> Result<(), Failure> {
    let command = if arguments.write { "credential get --write" } else { "credential get" };
    let function = TokenFunction::connect(&arguments.function, account, command).await?;
    let answer = match function.token(scope).await {
        Ok(answer) => answer,
        Err(refusal) => {
            if matches!(refusal, NoToken::Refused(_) | NoToken::Crashed(_)) {
                // It is for us and we have nothing: whoever is asked next has no better answer, and would hide the reason.
                output::write("quit=1\n")?;
            }
            return Err(match refusal {
                NoToken::Refused(refusal) if refusal.error_type == ErrorType::RepositoriesNotNamed => {
                    Failure::new(format!(
                        "{}; let git name them: `git config --global credential.useHttpPath true`",
                        refusal.error_message
                    ))
                }
                other => other.into(),
            });
        }
    };
    let is_other = |other: &&str| other.parse().as_ref() != Ok(api_url);
    if let Some(other) = answer.token.api_url.as_deref().filter(is_other) {
        return Err(Failure::new(format!(
            "the token function serves the GitHub at {other} and not that at {api_url}: name its own with \
             --github-api-url, or another function with --function"
        )));
    }
    output::write(&*lines(&answer.token, description.takes_authtype)?)
}

fn lines(answer: &Token, takes_authtype: bool) -> Result<Zeroizing<String>, Failure> {
    let token = answer.token.expose_secret();
    // A line break would end the password and begin an attribute of its own.
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Failure::new("the token function answered with something that git cannot take for a password"));
    }
    let expiry = answer.expires_at.as_second().to_string();
    // Room for all of it: a text that grows leaves copies of the token behind.
    let mut lines = Zeroizing::new(String::with_capacity(2 * token.len() + 256));
    let mut write = |parts: &[&str]| parts.iter().for_each(|part| lines.push_str(part));
    if takes_authtype {
        let mut pair = Zeroizing::new(String::with_capacity(USER.len() + 1 + token.len()));
        [USER, ":", token].iter().for_each(|part| pair.push_str(part));
        let credential = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        write(&["capability[]=", AUTHTYPE, "\nauthtype=Basic\ncredential=", &credential, "\nephemeral=1\n"]);
    } else {
        write(&["username=", USER, "\npassword=", token, "\n"]);
    }
    write(&["password_expiry_utc=", &expiry, "\n"]);
    Ok(lines)
}

/// Reports a rejected password, but only one that this helper may have given: another helper's is not ours to pass on.
async fn erase(description: &Description, arguments: &Arguments, account: &Account) -> Result<(), Failure> {
    let Some((user, password)) = description.rejected() else { return Ok(()) };
    if user != USER {
        return Ok(());
    }
    let sha256 = Sha256::digest(password.expose_secret()).into();
    let function = TokenFunction::connect(&arguments.function, account, "credential erase").await?;
    Ok(function.invalidate(sha256).await?)
}

/// What git says about the place it wants to reach.
#[derive(Debug, Default)]
struct Description {
    protocol: Option<String>,
    host: Option<String>,
    path: Option<String>,
    username: Option<String>,
    password: Option<SecretString>,
    authtype: Option<String>,
    credential: Option<SecretString>,
    takes_authtype: bool,
}

impl Description {
    fn read() -> Result<Option<Self>, Failure> {
        let mut text = Zeroizing::new(Vec::with_capacity(4096));
        let read = std::io::stdin().take(LONGEST_DESCRIPTION + 1).read_to_end(&mut text);
        read.map_err(|error| Failure::new(format!("standard input cannot be read: {error}")))?;
        Ok(Self::parse(&text))
    }

    /// `None` for what is not understood in full: cut, a line that is no pair, no UTF-8 or holds a control character, an attribute
    /// that stands twice, more behind the empty line that ends it. Were such a line left out, the token would be for another place than
    /// git means.
    fn parse(text: &[u8]) -> Option<Self> {
        if text.len() as u64 > LONGEST_DESCRIPTION {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?.strip_suffix('\n')?;
        let mut description = Self::default();
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            let (name, value) = line.split_once('=')?;
            if name.is_empty() || line.contains(char::is_control) {
                return None;
            }
            let once = match name {
                "protocol" => description.protocol.replace(value.to_owned()).is_none(),
                "host" => description.host.replace(value.to_ascii_lowercase()).is_none(),
                "path" => description.path.replace(value.to_owned()).is_none(),
                "username" => description.username.replace(value.to_owned()).is_none(),
                "password" => description.password.replace(value.into()).is_none(),
                "authtype" => description.authtype.replace(value.to_owned()).is_none(),
                "credential" => description.credential.replace(value.into()).is_none(),
                // An empty one takes back those before it.
                "capability[]" => {
                    description.takes_authtype = value == AUTHTYPE || description.takes_authtype && !value.is_empty();
                    true
                }
                // git takes it apart before it asks. It would name a path that is not heeded here.
                "url" => false,
                // Attributes of other names are for other versions of git.
                _ => true,
            };
            if !once {
                return None;
            }
        }
        Some(description)
    }

    /// Whether it is about the GitHub of an API URL.
    fn is_for(&self, api_url: &ApiUrl) -> bool {
        let (protocol, Some(asked)) = (api_url.protocol(), &self.host) else { return false };
        let asked = asked.strip_suffix(":443").filter(|_| protocol == "https").unwrap_or(asked);
        self.protocol.as_deref() == Some(protocol) && asked == api_url.web_host()
    }

    /// What to ask the token function for; `None` for a path that is no repository's.
    fn scope(&self, arguments: &Arguments) -> Option<Scope> {
        let repositories = match self.path.as_deref() {
            None => None,
            Some(path) => Some(repository(path)?),
        };
        let level = if arguments.write { Level::Write } else { Level::Read };
        Some(Scope {
            repositories,
            permissions: Some(BTreeMap::from([("contents".to_owned(), level)])),
            installation_id: arguments.function.installation_id,
            min_ttl_seconds: None,
        })
    }

    /// User and password that were rejected, in whichever form git has them.
    fn rejected(&self) -> Option<(String, SecretString)> {
        let is_basic = |authtype: &String| authtype.eq_ignore_ascii_case("basic");
        if let (Some(user), Some(password)) = (&self.username, &self.password) {
            return Some((user.clone(), password.clone()));
        }
        let credential = self.credential.as_ref().filter(|_| self.authtype.as_ref().is_some_and(is_basic))?;
        let pair = Zeroizing::new(BASE64_STANDARD.decode(credential.expose_secret()).ok()?);
        let (user, password) = std::str::from_utf8(&pair).ok()?.split_once(':')?;
        Some((user.to_owned(), password.into()))
    }
}

/// The repository of `owner/name.git`, of its wiki and of its large files. git-lfs has named the endpoint, what is below it, and
/// the repository alone, depending on its age.
fn repository(path: &str) -> Option<Repositories> {
    let path = path.trim_matches('/');
    let path = path
        .split_once("/info/lfs")
        .filter(|(_, below)| below.is_empty() || below.starts_with('/'))
        .map_or(path, |(path, _)| path);
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let path = path.strip_suffix(".wiki").unwrap_or(path);
    path.contains('/').then(|| Repositories::new(&[path]).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_understood_in_full_is_nothing() {
        let whole = "protocol=https\nhost=github.com\npath=acme/app.git\n";
        assert!(Description::parse(whole.as_bytes()).is_some());
        assert!(Description::parse(format!("{whole}\n").as_bytes()).is_some());
        let long = format!("{whole}wwwauth[]={}\n", "x".repeat(64 * 1024));
        for text in [
            "",
            "protocol=https\nhost=github.com\npath=acme/ap",
            "protocol=https\nhost=github.com\npath\n",
            "protocol=https\nhost=github.com\nhost=example.com\n",
            "protocol=https\nhost=github.com\npath=acme/app\npath=acme/web\n",
            "protocol=https\nhost=github.com\n\npath=acme/app\n",
            "protocol=https\nhost=github.com\nurl=https://github.com/acme/app\n",
            "protocol=https\nhost=github.com\n=acme/app\n",
            "protocol=https\nhost=github.com\npath=acme/app\0.git\n",
            "protocol=https\nhost=github.com\npath=acme/app\u{9b}1m\n",
            "protocol=https\r\nhost=github.com\r\npath=acme/app\r\n",
            "protocol=https\r\nhost=github.com\r\npath=acme/app\r\n\r\n",
            "\nprotocol=https\nhost=github.com\n",
            "\n",
            &long,
        ] {
            assert!(Description::parse(text.as_bytes()).is_none(), "{text:.80}");
        }
        assert!(Description::parse(b"protocol=https\nhost=github.com\npath=acme/\xff.git\n").is_none());
    }

    #[test]
    fn only_the_host_that_belongs_to_the_api_is_ours() {
        let is_for = |api: &str, protocol: &str, host: &str| {
            Description::parse(format!("protocol={protocol}\nhost={host}\n").as_bytes())
                .unwrap()
                .is_for(&api.parse().unwrap())
        };
        for (api, protocol, host) in [
            ("https://api.github.com", "https", "github.com"),
            ("https://api.github.com", "https", "GitHub.com"),
            ("https://api.github.com", "https", "github.com:443"),
            ("https://api.github.com", "https", "GITHUB.COM:443"),
            ("https://GitHub.acme.example:443/api/v3", "https", "github.acme.example"),
            ("https://[::1]:8443/api/v3", "https", "[::1]:8443"),
            ("https://api.acme.ghe.com", "https", "acme.ghe.com"),
            ("https://github.acme.example/api/v3", "https", "github.acme.example"),
            ("https://github.acme.example:8443/api/v3", "https", "github.acme.example:8443"),
            ("http://127.0.0.1:9000", "http", "127.0.0.1:9000"),
        ] {
            assert!(is_for(api, protocol, host), "{api} {protocol}://{host}");
        }
        for (api, protocol, host) in [
            ("https://api.github.com", "http", "github.com"),
            ("https://api.github.com", "https", "api.github.com"),
            ("https://api.github.com", "https", "gist.github.com"),
            ("https://api.github.com", "https", "github.com.example"),
            ("https://api.github.com", "https", "notgithub.com"),
            ("https://api.github.com", "https", "github.com:8443"),
            ("https://api.github.com", "https", "github.com."),
            ("https://api.github.com", "https", "github.com:"),
            ("https://api.github.com", "https", "github.com@example.com"),
            ("https://api.github.com", "https", "github.com/acme"),
            ("https://api.github.com", "HTTPS", "github.com"),
            ("https://[::1]:8443/api/v3", "https", "[::1]"),
            ("https://api.github.com", "https", "acme.ghe.com"),
            ("https://api.github.com", "ssh", "github.com"),
            ("https://api.github.com", "https", ""),
            ("https://api.acme.ghe.com", "https", "other.ghe.com"),
            ("https://github.acme.example/api/v3", "https", "github.com"),
        ] {
            assert!(!is_for(api, protocol, host), "{api} {protocol}://{host}");
        }
    }

    #[test]
    fn git_lfs_of_every_age_means_the_repository() {
        let expected = Repositories::new(&["acme/app"]).unwrap();
        for path in [
            "acme/app",
            "acme/app.git",
            "/acme/app.git/",
            "acme/app.wiki.git",
            "acme/app.git/info/lfs",
            "acme/app.git/info/lfs/",
            "acme/app/info/lfs/objects/batch",
            "acme/app.git/info/lfs/locks/verify",
        ] {
            assert_eq!(repository(path).as_ref(), Some(&expected), "{path}");
        }
        for path in [
            "",
            "/",
            "acme",
            "acme.git",
            "acme/app/pulls",
            "a/b/c",
            "acme/..",
            "../app",
            "acme/app%2f",
            "acme/\0",
            "acme/app.git/info/lfsx",
            "acme/info/lfs",
            "acme/info/lfs/locks",
            "acme/app.git/.git/info/lfs",
            "acme%2fapp",
            "acme/%61pp",
            "acme//app",
            "acme/app.git?service=git-upload-pack",
            "acme/app.git/info/refs",
            "acme/.git",
            "acme/app ",
        ] {
            assert_eq!(repository(path), None, "{path:?}");
        }
    }

    #[test]
    fn an_empty_capability_takes_back_those_before_it() {
        let takes = |text: &str| Description::parse(text.as_bytes()).unwrap().takes_authtype;
        assert!(takes("capability[]=authtype\ncapability[]=state\n"));
        assert!(takes("capability[]=one-of-tomorrow\ncapability[]=authtype\n\n"));
        assert!(!takes("capability[]=authtype\ncapability[]=\n"));
        assert!(!takes("capability[]=one-of-tomorrow\n"));
        assert!(!takes("capability=authtype\n"));
    }

    #[test]
    fn a_rejected_password_is_read_in_both_forms() {
        let read = |text: &str| {
            Description::parse(text.as_bytes())
                .unwrap()
                .rejected()
                .map(|(user, password)| (user, password.expose_secret().to_owned()))
        };
        let expected = Some((USER.to_owned(), "ghs_a:b".to_owned()));
        assert_eq!(read("username=x-access-token\npassword=ghs_a:b\n"), expected);
        let credential = BASE64_STANDARD.encode("x-access-token:ghs_a:b");
        assert_eq!(read(&format!("authtype=Basic\ncredential={credential}\n")), expected);
        assert_eq!(read(&format!("authtype=basic\ncredential={credential}\n")), expected);
        assert_eq!(read(&format!("username=x-access-token\nauthtype=Basic\ncredential={credential}\n")), expected);
        assert_eq!(read(&format!("authtype=Bearer\ncredential={credential}\n")), None);
        assert_eq!(read("authtype=Basic\ncredential=***\n"), None);
    }

    #[test]
    fn a_hostile_description_is_read_in_full_or_not_at_all() {
        let descriptions = [
            "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=github.com\npath=acme/app.git\n",
            "protocol=https\nhost=github.com:443\npath=acme/app.git/info/lfs\nusername=x-access-token\npassword=ghs_a:b\n\n",
            "protocol=https\nhost=[::1]:8443\nauthtype=Basic\ncredential=eC1hY2Nlc3MtdG9rZW46Z2hzX2E6Yg==\nwwwauth[]=Basic\n",
        ];
        hostile::attack(&descriptions, |input| {
            let Some(mut description) = Description::parse(input) else { return };
            let shown = format!("{description:?}");
            for secret in [&mut description.password, &mut description.credential].into_iter().flatten() {
                *secret = "another".into();
            }
            assert_eq!(format!("{description:?}"), shown, "it is not shown which secret was given");
            for api in ["https://api.github.com", "https://[::1]:8443/api/v3", "https://api.acme.ghe.com"] {
                description.is_for(&api.parse().unwrap());
            }
            description.rejected();
            if let Some(repositories) = description.path.as_deref().and_then(repository) {
                assert_eq!((repositories.owner().is_some(), repositories.names().len()), (true, 1));
            }
        });
    }
}
