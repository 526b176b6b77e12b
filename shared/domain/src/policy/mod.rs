//! Who may be given what: the policy maps each caller's profile to bounds.
//!
//! A profile is an alias of the token function; IAM says who may invoke which. So the policy bounds what a caller may be given, and
//! no caller chooses its bounds. What the policy does not allow is refused, and a policy that is not understood allows nothing.
//!
//! ```json
//! {"profiles": {
//!   "agents": {"repositories": ["acme/web-*"], "permissions": {"contents": "read", "pull_requests": "write"}},
//!   "pushers": {"named_repositories": true, "permissions": {"contents": "write"}},
//!   "partners": {"installations": [4711], "repositories": ["partner/shared"], "permissions": {"contents": "read"}}}}
//! ```
//!
//! `installations` is a list of ids or `"all"` of this App's; left out, the one in the App's secret alone. A glob of `repositories`
//! without an owner means that installation alone. Left out, `repositories` and `permissions` bound nothing.

mod glob;
mod parse;
mod permissions;
mod strict_json;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use glob::Glob;
use parse::{Form, object};
use strict_json::Strict;

use crate::contract::token::{Level, Permissions, Scope};
use crate::ids::InstallationId;

/// Whose bounds apply: the alias that the function was invoked by.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Profile(String);

impl Profile {
    /// The one of a call without an alias, as every call was once.
    pub const DEFAULT: &str = "agents";

    /// The one of people who look for a reason.
    pub const INSPECT: &str = "inspect";

    /// The one that is built in, so that no policy stops resyncs.
    pub const RECONCILE: &str = "reconcile";

    /// The profile of the function as it was invoked: `arn:aws:lambda:REGION:ACCOUNT:function:NAME[:ALIAS]`.
    pub fn of_function(arn: &str) -> Self {
        let qualifier = arn.split_once(":function:").and_then(|(_, name)| Some(name.split_once(':')?.1));
        // A version is no alias: its number was not chosen for anybody.
        let alias = qualifier.filter(|name| *name != "$LATEST" && !name.bytes().all(|byte| byte.is_ascii_digit()));
        Self(alias.unwrap_or(Self::DEFAULT).to_owned())
    }

    /// Its name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// What each profile may be given.
#[derive(Debug)]
pub struct Policy {
    profiles: BTreeMap<String, Bounds>,
    is_old: bool,
}

#[derive(Debug, Clone, Default)]
struct Bounds {
    installations: Installations,
    repositories: Option<Vec<Glob>>,
    /// Whether the repositories have to be named in the request.
    named: bool,
    permissions: Option<Permissions>,
    form: Form,
}

#[derive(Debug, Clone, Default)]
enum Installations {
    /// The one in the App's secret.
    #[default]
    Own,
    All,
    Listed(BTreeSet<InstallationId>),
}

/// The installation that a token is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its id.
    pub installation_id: InstallationId,
    /// Whether it is the one in the App's secret, or stands in for it after a reinstallation.
    pub is_own: bool,
}

/// Why a profile is not given something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    profile: Profile,
    rule: Rule,
}

/// Which rule it was: apart from the others only where a caller does something different about it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rule {
    RepositoriesNotNamed,
    Other(String),
}

impl Denied {
    /// Whether the request would have to name repositories, and names none.
    pub fn wants_repositories(&self) -> bool {
        self.rule == Rule::RepositoriesNotNamed
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::RepositoriesNotNamed => "repositories has to be named in the request",
            Self::Other(rule) => rule,
        })
    }
}

impl From<String> for Rule {
    fn from(rule: String) -> Self {
        Self::Other(rule)
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "TOKEN_POLICY refuses this to the profile {}: {}", self.profile, self.rule)
    }
}

impl Default for Policy {
    /// Without a policy the installation in the App's secret is served, with what it grants.
    fn default() -> Self {
        let profiles = ["agents", "inspect", "pushers"].map(|name| (name.to_owned(), Bounds::default()));
        Self { profiles: profiles.into(), is_old: false }
    }
}

