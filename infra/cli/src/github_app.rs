//! The GitHub App as GitHub knows it, asked with its own key.

use std::collections::BTreeMap;
use std::time::Duration;

use adapters::github::app::{AppBearer, AppKey};
use adapters::github::{
    AccessTokenRequest, ApiUrl, App, Client, Error, HookConfig, HookConfigUpdate, HookDelivery, HookDeliveryDetail,
    Installation,
};
use adapters::secrets::{self, AppSecret};
use domain::ids::{HookDeliveryId, InstallationId, Issuer, RepositoryName};
use jiff::SignedDuration;
use secrecy::SecretString;

use crate::clock;
use crate::failure::{Failure, deepest};
use crate::output::Progress;
use crate::secret::{Current, ManagedSecret};
use crate::stack::Stack;

/// What the App has to be granted, permission and least level.
/// <https://docs.github.com/en/rest/authentication/permissions-required-for-github-apps>
pub(crate) const PERMISSIONS: [(&str, &str); 3] =
    [("contents", "read"), ("metadata", "read"), ("pull_requests", "write")];

/// What it has to subscribe to.
pub(crate) const EVENTS: [&str; 1] = ["pull_request"];

/// How long to wait for GitHub to learn of a key that was just generated, 30 s together.
const NEW_KEY_WAITS: [u64; 4] = [2, 4, 8, 16];

/// How long to wait for GitHub's machines to learn of a token that was just minted.
pub(crate) const NEW_TOKEN_WAITS: [u64; 4] = [1, 2, 3, 4];

/// A difference that a clock may have: `Date` is in whole seconds, and the answer took its time.
const USUAL_OFFSET: SignedDuration = SignedDuration::from_secs(2);

/// What of [`PERMISSIONS`] and [`EVENTS`] is missing from what was granted, as the settings page calls it.
pub(crate) fn missing(permissions: &BTreeMap<String, String>, events: &[String]) -> Vec<String> {
    let held = |name: &str| permissions.get(name).map_or(0, |held| level(held));
    let permissions = PERMISSIONS.into_iter().filter(|(name, least)| held(name) < level(least));
    let events = EVENTS.into_iter().filter(|event| !events.iter().any(|held| held == event));
    permissions
        .map(|(name, least)| format!("the permission {name}: {least}"))
        .chain(events.map(|event| format!("the event {event}")))
        .collect()
}

fn level(name: &str) -> u8 {
    match name {
        "read" => 1,
        "write" => 2,
        "admin" => 3,
        _ => 0,
    }
}

/// The App, once GitHub has accepted its key.
pub(crate) struct GitHubApp {
    client: Client,
    key: AppKey,
    issuer: Issuer,
    /// GitHub's clock minus ours.
    pub(crate) clock_offset: SignedDuration,
    pub(crate) app: App,
}

impl GitHubApp {
    /// The App as the stack has it.
    pub(crate) async fn of(stack: &Stack, progress: Progress) -> Result<Self, Failure> {
        let secret = ManagedSecret::new(&stack.session, &stack.app_secret);
        let current = read(&secret, &secret.current().await?)?;
        let key = AppKey::from_pem(&current.private_key).map_err(|error| Failure::new(error.to_string()))?;
        Self::identify(&stack.github_api_url, &current.app_id, key, progress).await
    }

    /// Asks GitHub which App the key belongs to. `issuer` is the App ID or the client id.
    pub(crate) async fn identify(
        api_url: &ApiUrl,
        issuer: &Issuer,
        key: AppKey,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let client = Client::new(api_url.clone());
        let mut waits = NEW_KEY_WAITS.into_iter();
        let mut offset = SignedDuration::ZERO;
        loop {
            let now = clock::now();
            let error = match client.app(&key.bearer(issuer, now, offset)).await {
                Ok(answer) => {
                    let measured = answer.date.map_or(SignedDuration::ZERO, |date| date.duration_since(clock::now()));
                    let clock_offset = if measured.abs() > USUAL_OFFSET { measured } else { SignedDuration::ZERO };
                    return Ok(Self { client, key, issuer: issuer.clone(), clock_offset, app: answer.body });
                }
                Err(error) => error,
            };
            match &error {
                Error::ClockSkew { github_now: Some(github_now), .. } if offset.is_zero() => {
                    offset = github_now.duration_since(now);
                }
                Error::NoPublicKey(_) => match waits.next() {
                    Some(seconds) => {
                        progress.say("GitHub does not know the key yet; one that is seconds old needs a moment...");
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    None => {
                        return Err(Failure::new(format!(
                            "GitHub says that the App {issuer} has no private key: generate one in the App's settings, \
                             and if you just did, try again in a minute"
                        )));
                    }
                },
                Error::InvalidKey(_) => {
                    // GitHub says no more than this, whichever of the two is wrong.
                    return Err(Failure::new(format!(
                        "GitHub does not accept this key for the App {issuer}: if the App's settings list the \
                         fingerprint SHA256:{} under \"Private keys\", the App ID is wrong; if not, the key is another \
                         App's or was deleted",
                        key.fingerprint()
                    )));
                }
                Error::NotFound(_) => {
                    return Err(Failure::new(format!(
                        "GitHub at {api_url} knows no App {issuer}: the App ID is the number near the top of the App's \
                         settings"
                    )));
                }
                _ => return Err(refused("say which App the key belongs to", api_url, &error)),
            }
        }
    }

    fn bearer(&self) -> AppBearer<'_> {
        self.key.bearer(&self.issuer, clock::now(), self.clock_offset)
    }

    pub(crate) fn api_url(&self) -> &ApiUrl {
        self.client.api_url()
    }

