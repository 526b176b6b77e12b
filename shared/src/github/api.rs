//! The endpoints an App authenticates itself with, and the shapes of their answers.
//! <https://docs.github.com/en/rest/apps/apps>

use std::collections::BTreeMap;

use jiff::Timestamp;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::http::Bearer;
use super::{Client, Error};

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
    pub full_name: String,
}

/// The account that an App is installed on.
#[derive(Debug, Clone, Deserialize)]
pub struct Account {
    /// The login of a user or an organization. An enterprise has none, and no repositories of its own either.
    #[serde(default)]
    pub login: String,
}

/// An installation of the App on an account.
#[derive(Debug, Clone, Deserialize)]
pub struct Installation {
    /// Changes with every reinstallation.
    pub id: u64,
    /// Whose repositories it opens.
    pub account: Account,
    /// Set while the account's owner has suspended it.
    #[serde(default)]
    pub suspended_at: Option<Timestamp>,
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
        installation_id: u64,
        request: &AccessTokenRequest,
    ) -> Result<InstallationToken, Error> {
        let path = format!("/app/installations/{installation_id}/access_tokens");
        match self.post(&path, app, request).await {
            Ok(answer) => Ok(answer.body),
            Err(Error::NotFound(said)) => Err(Error::InstallationNotFound(said)),
            Err(Error::Unprocessable(said)) => Err(Error::PermissionNotGranted(said)),
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
}
