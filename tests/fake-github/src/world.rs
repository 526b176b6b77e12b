//! What people do on GitHub around the pull requests: the App's settings, installations, repositories, collaborators.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::accounts::{AccountType, Installation};
use super::app::{APP_ID, AppKey, CLIENT_ID, SLUG};
use super::deliveries::HookConfig;
use super::github::GitHub;
use super::repositories::{Branch, Repository, repository_node};
use super::state::{GraphqlUse, NodeRef, State};
use super::tokens::{MintedToken, TokenShape};

/// Identifies an installation, as in GitHub's JSON.
pub type InstallationId = u64;

/// What the App's settings page shows, and its first key.
#[derive(Debug, Clone)]
pub struct App {
    /// The App ID.
    pub id: u64,
    /// The client id, GitHub's preferred `iss`.
    pub client_id: String,
    /// The App's name in URLs.
    pub slug: String,
    /// The key in PKCS#1, as downloaded.
    pub pem: String,
    /// The same key in PKCS#8.
    pub pkcs8_pem: String,
    /// The key's fingerprint as the settings page shows it.
    pub fingerprint: String,
    /// The account the App belongs to.
    pub owner: String,
}

/// Which repositories an installation covers.
#[derive(Debug, Clone)]
pub enum Selection {
    /// Every repository of the account, also later ones.
    All,
    /// These, by full name.
    Only(Vec<String>),
}

impl Selection {
    /// Only the named repositories.
    pub fn only(names: &[&str]) -> Selection {
        Selection::Only(names.iter().map(|name| (*name).to_owned()).collect())
    }
}

impl GitHub {
    /// The App and its first key.
    pub fn app(&self) -> App {
        let key = AppKey::first();
        App {
            id: APP_ID,
            client_id: CLIENT_ID.to_owned(),
            slug: SLUG.to_owned(),
            pem: key.pem.clone(),
            pkcs8_pem: key.pkcs8_pem.clone(),
            fingerprint: key.fingerprint.clone(),
            owner: self.state().owner.clone(),
        }
    }

    /// Adds a key; earlier ones stay valid.
    pub fn add_key(&self, key: &'static AppKey) {
        self.state().tokens.keys.push(key);
    }

    /// Removes a key; without any, GitHub answers that the App must generate one.
    pub fn remove_key(&self, key: &'static AppKey) {
        self.state().tokens.keys.retain(|known| known.fingerprint != key.fingerprint);
    }

    /// Sets the App's permissions; installations keep theirs until they accept.
    pub fn set_permissions(&self, permissions: &[(&str, &str)]) {
        self.state().permissions = owned(permissions);
    }

    /// Accepts the App's present permissions and events for an installation.
    pub fn accept_permissions(&self, installation: InstallationId) {
        let mut state = self.state();
        let (permissions, events) = (state.permissions.clone(), state.events.clone());
        let record = state.installation(installation);
        record.permissions = permissions;
        record.events = events;
    }

    /// Sets the events the App subscribes to.
    pub fn set_events(&self, events: &[&str]) {
        self.state().events = events.iter().map(|event| (*event).to_owned()).collect();
    }

    /// Sets the account the App belongs to.
    pub fn set_owner(&self, login: &str) {
        let mut state = self.state();
        state.account(login, AccountType::Organization);
        login.clone_into(&mut state.owner);
    }

    /// The App's webhook.
    pub fn hook_config(&self) -> HookConfig {
        self.state().hook.clone()
    }

    /// Points the App's webhook at a URL and sets its secret.
    pub fn set_hook(&self, url: &str, secret: &str) {
        let mut state = self.state();
        state.hook.url = Some(url.to_owned());
        state.hook.secret = Some(secret.to_owned());
    }

    /// Changes everything that the webhook's settings show.
    pub fn set_hook_config(&self, hook: HookConfig) {
        self.state().hook = hook;
    }

    /// Forgets every delivery, as GitHub does after 3 days.
    pub fn forget_deliveries(&self) {
        self.state().deliveries.clear();
    }

    /// The manifests of the Apps made at `/settings/apps/new`.
    pub fn manifests(&self) -> Vec<Value> {
        self.state().manifests.clone()
    }

    /// Makes an account, or changes what kind it is.
    pub fn set_account_type(&self, login: &str, kind: AccountType) {
        let mut state = self.state();
        state.account(login, kind);
        let account = state.accounts.get_mut(login);
        account.expect("the account was just made").kind = kind;
    }

    /// Installs the App on an account.
    pub fn install(&self, account: &str, repositories: Selection) -> InstallationId {
        let mut state = self.state();
        let account = state.account(account, AccountType::Organization).login;
        let selected = match repositories {
            Selection::All => None,
            Selection::Only(names) => Some(names.iter().map(|name| state.repository(name).id).collect()),
        };
        let id = 50_000_000 + state.next_id();
        let now = state.now();
        let installation = Installation {
            id,
            account,
            selected,
            permissions: state.permissions.clone(),
            events: state.events.clone(),
            created_at: now,
            updated_at: now,
            suspended_at: None,
        };
        state.installations.insert(id, installation);
        id
    }

    /// Suspends an installation.
    pub fn suspend(&self, installation: InstallationId) {
        let mut state = self.state();
        let now = state.now();
        state.installation(installation).suspended_at = Some(now);
    }

    /// Ends a suspension.
    pub fn unsuspend(&self, installation: InstallationId) {
        self.state().installation(installation).suspended_at = None;
    }

    /// Removes an installation; a later one gets a new id.
    pub fn uninstall(&self, installation: InstallationId) {
        self.state().installations.remove(&installation);
    }

    /// Makes a repository with a `main` branch and returns its id.
    pub fn create_repository(&self, full_name: &str, private: bool) -> u64 {
        self.state().create_repository(full_name, private, false)
    }