    pub(crate) fn pem(&self) -> SecretString {
        self.key.to_pem()
    }

    /// The key's fingerprint as the App's settings show it.
    pub(crate) fn fingerprint(&self) -> String {
        format!("SHA256:{}", self.key.fingerprint())
    }

    pub(crate) async fn installations(&self) -> Result<Vec<Installation>, Failure> {
        self.client.installations(&self.bearer()).await.map_err(|error| self.failure("list the installations", &error))
    }

    /// The installation that covers a repository. `None`: the App is not installed there, or there is no repository.
    pub(crate) async fn installation_of(&self, repository: &RepositoryName) -> Result<Option<Installation>, Failure> {
        match self.client.repository_installation(&self.bearer(), repository.owner(), repository.name()).await {
            Ok(installation) => Ok(Some(installation)),
            Err(Error::InstallationNotFound(_)) => Ok(None),
            Err(error) => Err(self.failure("show the repository's installation", &error)),
        }
    }

    /// Mints a token for an installation and revokes it: proves that the functions will be able to. It may do the least that
    /// a token can.
    pub(crate) async fn try_minting(&self, installation: InstallationId) -> Result<(), Failure> {
        let least = BTreeMap::from([("metadata".to_owned(), "read".to_owned())]);
        let request = AccessTokenRequest { repositories: None, permissions: Some(least) };
        let minted = self.client.create_installation_access_token(&self.bearer(), installation, &request).await;
        let minted = minted.map_err(|error| match error {
            Error::InstallationSuspended(_) => suspended(installation),
            Error::InstallationNotFound(_) => Failure::new(format!(
                "the App has no installation {installation}: it was uninstalled, or is another App's"
            )),
            error => self.failure("mint a token", &error),
        })?;
        // Should it not succeed, the token ends by itself within the hour.
        let revoked = once_known(async || self.client.revoke_installation_access_token(&minted.token).await).await;
        revoked.map_err(|error| self.failure("revoke a token", &error))
    }

    pub(crate) async fn hook_config(&self) -> Result<HookConfig, Failure> {
        self.client.hook_config(&self.bearer()).await.map_err(|error| self.failure("show the webhook", &error))
    }

    pub(crate) async fn update_hook_config(&self, update: &HookConfigUpdate<'_>) -> Result<HookConfig, Failure> {
        let updated = self.client.update_hook_config(&self.bearer(), update).await;
        updated.map_err(|error| self.failure("change the webhook", &error))
    }

    /// The latest deliveries, the newest first: at most `most`, in pages of 100.
    pub(crate) async fn deliveries(&self, most: usize) -> Result<Vec<HookDelivery>, Failure> {
        let (mut deliveries, mut next) = (Vec::new(), None);
        while deliveries.len() < most {
            let page = self.client.hook_deliveries(&self.bearer(), next.as_deref()).await;
            let page = page.map_err(|error| self.failure("list the deliveries", &error))?;
            deliveries.extend(page.body);
            next = page.next;
            if next.is_none() {
                break;
            }
        }
        deliveries.truncate(most);
        Ok(deliveries)
    }

    pub(crate) async fn delivery(&self, id: HookDeliveryId) -> Result<HookDeliveryDetail, Failure> {
        let detail = self.client.hook_delivery(&self.bearer(), id).await;
        detail.map_err(|error| self.failure("show a delivery", &error))
    }

    pub(crate) async fn redeliver(&self, id: HookDeliveryId) -> Result<(), Failure> {
        let asked = self.client.redeliver(&self.bearer(), id).await;
        asked.map_err(|error| self.failure("deliver again", &error))
    }

    fn failure(&self, doing: &str, error: &Error) -> Failure {
        refused(doing, self.api_url(), error)
    }
}

/// What the App's secret holds.
pub(crate) fn read(secret: &ManagedSecret<'_>, current: &Current) -> Result<AppSecret, Failure> {
    let not_configured = |reason: &str| {
        Failure::new(format!("the secret {} is not configured, {reason}: run `{} configure`", secret.id(), crate::NAME))
    };
    let current = current.value.as_ref().ok_or_else(|| not_configured("it is empty"))?;
    secrets::parse(current).map_err(|reason| not_configured(&reason))
}

/// Asks with a token, and asks again while it is so new that GitHub refuses it.
pub(crate) async fn once_known<T>(ask: impl AsyncFn() -> Result<T, Error>) -> Result<T, Error> {
    let mut answer = ask().await;
    for seconds in NEW_TOKEN_WAITS {
        if !answer.as_ref().is_err_and(Error::may_be_a_new_token) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        answer = ask().await;
    }
    answer
}

pub(crate) fn suspended(installation: InstallationId) -> Failure {
    Failure::new(format!(
        "the installation {installation} is suspended: an owner of the account unsuspends it under Settings, GitHub Apps"
    ))
}

/// What GitHub did not do, and what to do about it.
pub(crate) fn refused(doing: &str, api_url: &ApiUrl, error: &Error) -> Failure {
    Failure::new(match error {
        Error::Unavailable(cause) => format!(
            "GitHub at {api_url} does not answer ({}): check the network and the URL, see \
             https://www.githubstatus.com, and try again",
            deepest(cause.as_ref())
        ),
        Error::RateLimited { retry_after, .. } => {
            format!("GitHub asks to wait: try again in {} s", retry_after.as_secs().max(1))
        }
        Error::ClockSkew { .. } => {
            "this machine's clock differs from GitHub's, and correcting for it did not help: set \
            the clock"
                .to_owned()
        }
        error => format!("GitHub did not {doing}: {}", adapters::error::chain(error)),
    })
}
