//! What the operator says: in the guide's dialogue, in flags, or in the files of a self-hosted server.

use std::fs::File;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};

use adapters::config::Variables;
use adapters::github::app::AppKey;
use domain::contract::secrets::{self, SelfHosted};
use domain::ids::{InstallationId, Issuer, NotAnIssuer};
use domain::pasted::trimmed;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};

use super::Arguments;
use crate::failure::Failure;
use crate::output::Progress;
use crate::prompt;

/// A secret of Secrets Manager holds no more, and what belongs into one is far smaller.
const LARGEST_FILE: u64 = 65_536;

pub(super) struct Answers {
    pub(super) app_id: Issuer,
    pub(super) key: AppKey,
    /// `None`: the one that the stack generated.
    pub(super) webhook_secret: Option<SecretString>,
    pub(super) installation_id: Option<InstallationId>,
}

/// What flags and files say, read before anything goes over the network; a person is asked for the rest.
pub(super) struct Given {
    app_id: Option<Issuer>,
    key: Option<AppKey>,
    webhook_secret: Option<SecretString>,
    installation_id: Option<InstallationId>,
}

impl Given {
    pub(super) fn of(arguments: &Arguments) -> Result<Self, Failure> {
        if let Some(folder) = &arguments.from {
            return from_self_hosted(folder.clone(), arguments.installation_id);
        }
        let given = Self {
            app_id: arguments.app_id.clone(),
            key: arguments.pem.as_deref().map(|file| key(&read(file)?)).transpose()?,
            webhook_secret: match &arguments.webhook_secret_file {
                Some(file) => Some(webhook_secret(&read(file)?)?),
                None => None,
            },
            installation_id: arguments.installation_id,
        };
        if given.lacks_any() && !prompt::is_possible() {
            return Err(Failure::new(
                "nobody is at the terminal to be asked: pass --app-id and --pem, or --from for a self-hosted set-up",
            ));
        }
        Ok(given)
    }

    fn lacks_any(&self) -> bool {
        self.app_id.is_none() || self.key.is_none()
    }

    /// Asks for what is left open, each until the answer is one.
    pub(super) fn ask(self, progress: Progress) -> Result<Answers, Failure> {
        let asks = self.lacks_any();
        if asks {
            progress.say("=== GitHub App Setup ===");
        }
        let app_id = match self.app_id {
            Some(app_id) => app_id,
            None => prompt::answer(progress, || {
                let typed = prompt::line("  App ID:", progress)?;
                Ok(typed.parse().map_err(|error: NotAnIssuer| Failure::new(error.to_string())))
            })?,
        };
        let webhook_secret = match self.webhook_secret {
            None if asks => prompt::answer(progress, || {
                let question = "  Webhook secret (Enter keeps the one that the stack generated):";
                let typed = prompt::hidden(question, progress)?;
                Ok((!typed.expose_secret().is_empty()).then(|| webhook_secret(&typed)).transpose())
            })?,
            given => given,
        };
        let key = match self.key {
            Some(key) => key,
            None => prompt::answer(progress, || {
                let path = at_home(&prompt::line("  Path to PEM file:", progress)?);
                Ok(read(&path).and_then(|pem| key(&pem)))
            })?,
        };
        Ok(Answers { app_id, key, webhook_secret, installation_id: self.installation_id })
    }
}

fn from_self_hosted(folder: Option<PathBuf>, installation_id: Option<InstallationId>) -> Result<Given, Failure> {
    let folder = folder.or_else(|| Variables::default().optional("KONDUKTOR_DIR").map(PathBuf::from));
    let folder = folder.unwrap_or_else(|| at_home("~/.konduktor"));
    let path = folder.join("github-app.json");
    let text = read(&path)?;
    let set_up: SelfHosted = secrets::parse(&text).map_err(|reason| {
        Failure::new(format!(
            "{} is not what configure-github-app writes, {reason}: it holds app_id, installation_id and webhook_secret",
            path.display()
        ))
    })?;
    Ok(Given {
        app_id: Some(set_up.app_id),
        key: Some(key(&read(&folder.join("github-app.pem"))?)?),
        webhook_secret: Some(webhook_secret(&set_up.webhook_secret)?),
        installation_id: installation_id.or(set_up.installation_id),
    })
}

pub(crate) fn key(pem: &SecretString) -> Result<AppKey, Failure> {
    AppKey::from_pem(pem).map_err(|error| Failure::new(error.to_string()))
}

/// One line of text: what is more, or less, cannot be typed into GitHub's form.
pub(super) fn webhook_secret(text: &SecretString) -> Result<SecretString, Failure> {
    let text = trimmed(text.expose_secret());
    if text.is_empty() || text.chars().any(char::is_control) {
        return Err(Failure::new("a webhook secret is one line of text, such as `openssl rand -hex 32` prints"));
    }
    Ok(text.into())
}

pub(super) fn read(path: &Path) -> Result<SecretString, Failure> {
    let fail = |what: String| Failure::new(format!("{}: {what}", path.display()));
    let mut bytes = Zeroizing::new(Vec::with_capacity(8192));
    let read = if path == Path::new("-") {
        stdin().take(LARGEST_FILE + 1).read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(|error| fail(error.to_string()))?;
        file.take(LARGEST_FILE + 1).read_to_end(&mut bytes)
    };
    read.map_err(|error| fail(error.to_string()))?;
    if bytes.len() as u64 > LARGEST_FILE {
        return Err(fail(format!(
            "over {LARGEST_FILE} bytes, the most that Secrets Manager takes: this is another file"
        )));
    }
    let text =
        std::str::from_utf8(&bytes).map_err(|_| fail("not text: a PEM and a webhook secret both are".to_owned()))?;
    Ok(text.into())
}

/// A path as it is typed: no shell has replaced its `~`.
fn at_home(path: &str) -> PathBuf {
    let home = Variables::default().optional("HOME");
    match (path.strip_prefix("~/"), home) {
        (Some(rest), Some(home)) => Path::new(&home).join(rest),
        _ => PathBuf::from(path),
    }
}
