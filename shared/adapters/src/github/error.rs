//! What GitHub refuses, as far as a caller does something different about it.
//! <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;

use super::http::date;
use crate::error::Source;

/// How long to wait where GitHub asks to slow down without saying for how long.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const UNSTATED_WAIT: Duration = Duration::from_secs(60);

/// GitHub's own sentence is kept to this many characters in a log.
const LOGGED_CHARACTERS: usize = 300;

/// Why GitHub did not do what was asked.
///
/// The text of a variant is ours; what GitHub said is its source, for a log only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The JSON Web Token does not verify: the key is not one of this App's, or the issuer is another App.
    #[error("GitHub does not accept the App's private key with this App ID")]
    InvalidKey(#[source] Refusal),

    /// The JSON Web Token's times are not near GitHub's clock.
    #[error("the clock differs from GitHub's")]
    ClockSkew {
        /// GitHub's clock, from the answer's `Date`.
        github_now: Option<Timestamp>,
        /// What GitHub said.
        #[source]
        source: Refusal,
    },

    /// No such installation of this App: uninstalled, reinstalled under a new id, or another App's.
    #[error("the App has no such installation")]
    InstallationNotFound(#[source] Refusal),

    /// The account's owner suspended the installation.
    #[error("the installation is suspended")]
    InstallationSuspended(#[source] Refusal),

    /// The installation was not granted a repository or permission that was asked for.
    #[error("the installation was not granted what was asked for")]
    PermissionNotGranted(#[source] Refusal),

    /// A primary or secondary rate limit.
    #[error("GitHub asks to wait {} s", .retry_after.as_secs())]
    RateLimited {
        /// How long to ask nothing.
        retry_after: Duration,
        /// What GitHub said.
        #[source]
        source: Refusal,
    },

    /// A connection failure, a time-out or an answer of the 500s: trying again later may help.
    #[error("GitHub could not be reached or answered with an error of its own")]
    Unavailable(#[source] Source),

    /// The bearer token was not accepted; a fresh installation token may need some seconds.
    #[error("GitHub did not accept the token")]
    Unauthorized(#[source] Refusal),

    /// The token may not do this.
    #[error("GitHub forbids this")]
    Forbidden(#[source] Refusal),

    /// There is no such thing, or the token may not see it.
    #[error("GitHub does not know this, or does not show it to this token")]
    NotFound(#[source] Refusal),

    /// The request is well formed, but GitHub cannot act on it.
    #[error("GitHub cannot act on this request")]
    Unprocessable(#[source] Refusal),

    /// An answer that the documentation does not lead to expect.
    #[error("GitHub's answer was not understood")]
    Unexpected(#[source] Source),
}

/// A refusal in GitHub's words, for a log: status and `message`, cut and without tokens.
#[derive(Debug, thiserror::Error)]
#[error("GitHub answered {status}: {message}")]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// GitHub's `message`.
    pub message: String,
}

#[derive(Deserialize)]
struct Body {
    message: String,
}

impl Error {
    /// The error that an answer outside the 200s stands for.
    pub(super) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let said = serde_json::from_slice::<Body>(body).map(|body| body.message).unwrap_or_default();
        let refusal = Refusal { status: status.as_u16(), message: printable(&said) };
        match status.as_u16() {
            401 => unauthorized(&said, headers, refusal),
            403 | 429 if is_rate_limit(status, headers, &said) => {
                Self::RateLimited { retry_after: retry_after(headers), source: refusal }
            }
            403 if said.contains("suspended") => Self::InstallationSuspended(refusal),
            403 => Self::Forbidden(refusal),
            404 | 410 => Self::NotFound(refusal),
            422 => Self::Unprocessable(refusal),
            408 | 500..=599 => Self::Unavailable(Box::new(refusal)),
            _ => Self::Unexpected(Box::new(refusal)),
        }
    }
}

/// The three kinds of 401 differ in GitHub's sentence alone.
/// <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>
fn unauthorized(said: &str, headers: &HeaderMap, refusal: Refusal) -> Error {
    if said.contains("could not be decoded") || said.contains("must generate a public key") {
        Error::InvalidKey(refusal)
    } else if said.contains("'Issued at' claim") || said.contains("'Expiration time' claim") {
        Error::ClockSkew { github_now: date(headers), source: refusal }
    } else {
        Error::Unauthorized(refusal)
    }
}

/// GitHub uses 403 for its limits too; a plain 403 carries no `retry-after` and has requests remaining.
fn is_rate_limit(status: StatusCode, headers: &HeaderMap, said: &str) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS
        || headers.contains_key("retry-after")
        || headers.get("x-ratelimit-remaining").is_some_and(|remaining| remaining == "0")
        || said.contains("rate limit")
}

/// `retry-after` first, then `x-ratelimit-reset` where the hour's quota is spent. The reset is compared with the
/// answer's own `Date`, so that a wrong clock here does not turn it into hours.
fn retry_after(headers: &HeaderMap) -> Duration {
    let number = |name| headers.get(name)?.to_str().ok()?.trim().parse::<u64>().ok();
    if let Some(seconds) = number("retry-after") {
        return Duration::from_secs(seconds);
    }
    let spent = number("x-ratelimit-remaining") == Some(0);
    match (spent, number("x-ratelimit-reset"), date(headers).map(Timestamp::as_second)) {
        (true, Some(reset), Some(now)) => {
            let seconds = reset.saturating_sub(now.try_into().unwrap_or_default());
            Duration::from_secs(seconds.max(1))
        }
        _ => UNSTATED_WAIT,
    }
}

fn printable(text: &str) -> String {
    let line: String = text.chars().take(LOGGED_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect();
    redact(&line)
}

/// The text with every installation token, old shape or new, replaced by `ghs_[redacted]`.
/// <https://github.blog/changelog/2026-04-24-notice-about-upcoming-new-format-for-github-app-installation-tokens/>
pub fn redact(text: &str) -> String {
    const PREFIX: &str = "ghs_";
    let mut parts = text.split(PREFIX);
    let mut clean = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
        // Shorter ones are kept: the prefix also begins ordinary words.
        let is_token = part.len() - rest.len() >= 36;
        clean.push_str(PREFIX);
        clean.push_str(if is_token { "[redacted]" } else { part });
        clean.push_str(if is_token { rest } else { "" });
    }
    clean
}
