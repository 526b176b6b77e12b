//! The App: its secrets here, and what GitHub says of it, its installation and its webhook.

use adapters::github::app::AppKey;
use adapters::github::{Installation, RepositorySelection};
use adapters::secrets::{self, AppSecret, Stored, WebhookSecret};
use domain::ids::InstallationId;

use super::report::{Failed, Found};
use crate::NAME;
use crate::configure::is_unfinished;
use crate::github_app::{GitHubApp, missing};
use crate::output::Progress;
use crate::secret::{AT_GITHUB, CURRENT, ManagedSecret};
use crate::stack::Stack;

/// A JSON Web Token is dated back by a minute: a clock that is off by more is refused where nobody corrects it.
const MOST_SECONDS_OFF: u64 = 60;

pub(super) async fn webhook_secret(stack: &Stack) -> Found<WebhookSecret> {
    let next = format!("`{NAME} configure --rotate webhook-secret` makes one and tells GitHub");
    let secret = ManagedSecret::new(&stack.session, &stack.webhook_secret);
    let value: WebhookSecret = parsed(&secret, &next).await?;
    let served = value.installations.as_deref().map(|ids| match ids {
        [] => ", serves nobody".to_owned(),
        ids => format!(", serves the installations {}", list(ids)),
    });
    Ok((format!("{} is well-formed{}", secret.id(), served.unwrap_or_default()), value))
}

/// Whether the webhook knows whose events to take: strangers may install an App. It is told with the App.
pub(super) fn served(secret: &WebhookSecret) -> Result<String, Failed> {
    match secret.installations.as_deref() {
        Some([]) => Err(Failed::new(
            "the webhook secret's list of installations is empty: events of nobody are taken",
            format!("`{NAME} configure` puts the one there that is configured"),
        )),
        Some(ids) => Ok(list(ids)),
        None => Err(Failed::new(
            "the webhook secret lists no installations: events of whoever installs the App are taken",
            format!("`{NAME} configure` lists the one that is configured"),
        )),
    }
}

/// Whether GitHub was told the version that is in service. What it really signs with only deliveries show.
pub(super) async fn told(stack: &Stack) -> Found<bool> {
    let stages = ManagedSecret::new(&stack.session, &stack.webhook_secret).stages().await?;
    if is_unfinished(&stages) {
        return Err(Failed::new(
            "a rotation has not reached GitHub, which signs with an older version",
            format!("finish it with `{NAME} configure --rotate webhook-secret`"),
        ));
    }
    Ok(match stages.contains_key(AT_GITHUB) {
        true => ("configure told GitHub the version in service".to_owned(), true),
        false => ("set by hand: only deliveries show whether GitHub has the same".to_owned(), false),
    })
}

pub(super) async fn app_secret(stack: &Stack) -> Found<AppSecret> {
    let secret = ManagedSecret::new(&stack.session, &stack.app_secret);
    let value: AppSecret = parsed(&secret, &format!("run `{NAME} configure`")).await?;
    Ok((format!("{} is well-formed, App ID {}", secret.id(), value.app_id), value))
}

async fn parsed<T: Stored>(secret: &ManagedSecret<'_>, next: &str) -> Result<T, Failed> {
    let unusable = |reason: &str| Failed::new(format!("{} cannot be used: {reason}", secret.id()), next);
    let value = secret.at(CURRENT).await?.ok_or_else(|| unusable("it is empty"))?;
    secrets::parse(&value).map_err(|reason| unusable(&reason))
}

pub(super) fn key(secret: &AppSecret) -> Found<AppKey> {
    let key = AppKey::from_pem(&secret.private_key).map_err(|error| {
        let next = format!("run `{NAME} configure` with the .pem file that GitHub let you download");
        Failed::new(error.to_string(), next)
    })?;
    Ok((format!("SHA256:{}", key.fingerprint()), key))
}

pub(super) async fn identify(stack: &Stack, secret: &AppSecret, key: AppKey, progress: Progress) -> Found<GitHubApp> {
    progress.say(&format!("Asking GitHub at {}...", stack.github_api_url));
    let github = GitHubApp::identify(&stack.github_api_url, &secret.app_id, key, progress).await;
    let github = github
        .map_err(|failure| Failed::new("GitHub does not say which App the key belongs to", failure.to_string()))?;
    let app = &github.app;
    // The token function signs with the client id where the secret has one.
    if let (Some(stored), Some(own)) = (&secret.client_id, &app.client_id)
        && stored != own
    {
        let seen = format!("the secret says client id {stored}, and the App {} has {own}", app.id);
        return Err(Failed::new(seen, format!("run `{NAME} configure`")));
    }
    Ok((format!("{} (App ID {}, {})", app.name, app.id, app.html_url), github))
}

pub(super) fn clock(github: &GitHubApp) -> Result<String, Failed> {
    let seconds = github.clock_offset.as_secs();
    let apart = seconds.unsigned_abs();
    let seen = match seconds {
        0 => "agrees with GitHub's".to_owned(),
        1.. => format!("this machine's is {apart} s behind GitHub's"),
        _ => format!("this machine's is {apart} s ahead of GitHub's"),
    };
    if apart <= MOST_SECONDS_OFF {
        return Ok(seen);
    }
    Err(Failed::new(seen, "set this machine's clock, for example with `timedatectl set-ntp true`"))
}

