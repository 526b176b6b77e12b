//! A function as it is deployed, how it is named, and why an invocation gives no answer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::{ACCOUNT, REGION};

/// The largest synchronous request and response, in bytes
/// (<https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub(super) const LARGEST_PAYLOAD: usize = 6 * 1024 * 1024;

/// A function as it is deployed.
#[derive(Clone, Debug)]
pub struct Function {
    pub(super) name: String,
    pub(super) binary: PathBuf,
    pub(super) variables: BTreeMap<String, String>,
    pub(super) aliases: BTreeMap<String, BTreeMap<String, String>>,
    pub(super) timeout: Duration,
    pub(super) init_timeout: Duration,
    pub(super) memory_mb: u32,
    pub(super) concurrency: usize,
    pub(super) state: String,
    pub(super) last_update_status: String,
}

impl Function {
    /// A function of 128 MB that may run 30 s and 10 times at once.
    pub fn new(name: &str, binary: impl Into<PathBuf>) -> Self {
        Self {
            name: name.to_owned(),
            binary: binary.into(),
            variables: BTreeMap::new(),
            aliases: BTreeMap::new(),
            timeout: Duration::from_secs(30),
            init_timeout: Duration::from_secs(10),
            memory_mb: 128,
            concurrency: 10,
            state: "Active".to_owned(),
            last_update_status: "Successful".to_owned(),
        }
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &str, value: impl Into<String>) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Adds an alias whose environments have these variables besides, or instead of, the function's own.
    pub fn alias<'a>(mut self, alias: &str, variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.aliases.insert(alias.to_owned(), variables);
        self
    }

    /// Limits one invocation's time.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Limits the time from spawn to the first request for an event; AWS allows 10 s.
    pub fn init_timeout(mut self, timeout: Duration) -> Self {
        self.init_timeout = timeout;
        self
    }

    /// Sets the memory size the function is told; nothing enforces it.
    pub fn memory(mut self, megabytes: u32) -> Self {
        self.memory_mb = megabytes;
        self
    }

    /// Limits the environments, and so the invocations at one time.
    pub fn concurrency(mut self, environments: usize) -> Self {
        self.concurrency = environments;
        self
    }
}

/// An invocation that gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionError {
    /// The function's own error type, one of the platform's (`Runtime.ExitError`, `Sandbox.Timedout`), or an Invoke API
    /// exception (`TooManyRequestsException`).
    pub error_type: String,
    /// The message next to it.
    pub message: String,
}

impl std::fmt::Display for FunctionError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}: {}", self.error_type, self.message)
    }
}

impl std::error::Error for FunctionError {}

impl FunctionError {
    pub(super) fn read(payload: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(payload).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        Self { error_type: text("errorType"), message: text("errorMessage") }
    }

    pub(super) fn refused(refusal: &InvokeRefusal) -> Self {
        Self { error_type: refusal.kind().to_owned(), message: refusal.message() }
    }
}

/// Why the service did not run a function.
#[derive(Clone, Debug)]
pub(super) enum InvokeRefusal {
    NotFound(String),
    Throttled,
    TooLarge(usize),
}

impl InvokeRefusal {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "ResourceNotFoundException",
            Self::Throttled => "TooManyRequestsException",
            Self::TooLarge(_) => "RequestTooLargeException",
        }
    }

    pub(super) fn message(&self) -> String {
        match self {
            Self::NotFound(arn) => format!("Function not found: {arn}"),
            Self::Throttled => "Rate Exceeded.".to_owned(),
            Self::TooLarge(size) => {
                format!(
                    "Request must be smaller than {LARGEST_PAYLOAD} bytes for the InvokeFunction operation, was {size}"
                )
            }
        }
    }
}

/// A function, or an alias of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) function: String,
    pub(super) alias: Option<String>,
}

impl Target {
    /// Reads a name, `name:alias`, or a whole or partial ARN of either.
    pub(super) fn parse(text: &str) -> Self {
        let name = text.rsplit_once("function:").map_or(text, |(_, name)| name);
        let (function, alias) = match name.split_once(':') {
            Some((function, alias)) => (function, Some(alias)),
            None => (name, None),
        };
        Self { function: function.to_owned(), alias: alias.filter(|alias| *alias != "$LATEST").map(str::to_owned) }
    }

    pub(super) fn name(&self) -> String {
        let alias = self.alias.iter().map(|alias| format!(":{alias}")).collect::<String>();
        format!("{}{alias}", self.function)
    }

    pub(super) fn arn(&self) -> String {
        format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{}", self.name())
    }
}
