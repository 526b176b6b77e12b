//! The endpoints an App authenticates itself with, and the shapes of their answers.
//! <https://docs.github.com/en/rest/apps/apps>

use std::collections::BTreeMap;

use domain::ids::{
    AccountId, AppId, ClientId, DeliveryGuid, HookDeliveryId, InstallationId, RepositoryId, RepositoryName,
};
use jiff::Timestamp;
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use super::http::Bearer;
use super::{Answer, Client, Error, client};

/// What an installation token is asked for. A field that is `None` is left out, which means *everything granted*; an
/// empty one means the same to GitHub, so there is none here.
#[derive(Debug, Clone, Serialize)]
pub struct AccessTokenRequest {
    /// Repository names without their owner, at most 500.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repositories: Option<Vec<String>>,
    /// Permission to level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<BTreeMap<String, String>>,
}

/// An installation token and what it opens.
#[derive(Debug, Deserialize)]
pub struct InstallationToken {
    /// Opaque: 40 characters for years, about 520 since 2026, up to 2 KB to be expected.
    pub token: SecretString,
    /// An hour after it was minted, by GitHub's clock.
    pub expires_at: Timestamp,
    /// Permission to level; `metadata: read` comes with any other.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// Whether the token is bound to named repositories.
    #[serde(default)]
    pub repository_selection: Option<RepositorySelection>,
    /// The repositories, if some were asked for.
    #[serde(default)]
    pub repositories: Option<Vec<Repository>>,
}

/// Which repositories a token or an installation covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RepositorySelection {
    /// Every repository of the account, new ones included.
    All,
    /// Named ones.
    Selected,
}

/// A repository, as far as a token's scope is concerned.
#[derive(Debug, Clone, Deserialize)]
pub struct Repository {
    /// The name without its owner.
    pub name: String,
    /// `owner/name`.
    pub full_name: RepositoryName,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<Account>,
    /// Whether it takes a token to read it.
    #[serde(default)]
    pub private: bool,
}

/// One page of what an installation token opens.
/// <https://docs.github.com/en/rest/apps/installations#list-repositories-accessible-to-the-app-installation>
#[derive(Debug, Deserialize)]
pub struct InstallationRepositories {
    /// The repositories.
    #[serde(deserialize_with = "understood")]
    pub repositories: Vec<Repository>,
}

/// The account that an App is installed on.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Account {
    /// GitHub always says it; a stand-in may not.
    #[serde(default)]
    pub id: Option<AccountId>,
    /// The login of a user or an organization. An enterprise has none, and no repositories of its own either.
    #[serde(default)]
    pub login: String,
    /// What an enterprise has instead.
    #[serde(default)]
    pub slug: Option<String>,
    /// `User`, `Organization` or `Enterprise`.
    #[serde(default, rename = "type")]
    pub kind: String,
}

fn understood<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(client::understood(Vec::deserialize(deserializer)?))
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Account {
    /// What people call it.
    pub fn name(&self) -> &str {
        self.slug.as_deref().filter(|_| self.login.is_empty()).unwrap_or(&self.login)
    }
}

/// An installation of the App on an account.
#[derive(Debug, Clone, Deserialize)]
pub struct Installation {
    /// Changes with every reinstallation.
    pub id: InstallationId,
    /// Whose repositories it opens. GitHub's schema lets it be null, as for an account that is gone.
    #[serde(default, deserialize_with = "or_default")]
    pub account: Account,
    /// Which of them.
    #[serde(default)]
    pub repository_selection: Option<RepositorySelection>,
    /// Its page in the account's settings.
    #[serde(default)]
    pub html_url: String,
    /// What the account's owner has granted: less than [`App::permissions`] until a change of those is accepted.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// The events the account's owner has accepted.
    #[serde(default)]
    pub events: Vec<String>,
    /// Set while the account's owner has suspended it.
    #[serde(default)]
    pub suspended_at: Option<Timestamp>,
}

/// The App itself.
#[derive(Debug, Clone, Deserialize)]
pub struct App {
    /// The App ID.
    pub id: AppId,
    /// What GitHub prefers as `iss`; servers of before 2024 have none.
    #[serde(default)]
    pub client_id: Option<ClientId>,
    /// Its name in URLs.
    #[serde(default)]
    pub slug: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its public page; `/installations/new` below it installs it.
    #[serde(default)]
    pub html_url: String,
    /// Whose it is.
    #[serde(default)]
    pub owner: Option<Account>,
    /// What it asks of accounts.
    #[serde(default)]
    pub permissions: BTreeMap<String, String>,
    /// The events it subscribes to.
    #[serde(default)]
    pub events: Vec<String>,
}