pub(super) fn permissions(github: &GitHubApp) -> Result<String, Failed> {
    let app = &github.app;
    let lacks = missing(&app.permissions, &app.events);
    if lacks.is_empty() {
        let permissions = app.permissions.iter().map(|(name, level)| format!("{name}: {level}"));
        let events = app.events.iter().map(|event| format!("the event {event}"));
        return Ok(permissions.chain(events).collect::<Vec<_>>().join(", "));
    }
    Err(Failed::new(
        format!("the App lacks {}", lacks.join(", ")),
        format!("add it under {}/permissions, and let the account's owner accept", app.settings_url()),
    ))
}

/// The App's installations, once the configured one was found among them and is in service.
pub(super) async fn installation(
    github: &GitHubApp,
    secret: &AppSecret,
    served: Option<&[InstallationId]>,
) -> Found<Vec<Installation>> {
    let all = github.installations().await?;
    if all.is_empty() {
        return Err(Failed::new(
            "No installations found",
            format!(
                "install the App on the account with your repositories at {}, then run `{NAME} configure`",
                github.app.install_url()
            ),
        ));
    }
    let found = secret.installation_id.and_then(|id| all.iter().find(|found| found.id == id));
    let others = || all.iter().filter(|other| found.is_none_or(|found| found.id != other.id)).map(described);
    let others = others().collect::<Vec<_>>().join(", ");
    let Some(found) = found else {
        let stored = secret.installation_id.map_or_else(|| "none".to_owned(), |id| id.to_string());
        return Err(Failed::new(
            format!("the App's secret names the installation {stored}, and GitHub has {others}"),
            format!("store one of these with `{NAME} configure --installation-id ID`"),
        ));
    };
    let seen = described(found);
    if found.suspended_at.is_some() {
        let next = format!("an owner of {} unsuspends it at {}", found.account.name(), found.html_url);
        return Err(Failed::new(seen, next));
    }
    if served.is_some_and(|served| !served.contains(&found.id)) {
        return Err(Failed::new(
            format!("{seen} is not in the webhook secret's list of installations: its events are ignored"),
            format!("`{NAME} configure --installation-id {}` adds it", found.id),
        ));
    }
    let seen = if others.is_empty() { seen } else { format!("{seen}; also {others}") };
    Ok((seen, all))
}

fn described(installation: &Installation) -> String {
    let repositories = match installation.repository_selection {
        Some(RepositorySelection::All) => ", all repositories",
        Some(RepositorySelection::Selected) => ", selected repositories",
        None => "",
    };
    let suspended = installation.suspended_at.map(|at| format!(", suspended since {at}")).unwrap_or_default();
    format!("{} ({}{repositories}{suspended})", installation.account.name(), installation.id)
}

/// Whether the accounts that are served have accepted what the App asks for.
pub(super) fn granted(installations: &[Installation], served: Option<&[InstallationId]>) -> Result<String, Failed> {
    let is_served =
        |found: &&Installation| found.suspended_at.is_none() && served.is_none_or(|served| served.contains(&found.id));
    let (mut names, mut lacking, mut pages) = (Vec::new(), Vec::new(), Vec::new());
    for installation in installations.iter().filter(is_served) {
        let name = installation.account.name();
        let lacks = missing(&installation.permissions, &installation.events);
        if lacks.is_empty() {
            names.push(name);
        } else {
            lacking.push(format!("{name} has not granted {}", lacks.join(", ")));
            pages.push(installation.html_url.as_str());
        }
    }
    if lacking.is_empty() {
        return Ok(format!("granted by {}", names.join(", ")));
    }
    let next = format!("an owner of the account accepts the App's new permissions at {}", pages.join(" and "));
    Err(Failed::new(lacking.join("; "), next))
}

/// Where GitHub delivers to, as far as it shows.
pub(super) async fn webhook(github: &GitHubApp, url: &str) -> Result<String, Failed> {
    let hook = github.hook_config().await?;
    let mut wrong = Vec::new();
    match &hook.url {
        Some(there) if there == url => {}
        Some(there) => wrong.push(format!("GitHub delivers to {there} and not to {url}")),
        None => wrong.push("the App has no webhook URL".to_owned()),
    }
    if hook.content_type.as_deref() != Some("json") {
        let there = hook.content_type.as_deref().unwrap_or("form");
        wrong.push(format!("the content type is {there} and not json"));
    }
    if hook.secret.is_none() {
        wrong.push("GitHub has no webhook secret and signs nothing".to_owned());
    }
    if wrong.is_empty() {
        return Ok(format!("{url}, json, signed"));
    }
    let next = format!("`{NAME} configure` sets all of it; if another URL is meant, pass it with --webhook-url");
    Err(Failed::new(wrong.join("; "), next))
}

fn list(ids: &[InstallationId]) -> String {
    ids.iter().map(InstallationId::to_string).collect::<Vec<_>>().join(", ")
}
