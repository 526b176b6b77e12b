//! The App's side: which installation is meant, and its secret.

use adapters::github::{App, Installation, RepositorySelection};
use adapters::secrets::{self, AppSecret};
use domain::ids::{InstallationId, Issuer};
use secrecy::SecretString;

use crate::failure::Failure;
use crate::github_app::{GitHubApp, missing, suspended};
use crate::output::Progress;
use crate::prompt;
use crate::secret::{Current, ManagedSecret, Written};
use crate::text::printable;

/// The value of the App's secret.
pub(crate) struct AppSecretValue(SecretString);

impl AppSecretValue {
    pub(crate) fn new(app: &App, pem: &SecretString, installation_id: Option<InstallationId>) -> Self {
        let (app_id, client_id) = (Issuer::App(app.id), app.client_id.clone());
        Self(AppSecret { app_id, client_id, installation_id, private_key: pem.clone() }.to_json())
    }

    /// Keeps it where no function looks.
    pub(crate) async fn keep(&self, secret: &ManagedSecret<'_>, stage: &str) -> Result<(), Failure> {
        secret.keep(&self.0, stage).await
    }
}

/// The installation that is meant, with everything granted that the App needs.
pub(crate) async fn installation(
    github: &GitHubApp,
    wanted: Option<InstallationId>,
    progress: Progress,
) -> Result<Installation, Failure> {
    let app = &github.app;
    let lacks = missing(&app.permissions, &app.events);
    if !lacks.is_empty() {
        return Err(Failure::new(format!(
            "the App lacks {}: add it under {}/permissions, let the account's owner accept, and run this again",
            lacks.join(", "),
            app.settings_url()
        )));
    }
    progress.say("Discovering installation ID...");
    let installations = github.installations().await?;
    let installation = choose(github, installations, wanted, progress)?;
    progress.say(&format!("Found installation ID: {}", installation.id));
    if installation.suspended_at.is_some() {
        return Err(suspended(installation.id));
    }
    let lacks = missing(&installation.permissions, &installation.events);
    if !lacks.is_empty() {
        return Err(Failure::new(format!(
            "{} has not granted {} yet: an owner accepts the App's new permissions at {}, then run this again",
            installation.account.name(),
            lacks.join(", "),
            installation.html_url
        )));
    }
    Ok(installation)
}

fn choose(
    github: &GitHubApp,
    mut installations: Vec<Installation>,
    wanted: Option<InstallationId>,
    progress: Progress,
) -> Result<Installation, Failure> {
    if installations.is_empty() {
        return Err(Failure::new(format!(
            "No installations found: install the App on the account with your repositories at {}, then run this again",
            github.app.install_url()
        )));
    }
    let asked = wanted.is_none() && installations.len() > 1;
    if asked || !installations.iter().any(|found| wanted.is_none_or(|wanted| wanted == found.id)) {
        table(&installations).iter().for_each(|line| progress.say(line));
    }
    let id = match wanted {
        Some(id) => id,
        None if installations.len() == 1 => installations[0].id,
        None if prompt::is_possible() => {
            let typed = prompt::line("  Installation ID:", progress)?;
            typed
                .parse()
                .map_err(|_| Failure::new(format!("{typed:?} is not an installation ID: type one of the list")))?
        }
        None => {
            return Err(Failure::new(
                "Multiple installations found: name the one that is meant with --installation-id",
            ));
        }
    };
    let position = installations.iter().position(|found| found.id == id);
    position.map(|at| installations.swap_remove(at)).ok_or_else(|| {
        Failure::new(format!(
            "the App has no installation {id}: name one of the list with --installation-id, or install the App at {}",
            github.app.install_url()
        ))
    })
}

fn table(installations: &[Installation]) -> Vec<String> {
    let width = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or_default();
    let name = |found: &Installation| printable(found.account.name());
    let widest = width(&mut installations.iter().map(|found| name(found).chars().count())).max("account".len());
    let row = |id: &str, account: &str, repositories: &str, suspended: &str| {
        format!("  {id:<12}  {account:<widest$}  {repositories:<12}  {suspended}").trim_end().to_owned()
    };
    let mut lines = vec![row("id", "account", "repositories", "suspended")];
    lines.extend(installations.iter().map(|found| {
        let repositories = match found.repository_selection {
            Some(RepositorySelection::All) => "all",
            Some(RepositorySelection::Selected) => "selected",
            None => "",
        };
        let suspended = found.suspended_at.map(|at| at.to_string()).unwrap_or_default();
        row(&found.id.to_string(), &name(found), repositories, &suspended)
    }));
    lines
}

/// An App that is in service is replaced by another only on purpose. `app_id` is none where the other one is still to be
/// made, and `called` is how to speak of it.
pub(crate) fn confirm_another_app(
    current: &Current,
    app_id: Option<&Issuer>,
    called: &str,
    yes: bool,
    progress: Progress,
) -> Result<(), Failure> {
    // What the functions cannot read is not in service.
    match current.value.as_ref().and_then(|value| secrets::parse::<AppSecret>(value).ok()) {
        Some(current) if Some(&current.app_id) != app_id => {
            let question = format!("The stack serves the App {}. Shall {called} take its place?", current.app_id);
            prompt::confirm(&question, yes, progress)
        }
        _ => Ok(()),
    }
}

/// The App of the version with this label, if it holds one.
pub(crate) async fn parsed(secret: &ManagedSecret<'_>, stage: &str) -> Result<Option<AppSecret>, Failure> {
    Ok(secret.at(stage).await?.and_then(|value| secrets::parse(&value).ok()))
}

/// Proves that tokens can be minted, before anything is stored.
pub(crate) async fn mintable(
    github: &GitHubApp,
    installation: InstallationId,
    progress: Progress,
) -> Result<(), Failure> {
    progress.say("Minting a token...");
    github.try_minting(installation).await?;
    progress.say("Minted one, and revoked it.");
    Ok(())
}

pub(crate) async fn store(
    secret: &ManagedSecret<'_>,
    value: &AppSecretValue,
    over: &Current,
    progress: Progress,
) -> Result<Written, Failure> {
    let (written, _) = secret.write(&value.0, over).await?;
    progress.say(match written {
        Written::New => "Stored the App's id and key.",
        Written::Unchanged => "The App's id and key are stored already.",
    });
    Ok(written)
}

pub(super) fn written(written: Written) -> &'static str {
    match written {
        Written::New => "written",
        Written::Unchanged => "unchanged",
    }
}