impl App {
    /// Its settings, where its owner changes permissions, keys and the webhook.
    pub fn settings_url(&self) -> String {
        // `https://github.com/apps/SLUG`, `https://HOST/github-apps/SLUG` on an Enterprise Server.
        let host = self.html_url.split('/').take(3).collect::<Vec<_>>().join("/");
        match &self.owner {
            Some(owner) if owner.kind == "Organization" => {
                format!("{host}/organizations/{}/settings/apps/{}", owner.login, self.slug)
            }
            _ => format!("{host}/settings/apps/{}", self.slug),
        }
    }

    /// Where an owner of an account installs it.
    pub fn install_url(&self) -> String {
        format!("{}/installations/new", self.html_url)
    }
}

/// Where GitHub delivers the App's events to. The secret itself is never shown.
/// <https://docs.github.com/en/rest/apps/webhooks#get-a-webhook-configuration-for-an-app>
#[derive(Debug, Clone, Default, Deserialize)]
pub struct HookConfig {
    /// Absent while the App has no webhook.
    #[serde(default)]
    pub url: Option<String>,
    /// `json` or `form`.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Asterisks where there is one.
    #[serde(default)]
    pub secret: Option<String>,
}

/// What is to change of the [`HookConfig`].
#[derive(Debug, Serialize)]
pub struct HookConfigUpdate<'a> {
    /// Where to deliver to.
    pub url: &'a str,
    /// `json`: a form's body would be signed too, but is not what the webhook reads.
    pub content_type: &'static str,
    /// What to sign with; `None` leaves it as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<&'a str>,
}

/// One delivery to the App's webhook, as "Recent deliveries" lists it. GitHub keeps them for 3 days.
/// <https://docs.github.com/en/rest/apps/webhooks#list-deliveries-for-an-app-webhook>
#[derive(Debug, Clone, Deserialize)]
pub struct HookDelivery {
    /// Names this attempt.
    pub id: HookDeliveryId,
    /// The same for a delivery and its redeliveries.
    pub guid: DeliveryGuid,
    /// When it was sent.
    pub delivered_at: Timestamp,
    /// Whether somebody asked for it to be sent again.
    #[serde(default)]
    pub redelivery: bool,
    /// `OK`, or GitHub's words on what went wrong.
    #[serde(default)]
    pub status: String,
    /// The answer's HTTP status; 0 where none came.
    #[serde(default)]
    pub status_code: u16,
    /// The event's name.
    pub event: String,
    /// The event's action, where it has one.
    #[serde(default)]
    pub action: Option<String>,
    /// The installation it is about.
    #[serde(default)]
    pub installation_id: Option<InstallationId>,
    /// The repository it is about.
    #[serde(default)]
    pub repository_id: Option<RepositoryId>,
}

/// What was sent in one delivery and what was answered.
/// <https://docs.github.com/en/rest/apps/webhooks#get-a-delivery-for-an-app-webhook>
#[derive(Debug, Clone, Deserialize)]
pub struct HookDeliveryDetail {
    /// Where it was sent to.
    #[serde(default)]
    pub url: Option<String>,
    /// What was sent.
    pub request: HookMessage<serde_json::Value>,
    /// What was answered; the payload is the body as text.
    pub response: HookMessage<Option<String>>,
}

/// One direction of a delivery.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct HookMessage<T> {
    /// The body.
    #[serde(default)]
    pub payload: T,
}

/// An App that GitHub has just made from a manifest: the one time that its secrets are shown.
/// <https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest>
#[derive(Debug, Deserialize)]
pub struct NewApp {
    /// The App.
    #[serde(flatten)]
    pub app: App,
    /// Its private key.
    pub pem: SecretString,
    /// What GitHub signs its deliveries with; absent where the manifest has no active webhook.
    #[serde(default)]
    pub webhook_secret: Option<SecretString>,
}

impl Client {
    /// Mints an installation token.
    /// <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>
    ///
    /// # Errors
    /// [`Error::InstallationNotFound`], [`Error::InstallationSuspended`], [`Error::PermissionNotGranted`] and whatever
    /// else [`Error`] lists.
    pub async fn create_installation_access_token(
        &self,
        app: &dyn Bearer,
        installation_id: InstallationId,
        request: &AccessTokenRequest,
    ) -> Result<InstallationToken, Error> {
        let path = format!("/app/installations/{installation_id}/access_tokens");
        match self.post(&path, app, request).await {
            Ok(answer) => Ok(answer.body),
            Err(Error::NotFound(said)) => Err(Error::InstallationNotFound(said)),
            Err(error) => Err(error),
        }
    }