impl Policy {
    /// Reads the JSON of `TOKEN_POLICY`, in the form with profiles or in the old one, whose bounds become those of `agents` and of `inspect`.
    ///
    /// # Errors
    /// A sentence that says where it is wrong: a policy that is half understood would allow what it should not.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Strict(policy) = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let Value::Object(mut fields) = policy else { return Err("it must be a JSON object".into()) };
        let Some(profiles) = fields.remove("profiles") else {
            let agents = Bounds::parse(fields, "", Form::Old)?;
            // People asked without an alias then, as agents did: what they look for a reason with keeps its bounds too.
            let profiles = [Profile::DEFAULT, Profile::INSPECT].map(|name| (name.to_owned(), agents.clone()));
            return Ok(Self { profiles: profiles.into(), is_old: true });
        };
        if let Some(name) = fields.keys().next() {
            return Err(format!("{name} stands beside profiles: it belongs into one of them"));
        }
        let profiles = object(profiles, "profiles")?;
        let profiles = profiles.into_iter().map(|(name, bounds)| {
            let place = format!("profiles.{name}");
            if name == Profile::RECONCILE {
                return Err(format!("{place} is built in and cannot be changed"));
            }
            if !is_alias(&name) {
                return Err(format!("{place} is no name of an alias: letters, digits, - and _"));
            }
            Ok((name, Bounds::parse(object(bounds, &place)?, &format!("{place}."), Form::Profiles)?))
        });
        Ok(Self { profiles: profiles.collect::<Result<_, _>>()?, is_old: false })
    }

    /// Whether it is in the form of before there were profiles.
    pub fn is_old(&self) -> bool {
        self.is_old
    }

    /// Whether the profile may be given what is asked for, and the permissions it gets: without any of its own, an ask gets those of
    /// the profile.
    ///
    /// # Errors
    /// [`Denied`], which names the profile and the rule.
    pub fn bound(&self, profile: &Profile, scope: &Scope, target: Target) -> Result<Option<Permissions>, Denied> {
        let denied = |rule| Denied { profile: profile.clone(), rule };
        if profile.as_str() == Profile::RECONCILE {
            return reconcile().bound(scope, target).map_err(denied);
        }
        let bounds = self.profiles.get(profile.as_str());
        let bounds = bounds.ok_or_else(|| denied("the policy has no profile of this name".to_owned().into()))?;
        bounds.bound(scope, target).map_err(denied)
    }
}

/// What reconcile reads, of whatever installation there is: it asks for these, and its profile is given no others.
pub const RECONCILE_PERMISSIONS: [&str; 3] = ["contents", "metadata", "pull_requests"];

fn reconcile() -> Bounds {
    let permissions = RECONCILE_PERMISSIONS.map(|name| (name.to_owned(), Level::Read));
    Bounds { installations: Installations::All, permissions: Some(permissions.into()), ..Bounds::default() }
}

/// <https://docs.aws.amazon.com/lambda/latest/api/API_CreateAlias.html>
fn is_alias(name: &str) -> bool {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    (1..=128).contains(&name.len()) && plain && !name.bytes().all(|byte| byte.is_ascii_digit())
}

impl Bounds {
    fn bound(&self, scope: &Scope, target: Target) -> Result<Option<Permissions>, Rule> {
        let id = target.installation_id;
        match &self.installations {
            Installations::All => {}
            Installations::Own if target.is_own => {}
            Installations::Own => {
                return Err(format!("installations allows that of the App's secret, which {id} is not").into());
            }
            Installations::Listed(ids) if ids.contains(&id) => {}
            Installations::Listed(_) => return Err(format!("installations does not list {id}").into()),
        }
        self.allow_repositories(scope, target)?;
        self.allow_permissions(scope)?;
        Ok(scope.permissions.as_ref().or(self.permissions.as_ref()).cloned())
    }

