//! A token with what it opens, as it is kept in memory and, sealed, in the table.

use std::collections::BTreeMap;

use adapters::github::InstallationToken;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use secrecy::zeroize::Zeroizing;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

/// Where a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Memory,
    Table,
    GitHub,
}

/// A cached token.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry {
    pub(crate) token: SecretString,
    pub(crate) expires_at: Timestamp,
    pub(crate) minted_at: Timestamp,
    pub(crate) permissions: BTreeMap<String, String>,
    /// Names as GitHub spells them; only if some were asked for.
    pub(crate) repositories: Option<Vec<String>>,
    /// The account of the installation, as GitHub spells it. Known if repositories were asked for, else if the App's
    /// installations could be listed.
    pub(crate) account: Option<String>,
}

#[derive(Serialize)]
struct Plain<'a> {
    token: &'a str,
    expires_at: Timestamp,
    minted_at: Timestamp,
    permissions: &'a BTreeMap<String, String>,
    repositories: &'a Option<Vec<String>>,
    account: &'a Option<String>,
}

impl Entry {
    pub(crate) fn minted(answer: InstallationToken, account: Option<String>, minted_at: Timestamp) -> Self {
        let repositories = answer.repositories.as_deref();
        let owner = repositories.and_then(|all| Some(all.first()?.full_name.owner().to_owned()));
        Self {
            account: owner.or(account),
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

    /// `owner/name` of a repository it opens.
    pub(crate) fn repository(&self) -> Option<(String, String)> {
        Some((self.account.clone()?, self.repositories.as_ref()?.first()?.clone()))
    }

    pub(crate) fn to_json(&self) -> serde_json::Result<Zeroizing<Vec<u8>>> {
        // Room for all of it: a buffer that grows leaves copies of the token behind.
        let mut json = Zeroizing::new(Vec::with_capacity(64 * 1024));
        let plain = Plain {
            token: self.token.expose_secret(),
            expires_at: self.expires_at,
            minted_at: self.minted_at,
            permissions: &self.permissions,
            repositories: &self.repositories,
            account: &self.account,
        };
        serde_json::to_writer(&mut *json, &plain).map(|()| json)
    }

    pub(crate) fn from_json(json: &[u8]) -> Option<Self> {
        serde_json::from_slice(json).ok()
    }
}

pub(crate) fn sha256(token: &SecretString) -> String {
    BASE64_STANDARD.encode(digest(&SHA256, token.expose_secret().as_bytes()))
}