    /// Revokes the token it is called with; nothing else does.
    /// <https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token>
    ///
    /// # Errors
    /// [`Error::Unauthorized`] for a token that is no longer one, and see [`Error`].
    pub async fn revoke_installation_access_token(&self, token: &SecretString) -> Result<(), Error> {
        self.delete("/installation/token", token).await
    }

    /// One page of the repositories that an installation token opens: 100, or those that follow [`Answer::next`] of the
    /// page before.
    ///
    /// # Errors
    /// [`Error::Unauthorized`] and [`Error::Forbidden`] for some seconds after the token was minted, and see [`Error`].
    pub async fn installation_repositories(
        &self,
        token: &SecretString,
        next: Option<&str>,
    ) -> Result<Answer<InstallationRepositories>, Error> {
        self.get(next.unwrap_or("/installation/repositories?per_page=100"), token).await
    }

    /// The App's installation that covers a repository.
    /// <https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app>
    ///
    /// # Errors
    /// [`Error::InstallationNotFound`] when the App is not installed there, and see [`Error`].
    pub async fn repository_installation(
        &self,
        app: &dyn Bearer,
        owner: &str,
        repository: &str,
    ) -> Result<Installation, Error> {
        match self.get(&format!("/repos/{owner}/{repository}/installation"), app).await {
            Ok(answer) => Ok(answer.body),
            Err(Error::NotFound(said)) => Err(Error::InstallationNotFound(said)),
            Err(error) => Err(error),
        }
    }

    /// The App that the JSON Web Token is of.
    /// <https://docs.github.com/en/rest/apps/apps#get-the-authenticated-app>
    ///
    /// # Errors
    /// [`Error::InvalidKey`], [`Error::ClockSkew`] and whatever else [`Error`] lists.
    pub async fn app(&self, app: &dyn Bearer) -> Result<Answer<App>, Error> {
        self.get("/app", app).await
    }

    /// Every installation of the App.
    /// <https://docs.github.com/en/rest/apps/apps#list-installations-for-the-authenticated-app>
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn installations(&self, app: &dyn Bearer) -> Result<Vec<Installation>, Error> {
        self.get_all("/app/installations?per_page=100", app).await
    }

    /// Where GitHub delivers the App's events to.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hook_config(&self, app: &dyn Bearer) -> Result<HookConfig, Error> {
        Ok(self.get("/app/hook/config", app).await?.body)
    }

    /// Changes where GitHub delivers the App's events to.
    /// <https://docs.github.com/en/rest/apps/webhooks#update-a-webhook-configuration-for-an-app>
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_hook_config(
        &self,
        app: &dyn Bearer,
        update: &HookConfigUpdate<'_>,
    ) -> Result<HookConfig, Error> {
        Ok(self.patch("/app/hook/config", app, update).await?.body)
    }

    /// One page of the App's deliveries, the latest first: 100, or those that follow [`Answer::next`] of the page before.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hook_deliveries(
        &self,
        app: &dyn Bearer,
        next: Option<&str>,
    ) -> Result<Answer<Vec<HookDelivery>>, Error> {
        self.get_page(next.unwrap_or("/app/hook/deliveries?per_page=100"), app).await
    }

    /// What was sent in a delivery and what was answered.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn hook_delivery(&self, app: &dyn Bearer, id: HookDeliveryId) -> Result<HookDeliveryDetail, Error> {
        Ok(self.get(&format!("/app/hook/deliveries/{id}"), app).await?.body)
    }

    /// Asks GitHub to deliver once more; the new attempt joins the list some moments later.
    /// <https://docs.github.com/en/rest/apps/webhooks#redeliver-a-delivery-for-an-app-webhook>
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn redeliver(&self, app: &dyn Bearer, id: HookDeliveryId) -> Result<(), Error> {
        let answer: Result<Answer<serde_json::Value>, Error> =
            self.post(&format!("/app/hook/deliveries/{id}/attempts"), app, &serde_json::json!({})).await;
        answer.map(drop)
    }

    /// Exchanges the code that GitHub hands over after it made an App from a manifest. It is good once, for an hour.
    ///
    /// # Errors
    /// [`Error::NotFound`] for a code that was used or is too old, and see [`Error`].
    pub async fn convert_manifest(&self, code: &str) -> Result<NewApp, Error> {
        Ok(self.post_unauthenticated(&format!("/app-manifests/{code}/conversions")).await?.body)
    }
}
