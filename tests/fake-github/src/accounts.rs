//! Who is on GitHub, and what the App is installed on.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

/// What kind of account a login is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountType {
    /// A person.
    User,
    /// An organization.
    Organization,
    /// An enterprise: its JSON has a `slug` and no `login`.
    Enterprise,
}

#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) id: u64,
    pub(super) login: String,
    pub(super) kind: AccountType,
}

#[derive(Debug, Clone)]
pub(super) struct Installation {
    pub(super) id: u64,
    pub(super) account: String,
    /// `None`: every repository of the account.
    pub(super) selected: Option<BTreeSet<u64>>,
    pub(super) permissions: BTreeMap<String, String>,
    pub(super) events: Vec<String>,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
    pub(super) suspended_at: Option<Timestamp>,
}

/// Every account, by its login in lower case.
#[derive(Debug, Default)]
pub(super) struct Accounts(BTreeMap<String, Account>);

impl Accounts {
    pub(super) fn get(&self, login: &str) -> Option<&Account> {
        self.0.get(&login.to_lowercase())
    }

    pub(super) fn get_mut(&mut self, login: &str) -> Option<&mut Account> {
        self.0.get_mut(&login.to_lowercase())
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(account) = self.0.remove(&from.to_lowercase()) {
            self.insert(Account { login: to.to_owned(), ..account });
        }
    }

    pub(super) fn insert(&mut self, account: Account) {
        self.0.insert(account.login.to_lowercase(), account);
    }
}