    /// GitHub's id of a repository.
    pub fn repository_id(&self, full_name: &str) -> u64 {
        self.state().repository(full_name).id
    }

    /// Renames or transfers a repository; the old name redirects until it is taken again.
    pub fn rename_repository(&self, from: &str, to: &str) {
        let mut state = self.state();
        let owner = to.split_once('/').expect("owner/name").0;
        state.account(owner, AccountType::Organization);
        let id = state.repository(from).id;
        state.repositories.rename(id, to);
    }

    /// Renames an account: its id and its installation stay, and its repositories' old names redirect.
    pub fn rename_account(&self, from: &str, to: &str) {
        self.state().accounts.rename(from, to);
        let names = self.state().repositories.names();
        for name in names {
            if let Some(rest) = name.strip_prefix(&format!("{}/", from.to_lowercase())) {
                self.rename_repository(&name, &format!("{to}/{rest}"));
            }
        }
        let mut state = self.state();
        for installation in state.installations.values_mut().filter(|found| found.account == from) {
            to.clone_into(&mut installation.account);
        }
    }

    /// Adds a repository to an installation of selected repositories.
    pub fn add_to_installation(&self, installation: InstallationId, full_name: &str) {
        let mut state = self.state();
        let id = state.repository(full_name).id;
        if let Some(selected) = &mut state.installation(installation).selected {
            selected.insert(id);
        }
    }

    /// Takes a repository out of an installation, which selects the rest from now on.
    pub fn remove_from_installation(&self, installation: InstallationId, full_name: &str) {
        let mut state = self.state();
        let id = state.repository(full_name).id;
        let mut rest: BTreeSet<u64> = state.repositories_of(installation).into_iter().collect();
        rest.remove(&id);
        state.installation(installation).selected = Some(rest);
    }

    /// Sets what a user may do in a repository: `admin`, `write`, `read` or `none`.
    pub fn set_collaborator(&self, full_name: &str, user: &str, permission: &str) {
        let mut state = self.state();
        state.account(user, AccountType::User);
        let repository = state.repository(full_name);
        repository.collaborators.insert(user.to_lowercase(), permission.to_owned());
    }

    /// Sets the shape of tokens minted from now on.
    pub fn set_token_shape(&self, shape: TokenShape) {
        self.state().tokens.shape = shape;
    }

    /// Sets the lifetime, in seconds, of tokens minted from now on.
    pub fn set_token_lifetime(&self, seconds: i64) {
        self.state().tokens.lifetime = seconds;
    }

    /// Makes each token minted from now on answer 401 or 403 for its first uses.
    pub fn fresh_token_answers(&self, status: u16, times: usize) {
        self.state().tokens.fresh_answer = Some((status, times));
    }

    /// Every token minted so far, in order.
    pub fn minted(&self) -> Vec<MintedToken> {
        let state = self.state();
        state.tokens.minted.iter().map(|token| state.minted_token(token)).collect()
    }

    /// What a token was minted for; `None` if GitHub never minted it.
    pub fn scope_of(&self, token: &str) -> Option<MintedToken> {
        let state = self.state();
        state.tokens.find(token).map(|known| state.minted_token(known))
    }

    /// Ends a token's life early.
    pub fn expire_token(&self, token: &str) {
        let mut state = self.state();
        let now = state.now();
        state.tokens.find_mut(token).expect("a minted token").expires_at = now;
    }

    /// Revokes a token.
    pub fn revoke_token(&self, token: &str) {
        let mut state = self.state();
        state.tokens.find_mut(token).expect("a minted token").revoked = true;
    }

    /// Sets how far GitHub's clock is ahead of this machine's, in seconds.
    pub fn set_clock_skew(&self, seconds: i64) {
        self.state().skew = seconds;
    }

    /// Sets how many seconds pass with each thing a user does; 0 makes equal `updated_at`.
    pub fn set_tick(&self, seconds: i64) {
        self.state().tick = seconds;
    }

    /// From now on what users do is stamped with this second.
    pub fn set_time(&self, second: i64) {
        let mut state = self.state();
        state.clock = jiff::Timestamp::from_second(second).expect("a second of this age");
        state.tick = 0;
    }

    /// From now on what users do is stamped with this machine's time, where people work at a stack for longer than a test does: a board that
    /// writes after a merge must not seem to have written long before it, nor the other way round.
    pub fn keep_time(&self) {
        self.state().keeps_time = true;
    }

    /// How much was asked through GraphQL.
    pub fn graphql_use(&self) -> GraphqlUse {
        self.state().graphql
    }
}

impl State {
    fn installation(&mut self, id: InstallationId) -> &mut Installation {
        self.installations.get_mut(&id).unwrap_or_else(|| panic!("no installation {id}"))
    }

    pub(super) fn create_repository(&mut self, full_name: &str, private: bool, fork: bool) -> u64 {
        let (owner, _) = full_name.split_once('/').expect("owner/name");
        assert!(self.named(full_name).is_none(), "{full_name} is there already");
        let kind = if fork { AccountType::User } else { AccountType::Organization };
        self.account(owner, kind);
        let id = 700_000_000 + self.next_id();
        let main = Branch { tip: self.next_sha(), versions: BTreeMap::new() };
        let repository = Repository {
            id,
            full_name: full_name.to_owned(),
            private,
            fork,
            created_at: self.clock,
            branches: BTreeMap::from([("main".to_owned(), main)]),
            collaborators: BTreeMap::new(),
            last_number: 0,
        };
        self.repositories.insert(repository);
        self.nodes.insert(repository_node(id), NodeRef::Repository(id));
        id
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, level)| ((*name).to_owned(), (*level).to_owned())).collect()
}
