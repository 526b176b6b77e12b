//! What may be asked for at all, set by whoever deploys.
//!
//! `{"installations"?: [1], "repositories"?: ["web-*", "acme/api"], "permissions"?: {"contents": "read"}}`: a part that
//! is left out bounds nothing. Callers that need different bounds get an alias of the function each.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use crate::failure::{ErrorType, Failure};
use crate::request::{Ask, permission};
use crate::scope::{Level, Scope};

/// The bounds of `TOKEN_POLICY`; by default there are none.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    installations: Option<BTreeSet<u64>>,
    /// Globs in lower case. One without `/` is matched with the name, one with `/` with `owner/name`.
    repositories: Option<Vec<String>>,
    permissions: Option<BTreeMap<String, Level>>,
}

impl Policy {
    /// Reads the JSON of `TOKEN_POLICY`.
    ///
    /// # Errors
    /// A sentence that says what is wrong: a policy that is half understood would allow what it should not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut policy: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        for glob in policy.repositories.iter_mut().flatten() {
            glob.make_ascii_lowercase();
        }
        let empty = policy.installations.as_ref().is_some_and(BTreeSet::is_empty)
            || policy.repositories.as_ref().is_some_and(Vec::is_empty)
            || policy.permissions.as_ref().is_some_and(BTreeMap::is_empty);
        if empty {
            return Err("a part that is empty allows nothing; leave it out to bound nothing".into());
        }
        match policy.permissions.iter().flatten().find(|(name, _)| permission((*name).clone()).is_none()) {
            Some(_) => Err("permissions must be named as GitHub names them, such as pull_requests".into()),
            None => Ok(policy),
        }
    }

    /// The scope of an ask for an installation. Without permissions of its own, an ask gets the policy's.
    ///
    /// # Errors
    /// A `PermissionNotGranted` that names the rule.
    pub(crate) fn bound(&self, ask: &Ask, installation_id: u64) -> Result<Scope, Failure> {
        if self.installations.as_ref().is_some_and(|allowed| !allowed.contains(&installation_id)) {
            return Err(refused(format!("installations does not list {installation_id}")));
        }
        self.allow_repositories(ask)?;
        self.allow_permissions(ask)?;
        let permissions = ask.permissions.as_ref().or(self.permissions.as_ref()).cloned();
        Ok(Scope { installation_id, repositories: ask.repositories.clone(), permissions })
    }

    fn allow_repositories(&self, ask: &Ask) -> Result<(), Failure> {
        let Some(globs) = &self.repositories else { return Ok(()) };
        if globs.iter().any(|glob| glob == "*") {
            return Ok(());
        }
        let Some(names) = &ask.repositories else {
            return Err(refused("repositories has to be named in the request".into()));
        };
        let refused_name = names.iter().find(|name| !globs.iter().any(|glob| covers(glob, ask.owner.as_deref(), name)));
        match refused_name {
            None => Ok(()),
            Some(name) if ask.owner.is_none() && globs.iter().any(|glob| glob.contains('/')) => {
                Err(refused(format!("repositories does not allow {name}; if its owner is allowed, ask as owner/name")))
            }
            Some(name) => Err(refused(format!("repositories does not allow {name}"))),
        }
    }

    fn allow_permissions(&self, ask: &Ask) -> Result<(), Failure> {
        let (Some(highest), Some(asked)) = (&self.permissions, &ask.permissions) else { return Ok(()) };
        for (name, level) in asked {
            match highest.get(name) {
                Some(highest) if level <= highest => {}
                Some(highest) => return Err(refused(format!("permissions allows {name}: {} at most", highest.name()))),
                None => return Err(refused(format!("permissions does not list {name}"))),
            }
        }
        Ok(())
    }
}

fn refused(rule: String) -> Failure {
    Failure::new(ErrorType::PermissionNotGranted, format!("TOKEN_POLICY refuses this: {rule}"))
}

fn covers(glob: &str, owner: Option<&str>, name: &str) -> bool {
    match (glob.contains('/'), owner) {
        (false, _) => matches(glob.as_bytes(), name.as_bytes()),
        (true, Some(owner)) => matches(glob.as_bytes(), format!("{owner}/{name}").as_bytes()),
        (true, None) => false,
    }
}

/// Whether the whole text matches: `*` stands for any run of characters but `/`, `?` for one.
///
/// Remembers the last star alone, so that a pattern of many stars costs no more than its length times the text's.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star = None;
    while let Some(&byte) = text.get(t) {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&wanted) if wanted == byte || (wanted == b'?' && byte != b'/') => (g, t) = (g + 1, t + 1),
            _ => match star {
                Some((at, from)) if text.get(from) != Some(&b'/') => {
                    star = Some((at, from + 1));
                    (g, t) = (at + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
    glob.get(g..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}