    fn allow_repositories(&self, scope: &Scope, target: Target) -> Result<(), Rule> {
        // An installation of another account may have repositories of the same names. The old form meant every one that it listed.
        let listed = self.form == Form::Old && matches!(self.installations, Installations::Listed(_));
        let without_owner = target.is_own || listed;
        let bounded = self.repositories.as_ref();
        let is_bounded = bounded.is_some_and(|globs| !globs.iter().any(|glob| glob.is_everything() && without_owner));
        let Some(repositories) = &scope.repositories else {
            return if is_bounded || self.named { Err(Rule::RepositoriesNotNamed) } else { Ok(()) };
        };
        let (true, Some(globs)) = (is_bounded, bounded) else { return Ok(()) };
        let owner = repositories.owner();
        let allowed = |name: &String| globs.iter().any(|glob| glob.covers(owner, name, without_owner));
        match repositories.names().iter().find(|name| !allowed(name)) {
            None => Ok(()),
            Some(name) if owner.is_none() && globs.iter().any(Glob::has_owner) => {
                Err(format!("repositories does not allow {name}; if its owner is allowed, ask as owner/name").into())
            }
            Some(name) if !without_owner && globs.iter().any(|glob| !glob.has_owner()) => Err(format!(
                "repositories does not allow {name}: without an owner it means the installation of the App's secret alone"
            )
            .into()),
            Some(name) => Err(format!("repositories does not allow {name}").into()),
        }
    }

