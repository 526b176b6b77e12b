//! Reads the bounds of a profile out of JSON. Every refusal names the place.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::glob::Glob;
use super::permissions::PERMISSIONS;
use super::{Bounds, Installations};
use crate::contract::token::{Permissions, is_permission};
use crate::ids::InstallationId;

/// What a policy of before took is still taken: a stack is deployed again with the parameter it had.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Form {
    Old,
    #[default]
    Profiles,
}

impl Bounds {
    pub(super) fn parse(mut fields: Map<String, Value>, place: &str, form: Form) -> Result<Self, String> {
        let installations = match (fields.remove("installations"), form) {
            (None, Form::Old) => Installations::All,
            (None, Form::Profiles) => Installations::Own,
            (Some(Value::String(word)), Form::Profiles) if word == "all" => Installations::All,
            (Some(value), _) => Installations::Listed(ids(value, &format!("{place}installations"))?),
        };
        let repositories =
            fields.remove("repositories").map(|value| globs(value, &format!("{place}repositories"), form));
        let named = match (form, fields.get("named_repositories").cloned()) {
            (Form::Old, _) | (_, None) => false,
            (Form::Profiles, Some(Value::Bool(named))) => {
                fields.remove("named_repositories");
                named
            }
            (Form::Profiles, Some(_)) => return Err(format!("{place}named_repositories must be true or false")),
        };
        let permissions = fields.remove("permissions").map(|value| levels(value, &format!("{place}permissions"), form));
        if let Some(name) = fields.keys().next() {
            return Err(format!("{place}{name} is not a field of a policy"));
        }
        Ok(Self {
            installations,
            repositories: repositories.transpose()?,
            named,
            permissions: permissions.transpose()?,
            form,
        })
    }
}

pub(super) fn object(value: Value, place: &str) -> Result<Map<String, Value>, String> {
    match value {
        Value::Object(fields) if fields.is_empty() && place == "profiles" => {
            Err(format!("{place} is empty: nobody gets a token"))
        }
        Value::Object(fields) => Ok(fields),
        _ => Err(format!("{place} must be an object")),
    }
}

fn ids(value: Value, place: &str) -> Result<BTreeSet<InstallationId>, String> {
    let Value::Array(values) = value else { return Err(format!("{place} must be a list of installations' ids")) };
    let id = |(at, value): (usize, &Value)| {
        let id = value.as_u64().filter(|id| *id > 0);
        id.map(InstallationId).ok_or_else(|| format!("{place}[{at}] must be an installation's id"))
    };
    not_empty(values.iter().enumerate().map(id).collect::<Result<BTreeSet<_>, _>>()?, BTreeSet::is_empty, place)
}

fn globs(value: Value, place: &str, form: Form) -> Result<Vec<Glob>, String> {
    let Value::Array(values) = value else { return Err(format!("{place} must be a list of globs such as acme/web-*")) };
    let glob = |(at, value): (usize, &Value)| {
        let place = format!("{place}[{at}]");
        let text = value.as_str().ok_or_else(|| format!("{place} must be a glob such as acme/web-*"))?;
        Glob::parse(text, form).map_err(|reason| format!("{place} {reason}"))
    };
    not_empty(values.iter().enumerate().map(glob).collect::<Result<Vec<_>, _>>()?, Vec::is_empty, place)
}

fn levels(value: Value, place: &str, form: Form) -> Result<Permissions, String> {
    let Value::Object(fields) = value else { return Err(format!("{place} must be an object of permission to level")) };
    let level = |(name, value): (String, Value)| {
        let place = format!("{place}.{name}");
        if !is_permission(&name) || (form == Form::Profiles && !PERMISSIONS.contains(&name.as_str())) {
            return Err(format!("{place} is no permission of GitHub's, such as pull_requests"));
        }
        let level = value.as_str().and_then(|level| level.parse().ok());
        Ok((name, level.ok_or_else(|| format!("{place} must be read, write or admin"))?))
    };
    not_empty(fields.into_iter().map(level).collect::<Result<Permissions, _>>()?, BTreeMap::is_empty, place)
}

fn not_empty<T>(values: T, is_empty: impl FnOnce(&T) -> bool, place: &str) -> Result<T, String> {
    if is_empty(&values) {
        return Err(format!("{place} is empty and allows nothing: leave it out to bound nothing"));
    }
    Ok(values)
}
