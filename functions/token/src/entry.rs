//! A token with what it opens, as it is kept in memory and, sealed, in the table.

use std::collections::BTreeMap;

use adapters::github::{self, InstallationToken};
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::ids::AccountId;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, Serializer};

/// Where a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Memory,
    Table,
    GitHub,
}

/// A cached token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Entry {
    #[serde(serialize_with = "expose")]
    pub(crate) token: SecretString,
    pub(crate) expires_at: Timestamp,
    pub(crate) minted_at: Timestamp,
    pub(crate) permissions: BTreeMap<String, String>,
    /// Names as GitHub spells them; only if some were asked for.
    pub(crate) repositories: Option<Vec<String>>,
    /// The account of the installation, as GitHub spells it. Known if repositories were asked for, else if the App's
    /// installations could be listed.
    pub(crate) account: Option<String>,
    /// By which the account is known again whatever it is called. Tokens of before have none.
    #[serde(default)]
    pub(crate) account_id: Option<AccountId>,
}

fn expose<S: Serializer>(token: &SecretString, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(token.expose_secret())
}

/// Whose an installation is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Account {
    /// As GitHub spells it.
    pub(crate) name: String,
    pub(crate) id: Option<AccountId>,
}

impl From<&github::Account> for Account {
    fn from(account: &github::Account) -> Self {
        Self { name: account.name().to_owned(), id: account.id }
    }
}

impl Entry {
    pub(crate) fn minted(answer: InstallationToken, account: Option<Account>, minted_at: Timestamp) -> Self {
        let repositories = answer.repositories.as_deref();
        let first = repositories.and_then(<[_]>::first);
        let owner = first.map(|first| Account {
            name: first.full_name.owner().to_owned(),
            id: first.owner.as_ref().and_then(|owner| owner.id),
        });
        let account = owner.or(account);
        Self {
            account_id: account.as_ref().and_then(|account| account.id),
            account: account.map(|account| account.name),
            repositories: repositories.map(|all| all.iter().map(|repository| repository.name.clone()).collect()),
            token: answer.token,
            expires_at: answer.expires_at,
            minted_at,
            permissions: answer.permissions,
        }
    }

    /// Whether it lives on until `needed`. In whole seconds, as the table compares.
    pub(crate) fn lives_until(&self, needed: Timestamp) -> bool {
        self.expires_at.as_second() >= needed.as_second()
    }

    /// base64 of the token's SHA-256, by which GitHub's audit log names it.
    /// <https://docs.github.com/en/organizations/keeping-your-organization-secure/managing-security-settings-for-your-organization/identifying-audit-log-events-performed-by-an-access-token>
    pub(crate) fn sha256(&self) -> String {
        sha256(&self.token)
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        // Room for all of it: a buffer that grows leaves copies of the token behind.
        let mut json = Zeroizing::new(Vec::with_capacity(64 * 1024));
        serde_json::to_writer(&mut *json, self).map(|()| json)
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

pub(crate) fn sha256(token: &SecretString) -> String {
    BASE64_STANDARD.encode(digest(&SHA256, token.expose_secret().as_bytes()))
}