    fn allow_permissions(&self, scope: &Scope) -> Result<(), String> {
        let (Some(highest), Some(asked)) = (&self.permissions, &scope.permissions) else { return Ok(()) };
        for (name, level) in asked {
            match highest.get(name) {
                Some(highest) if level <= highest => {}
                Some(highest) => return Err(format!("permissions allows {name}: {} at most", highest.name())),
                None => return Err(format!("permissions does not list {name}")),
            }
        }
        Ok(())
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::contract::token::Repositories;

    const OWN: Target = Target { installation_id: InstallationId(1), is_own: true };
    const OTHER: Target = Target { installation_id: InstallationId(2), is_own: false };

    fn profile(alias: &str) -> Profile {
        Profile::of_function(&format!("arn:aws:lambda:eu-west-1:123456789012:function:konduktor-token:{alias}"))
    }

    fn ask(repositories: &[&str], permissions: &[(&str, Level)]) -> Scope {
        Scope {
            repositories: (!repositories.is_empty()).then(|| Repositories::new(repositories).unwrap()),
            permissions: (!permissions.is_empty())
                .then(|| permissions.iter().map(|(name, level)| ((*name).to_owned(), *level)).collect()),
            ..Scope::default()
        }
    }

    fn policy(value: &Value) -> Policy {
        Policy::parse(&value.to_string()).unwrap()
    }

    fn rule(policy: &Policy, alias: &str, scope: &Scope, target: Target) -> Option<String> {
        policy.bound(&profile(alias), scope, target).err().map(|denied| denied.to_string())
    }

    #[test]
    fn the_profile_is_the_alias_of_the_call() {
        let arn = "arn:aws:lambda:eu-west-1:123456789012:function:konduktor-token";
        for (qualifier, expected) in [
            ("", "agents"),
            (":$LATEST", "agents"),
            (":7", "agents"),
            (":pushers", "pushers"),
            (":reconcile", "reconcile"),
        ] {
            assert_eq!(Profile::of_function(&format!("{arn}{qualifier}")).as_str(), expected, "{qualifier}");
        }
        assert_eq!(Profile::of_function("").as_str(), "agents");
    }

    #[test]
    fn each_profile_has_bounds_of_its_own_and_the_refusal_names_profile_and_rule() {
        let policy = policy(&json!({"profiles": {
            "agents": {"repositories": ["web-*", "acme/api"], "permissions": {"contents": "read"}},
            "pushers": {"named_repositories": true, "permissions": {"contents": "write"}},
            "partners": {"installations": [2], "repositories": ["partner/*", "tools"]},
            "auditors": {"installations": "all", "repositories": ["*"]}}}));
        let (read, write) = (("contents", Level::Read), ("contents", Level::Write));
        for (alias, scope, target, expected) in [
            ("agents", ask(&["web-1"], &[read]), OWN, ""),
            ("agents", ask(&["acme/api", "acme/web-2"], &[read]), OWN, ""),
            ("agents", ask(&["api"], &[read]), OWN, "ask as owner/name"),
            ("agents", ask(&["web-1"], &[write]), OWN, "contents: read at most"),
            ("agents", ask(&["web-1"], &[("issues", Level::Read)]), OWN, "does not list issues"),
            ("agents", ask(&[], &[read]), OWN, "repositories has to be named"),
            ("agents", ask(&["web-1"], &[read]), OTHER, "which 2 is not"),
            ("pushers", ask(&["any"], &[write]), OWN, ""),
            ("pushers", ask(&[], &[write]), OWN, "repositories has to be named"),
            ("partners", ask(&["partner/x"], &[write]), OTHER, ""),
            ("partners", ask(&["tools"], &[write]), OTHER, "ask as owner/name"),
            ("partners", ask(&["partner/tools"], &[write]), OTHER, ""),
            ("partners", ask(&["stranger/tools"], &[write]), OTHER, "the App's secret alone"),
            ("partners", ask(&["partner/x"], &[]), OWN, "does not list 1"),
            ("auditors", ask(&[], &[]), OWN, ""),
            ("auditors", ask(&[], &[]), OTHER, "repositories has to be named"),
            ("auditors", ask(&["x"], &[]), OTHER, "does not allow x"),
            ("strangers", ask(&["web-1"], &[read]), OWN, "no profile of this name"),
            ("reconcile", ask(&[], &[("pull_requests", Level::Read)]), OTHER, ""),
            ("reconcile", ask(&[], &[("pull_requests", Level::Write)]), OWN, "pull_requests: read at most"),
        ] {
            match rule(&policy, alias, &scope, target) {
                None => assert_eq!(expected, "", "{alias} {scope:?}"),
                Some(said) => {
                    assert!(!expected.is_empty(), "{alias} {scope:?}: {said}");
                    assert!(said.contains(expected) && said.contains(&format!("profile {alias}")), "{said}");
                }
            }
        }
        let given = policy.bound(&profile("agents"), &ask(&["web-1"], &[]), OWN).unwrap();
        assert_eq!(given, ask(&[], &[read]).permissions, "without permissions of its own an ask gets the profile's");
    }

    #[test]
    fn without_a_policy_only_the_secrets_own_installation_is_served() {
        let policy = Policy::default();
        for alias in ["agents", "pushers", "inspect"] {
            assert_eq!(rule(&policy, alias, &ask(&[], &[]), OWN), None);
            assert!(rule(&policy, alias, &ask(&[], &[]), OTHER).is_some());
        }
    }

    #[test]
    fn the_old_form_bounds_agents_as_it_did() {
        let policy =
            policy(&json!({"installations": [1, 2], "repositories": ["a*"], "permissions": {"contents": "read"}}));
        assert!(policy.is_old());
        let read = ("contents", Level::Read);
        for target in [OWN, OTHER] {
            for alias in ["agents", "inspect"] {
                assert_eq!(rule(&policy, alias, &ask(&["app"], &[read]), target), None);
                assert!(rule(&policy, alias, &ask(&["web"], &[read]), target).is_some());
            }
            assert!(rule(&policy, "pushers", &ask(&["app"], &[read]), target).is_some());
        }
        for text in [
            r#"{"permissions":{"contents":"read","metadata":"read","pull_requests":"write"}}"#,
            r#"{"permissions":{"a_permission_of_tomorrow":"read"}}"#,
            r#"{"repositories":["*/app"]}"#,
            "{}",
        ] {
            let policy = Policy::parse(text).unwrap();
            assert!(policy.is_old(), "{text}");
            let permissions = &policy.profiles["agents"].permissions;
            let asked = ask(&["acme/app"], &[]);
            assert_eq!(policy.bound(&profile("agents"), &asked, OTHER).as_ref(), Ok(permissions), "{text}");
        }
    }

    #[test]
    fn a_policy_that_is_not_understood_is_refused_with_the_place() {
        for (text, place) in [
            ("", "line 1"),
            ("[]", "JSON object"),
            (r#"{"permission": {"contents": "read"}}"#, "permission"),
            (r#"{"permissions": {}}"#, "permissions is empty"),
            (r#"{"permissions": null}"#, "permissions must be"),
            (r#"{"permissions": {"contents": "none"}}"#, "permissions.contents"),
            (r#"{"permissions": {"Contents": "read"}}"#, "permissions.Contents"),
            (r#"{"permissions": {"contents": "read", "contents": "write"}}"#, "contents is given twice"),
            (r#"{"repositories": []}"#, "repositories is empty"),
            (r#"{"installations": ["1"]}"#, "installations[0]"),
            (r#"{"named_repositories": true}"#, "named_repositories"),
            (r#"{"profiles": {}}"#, "profiles is empty"),
            (r#"{"profiles": null}"#, "profiles must be"),
            (r#"{"profiles": {"agents": null}}"#, "profiles.agents must be"),
            (r#"{"profiles": {"agents": {}, "agents": {}}}"#, "agents is given twice"),
            (r#"{"profiles": {"agents": {}}, "permissions": {"contents": "read"}}"#, "permissions stands beside"),
            (r#"{"profiles": {"reconcile": {}}}"#, "profiles.reconcile is built in"),
            (r#"{"profiles": {"a b": {}}}"#, "profiles.a b"),
            (r#"{"profiles": {"7": {}}}"#, "profiles.7"),
            (r#"{"profiles": {"agents": {"installations": null}}}"#, "profiles.agents.installations"),
            (r#"{"profiles": {"agents": {"installations": "some"}}}"#, "profiles.agents.installations"),
            (
                r#"{"profiles": {"agents": {"repositories": ["*/app"]}}}"#,
                "profiles.agents.repositories[0] can match another",
            ),
            (
                r#"{"profiles": {"agents": {"repositories": ["acme/x", "ac?e/*"]}}}"#,
                "repositories[1] can match another",
            ),
            (r#"{"profiles": {"agents": {"repositories": ["**/x"]}}}"#, "repositories[0] can match another"),
            (r#"{"profiles": {"agents": {"repositories": ["acme*/x"]}}}"#, "repositories[0] can match another"),
            (r#"{"profiles": {"agents": {"repositories": ["?/*"]}}}"#, "repositories[0] can match another"),
            (r#"{"profiles": {"agents": {"repositories": [" acme/x"]}}}"#, "repositories[0] is no glob"),
            (r#"{"profiles": {"agents": {"repositories": ["acme/[ab]"]}}}"#, "repositories[0] is no glob"),
            (r#"{"profiles": {"agents": {"repositories": ["acme/"]}}}"#, "repositories[0] is no glob"),
            (r#"{"profiles": {"agents": {"repositories": [null]}}}"#, "profiles.agents.repositories[0]"),
            (r#"{"profiles": {"agents": {"repositories": "acme/x"}}}"#, "profiles.agents.repositories must be"),
            (r#"{"profiles": {"agents": {"repositories": null}}}"#, "profiles.agents.repositories must be"),
            (r#"{"profiles": {"agents": {"permissions": null}}}"#, "profiles.agents.permissions must be"),
            (
                r#"{"profiles": {"agents": {"permissions": {"contents": null}}}}"#,
                "profiles.agents.permissions.contents",
            ),
            (r#"{"profiles": {"agents": {"permissions": {"contents": "WRITE"}}}}"#, "permissions.contents must be"),
            (r#"{"profiles": {"agents": {"named_repositories": null}}}"#, "profiles.agents.named_repositories"),
            (r#"{"profiles": {"agents": {"installations": [1.5]}}}"#, "profiles.agents.installations[0]"),
            (r#"{"profiles": {"agents": {"installations": [1, 0]}}}"#, "profiles.agents.installations[1]"),
            (r#"{"profiles": {"agents": {"installations": []}}}"#, "profiles.agents.installations is empty"),
            (r#"{"profiles": {"agents": {"installations": [{"a": 1, "a": 2}]}}}"#, "a is given twice"),
            (r#"{"profiles": {"agents": {}, "\u0061gents": {}}}"#, "agents is given twice"),
            (r#"{"profiles": {"agents": {}}} {}"#, "trailing"),
            (r#"{"profiles": {"": {}}}"#, "profiles. is no name"),
            (r#"{"profiles": {"$LATEST": {}}}"#, "profiles.$LATEST"),
            ("null", "JSON object"),
            (r#"{"profiles": {"agents": {"repositories": ["a/b/c"]}}}"#, "repositories[0] is no glob"),
            (r#"{"profiles": {"agents": {"repositories": ["/app"]}}}"#, "repositories[0] is no glob"),
            (
                r#"{"profiles": {"agents": {"permissions": {"content": "read"}}}}"#,
                "profiles.agents.permissions.content ",
            ),
            (r#"{"profiles": {"agents": {"named_repositories": "yes"}}}"#, "profiles.agents.named_repositories"),
            (r#"{"profiles": {"agents": {"ttl": 1}}}"#, "profiles.agents.ttl"),
        ] {
            let reason = Policy::parse(text).unwrap_err();
            assert!(reason.contains(place), "{text}: {reason}");
        }
    }

    proptest! {
        /// Whatever a policy with profiles says of repositories, no glob of it reaches an account that it does not write out.
        #[test]
        fn no_glob_reaches_another_account(glob in "[a-c*?/]{1,8}", name in "[a-c]{1,4}") {
            let text = json!({"profiles": {"agents": {"installations": "all", "repositories": [glob]}}}).to_string();
            if let Ok(policy) = Policy::parse(&text) {
                let asked = ask(&[&format!("stranger/{name}")], &[]);
                prop_assert!(policy.bound(&profile("agents"), &asked, OTHER).is_err());
            }
        }
    }

    #[test]
    fn a_hostile_policy_is_read_or_refused_and_gives_nobody_what_no_rule_allows() {
        let policies = [
            r#"{"profiles":{"agents":{"installations":[1],"repositories":["acme/web-*"],"permissions":{"contents":"read"}}}}"#,
            r#"{"profiles":{"pushers":{"named_repositories":true,"installations":"all","permissions":{"contents":"write"}}}}"#,
            r#"{"installations":[1,2],"repositories":["a*?b"],"permissions":{"contents":"read","issues":"write"}}"#,
        ];
        let asked = ask(&["stranger/secret"], &[("administration", Level::Admin)]);
        hostile::attack(&policies, |input| {
            let Ok(policy) = Policy::parse(&String::from_utf8_lossy(input)) else { return };
            for alias in ["agents", "pushers", "inspect"] {
                let given = policy.bound(&profile(alias), &asked, OTHER).is_ok();
                // Without permissions a profile gets what its installation grants.
                let granted = |of: &Permissions| of.get("administration") == Some(&Level::Admin);
                let allowed = policy.profiles.get(alias).is_some_and(|of| of.permissions.as_ref().is_none_or(granted));
                assert!(!given || allowed, "{policy:?}");
            }
        });
    }
}
