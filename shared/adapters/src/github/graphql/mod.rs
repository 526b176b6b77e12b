//! GraphQL: what is asked, and how much of the answer came.
//!
//! A partial answer is the rule: `data` and `errors` come together with status 200, and each error names by its path the part
//! that it is about. So an answer is taken apart here: what is there is used, and what is missing carries its own reason.
//! <https://docs.github.com/en/graphql/overview/rate-limits-and-query-limits-for-the-graphql-api>

mod pull_requests;
mod repositories;

pub use pull_requests::{Listed, Page, by_update, on_base, title_at_merge, title_of_merge};
pub use repositories::{Asked, Touched, last_touched};

use std::borrow::Cow;

use reqwest::header::HeaderMap;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::{self, Meaning};
use super::{Error, Refusal};

/// A query and its variables.
#[derive(Debug, Clone, Serialize)]
pub struct Query {
    #[serde(rename = "query")]
    text: Cow<'static, str>,
    variables: Value,
}

/// What came of a query: at least a part.
#[derive(Debug)]
pub struct Queried {
    data: Map<String, Value>,
    missing: Vec<Missing>,
}

/// One entry of `errors`.
#[derive(Debug, Clone, Deserialize)]
struct Missing {
    #[serde(default, rename = "type")]
    kind: Option<String>,
    #[serde(default)]
    message: Option<String>,
    /// Field names and list indices, from the top.
    #[serde(default)]
    path: Option<Vec<Value>>,
}

/// The body of an answer as it came.
#[derive(Debug, Deserialize)]
pub(super) struct Body {
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    errors: Option<Vec<Missing>>,
}

impl Body {
    /// What is to be had of it. A limit concerns everything, whatever else came.
    pub(super) fn queried(self, headers: &HeaderMap) -> Result<Queried, Error> {
        let missing = self.errors.unwrap_or_default();
        if let Some(limit) = missing.iter().find(|missing| missing.is_limit()) {
            return Err(Error::RateLimited { retry_after: error::wait(headers), source: limit.refusal() });
        }
        match (self.data, missing.first()) {
            (Some(data), _) => Ok(Queried { data, missing }),
            (None, Some(first)) => Err(first.error()),
            (None, None) => Err(Error::Unexpected("neither data nor errors".into())),
        }
    }
}

impl Queried {
    /// A field at the top, or why it is missing: an error about exactly it. What lacks below it is for the caller to see.
    fn field(&self, name: &str) -> Result<&Value, Error> {
        match self.data.get(name) {
            Some(value) if !value.is_null() => Ok(value),
            _ => Err(self.why(&[&name]).unwrap_or_else(nothing)),
        }
    }

    /// The first error about `part` or anything below it; else about anything above it.
    fn why(&self, part: &[&dyn Step]) -> Option<Error> {
        let found = self.missing.iter().find(|missing| missing.is_below(part));
        let found = found.or_else(|| self.missing.iter().find(|missing| missing.is_above(part)));
        found.map(Missing::error)
    }

    /// The first error about `part` or anything below it.
    fn blamed(&self, part: &[&dyn Step]) -> Option<Error> {
        self.missing.iter().find(|missing| missing.is_below(part)).map(Missing::error)
    }
}

/// What is null without a word was not answered: GitHub says `NOT_FOUND` of what is not there, and only that ends a debt.
fn nothing() -> Error {
    Error::Unavailable("null, and no error says why".into())
}

/// One step of a path.
trait Step {
    fn is(&self, step: &Value) -> bool;
}

impl Step for &str {
    fn is(&self, step: &Value) -> bool {
        step == self
    }
}

impl Step for String {
    fn is(&self, step: &Value) -> bool {
        step == self
    }
}

impl Step for usize {
    fn is(&self, step: &Value) -> bool {
        step.as_u64() == u64::try_from(*self).ok()
    }
}

impl Missing {
    fn is_below(&self, part: &[&dyn Step]) -> bool {
        let path = self.path.as_deref().unwrap_or_default();
        path.len() >= part.len() && part.iter().zip(path).all(|(step, at)| step.is(at))
    }

    /// An error without a path is about everything.
    fn is_above(&self, part: &[&dyn Step]) -> bool {
        let path = self.path.as_deref().unwrap_or_default();
        path.len() < part.len() && part.iter().zip(path).all(|(step, at)| step.is(at))
    }

    fn is_limit(&self) -> bool {
        // A secondary limit has no type of its own.
        matches!(self.kind.as_deref(), Some("RATE_LIMIT" | "RATE_LIMITED"))
            || error::meaning(403, self.message()) == Some(Meaning::Limit)
    }

    fn message(&self) -> &str {
        self.message.as_deref().unwrap_or_default()
    }

    fn refusal(&self) -> Refusal {
        let said: Vec<_> = self.kind.as_deref().into_iter().chain([self.message()]).collect();
        Refusal::new(200, &said.join(": "))
    }

    fn error(&self) -> Error {
        match (error::meaning(403, self.message()), self.kind.as_deref()) {
            // Its sentence repeats the name that was asked for, which may be any.
            (_, Some("NOT_FOUND")) => Error::NotFound(self.refusal()),
            (Some(meaning), _) => Error::meant(meaning, &HeaderMap::new(), self.refusal()),
            (None, Some("FORBIDDEN" | "UNAUTHORIZED")) => Error::Forbidden(self.refusal()),
            // Time-outs, resource limits, and what GitHub calls "something went wrong": less may be answered.
            (None, _) => Error::Unavailable(Box::new(self.refusal())),
        }
    }
}
