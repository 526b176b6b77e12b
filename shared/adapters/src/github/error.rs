//! What GitHub refuses, as far as a caller does something different about it.
//! <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>

use std::iter;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;

use super::ApiUrl;
use super::http::{date, parse_date};
use crate::chain::Source;
use crate::redact::redact;

/// How long to wait where GitHub asks to slow down without saying for how long.
/// <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#exceeding-the-rate-limit>
const UNSTATED_WAIT: Duration = Duration::from_secs(60);

/// GitHub's own sentence is kept to this many characters in a log.
const LOGGED_CHARACTERS: usize = 300;

/// How much of a body is looked through for a sentence, bytes.
const LOOKED_THROUGH: usize = 4_096;

/// A wait that is named is believed up to here: GitHub's own are an hour at most, and a proxy's nonsense must not put work
/// off for ever.
const LONGEST_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

/// Why GitHub did not do what was asked.
///
/// The text of a variant is ours and says what to do where that is known; what GitHub said is its source. GitHub tells most
/// refusals apart by their sentence alone. A sentence that is not known here is passed on as it was said, and blames nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The JSON Web Token does not verify: the key is not one of this App's, or the issuer is another App.
    #[error("GitHub does not accept the App's private key with this App ID")]
    InvalidKey(#[source] Refusal),

    /// GitHub has no key to verify the JSON Web Token with. It also says so for some seconds after a key was generated.
    #[error("the App has no private key at GitHub, or GitHub does not know a new one yet")]
    NoPublicKey(#[source] Refusal),

    /// The issuer of the JSON Web Token is not an App.
    #[error("GitHub has no App of this App ID: store the one that the App's settings show")]
    AppNotFound(#[source] Refusal),

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

    /// The installation was not granted a permission that was asked for.
    #[error("the installation was not granted what was asked for")]
    PermissionNotGranted(#[source] Refusal),

    /// A repository that was asked for is not among the installation's, or not there.
    #[error("the installation does not reach a repository that was asked for")]
    RepositoryNotFound(#[source] Refusal),

    /// A primary or secondary rate limit.
    #[error("GitHub asks to wait {} s", .retry_after.as_secs())]
    RateLimited {
        /// How long to ask nothing.
        retry_after: Duration,
        /// What GitHub said.
        #[source]
        source: Refusal,
    },

    /// Too many refused credentials: everything is refused for a while, right credentials too.
    #[error("GitHub refuses everything after too many wrong credentials: ask nothing for {} s", .retry_after.as_secs())]
    LockedOut {
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

    /// The token's permissions do not reach this; so GitHub also answers for some seconds after the token was minted.
    #[error("the token's permissions do not reach this")]
    NotAccessible(#[source] Refusal),

    /// A rule stands before what was asked for. The token is a good one.
    #[error("{barrier}")]
    Barred {
        /// Which rule.
        barrier: Barrier,
        /// What GitHub said.
        #[source]
        source: Refusal,
    },

    /// Refused with a sentence that is not known here.
    #[error("GitHub forbids this")]
    Forbidden(#[source] Refusal),

    /// There is no such thing, or the token may not see it.
    #[error("GitHub does not know this, or does not show it to this token")]
    NotFound(#[source] Refusal),

    /// The request is well formed, but GitHub cannot act on it.
    #[error("GitHub cannot act on this request")]
    Unprocessable(#[source] Refusal),

    /// A page or a redirect came from where the API should be.
    #[error("this is not the address of GitHub's API; {}", ApiUrl::HINT)]
    NotTheApi(#[source] Refusal),

    /// An answer that the documentation does not lead to expect.
    #[error("GitHub's answer was not understood")]
    Unexpected(#[source] Source),
}

/// A rule that refuses whoever asks, and who can change it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Barrier {
    /// The account admits named addresses only.
    #[error("the account's IP allow list does not name the address that asked: an owner of the account adds it")]
    IpAllowList,
    /// The organization wants a single sign-on.
    #[error("the organization enforces SAML single sign-on: an owner of the organization lets the App in")]
    Saml,
    /// GitHub or the law closed it.
    #[error("GitHub has blocked this repository: its owner asks GitHub Support")]
    Blocked,
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

impl Refusal {
    pub(crate) fn new(status: u16, said: &str) -> Self {
        Self { status, message: printable(said) }
    }
}

#[derive(Default, Deserialize)]
struct Body {
    #[serde(default)]
    message: String,
    /// What is wrong in particular: `message` says no more than "Validation Failed" then.
    #[serde(default, deserialize_with = "details")]
    errors: Vec<String>,
}

/// The sentences among them: some errors are names of fields only, and other parts of GitHub write other shapes.
fn details<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    let errors = serde_json::Value::deserialize(deserializer)?;
    let sentence = |error: &serde_json::Value| match (&error["message"], &error["field"], &error["code"]) {
        (serde_json::Value::String(message), ..) => Some(message.clone()),
        (_, serde_json::Value::String(field), serde_json::Value::String(code)) => Some(format!("{field}: {code}")),
        _ => error.as_str().map(str::to_owned),
    };
    Ok(errors.as_array().into_iter().flatten().filter_map(sentence).collect())
}

/// What a sentence of GitHub's means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    InvalidKey,
    NoPublicKey,
    AppNotFound,
    ClockSkew,
    Suspended,
    NotGranted,
    NoSuchRepository,
    NotAccessible,
    Limit,
    LockedOut,
    Barred(Barrier),
}

/// The refusals that are known: the statuses they come with, and a part of the sentence in lower case. The first that fits
/// counts. GitHub documents few of them; the others are quoted in its own and other Apps' issues.
/// <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api>
const SENTENCES: [(&[u16], &str, Meaning); 20] = [
    (&[401], "could not be decoded", Meaning::InvalidKey),
    (&[401], "must generate a public key", Meaning::NoPublicKey),
    (&[401], "'issued at' claim", Meaning::ClockSkew),
    (&[401], "'expiration time' claim", Meaning::ClockSkew),
    (&[401, 404], "integration not found", Meaning::AppNotFound),
    (&[403], "installation has been suspended", Meaning::Suspended),
    (&[422], "permissions requested are not granted", Meaning::NotGranted),
    (&[422], "not accessible to the parent installation", Meaning::NoSuchRepository),
    (&[401, 403, 404], "resource not accessible by integration", Meaning::NotAccessible),
    (&[401, 403, 404], "ip allow list", Meaning::Barred(Barrier::IpAllowList)),
    (&[401, 403, 404], "saml enforcement", Meaning::Barred(Barrier::Saml)),
    (&[401, 403, 404], "saml sso", Meaning::Barred(Barrier::Saml)),
    (&[401, 403, 404], "saml single sign-on", Meaning::Barred(Barrier::Saml)),
    (&[403, 451], "repository access blocked", Meaning::Barred(Barrier::Blocked)),
    (&[403, 451], "takedown", Meaning::Barred(Barrier::Blocked)),
    (&[401, 403, 429], "number of login attempts exceeded", Meaning::LockedOut),
    (&[401, 403, 429], "rate limit", Meaning::Limit),
    (&[401, 403, 429], "abuse detection", Meaning::Limit),
    (&[401, 403, 429], "submitted too quickly", Meaning::Limit),
    (&[401, 403, 429], "wait a few minutes before you try again", Meaning::Limit),
];

impl Error {
    /// The error that an answer outside the 200s stands for.
    pub(super) fn from_answer(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Self {
        let Body { message, errors } = serde_json::from_slice(body).unwrap_or_default();
        let errors = if status == StatusCode::UNPROCESSABLE_ENTITY || message.is_empty() { errors } else { Vec::new() };
        let said: Vec<_> = iter::once(message).chain(errors).filter(|said| !said.is_empty()).collect();
        let said = if said.is_empty() { first_line(body) } else { said.join("; ") };
        Self::of(status.as_u16(), headers, &said)
    }

    fn of(status: u16, headers: &HeaderMap, said: &str) -> Self {
        let refusal = Refusal::new(status, said);
        match (status, meaning(status, said)) {
            (_, Some(meaning)) => Self::meant(meaning, headers, refusal),
            (403 | 429, None) if status == 429 || names_a_limit(headers) => {
                Self::RateLimited { retry_after: wait(headers), source: refusal }
            }
            // Whoever answers a request for JSON with a page, or refuses `Accept`, is not the API; a page of the 500s may be.
            (302 | 303 | 404 | 406, None) if status == 406 || is_page(headers) => Self::NotTheApi(refusal),
            (401, None) => Self::Unauthorized(refusal),
            (403, None) => Self::Forbidden(refusal),
            (404 | 410, None) => Self::NotFound(refusal),
            (422, None) => Self::Unprocessable(refusal),
            (451, None) => Self::meant(Meaning::Barred(Barrier::Blocked), headers, refusal),
            // GitHub's own time counts whatever the status.
            (500..=599, None) if headers.contains_key(RETRY_AFTER) => {
                Self::RateLimited { retry_after: wait(headers), source: refusal }
            }
            (408 | 500..=599, None) => Self::Unavailable(Box::new(refusal)),
            (_, None) => Self::Unexpected(Box::new(refusal)),
        }
    }

    pub(super) fn meant(meaning: Meaning, headers: &HeaderMap, refusal: Refusal) -> Self {
        match meaning {
            Meaning::InvalidKey => Self::InvalidKey(refusal),
            Meaning::NoPublicKey => Self::NoPublicKey(refusal),
            Meaning::AppNotFound => Self::AppNotFound(refusal),
            Meaning::ClockSkew => Self::ClockSkew { github_now: date(headers), source: refusal },
            Meaning::Suspended => Self::InstallationSuspended(refusal),
            Meaning::NotGranted => Self::PermissionNotGranted(refusal),
            Meaning::NoSuchRepository => Self::RepositoryNotFound(refusal),
            Meaning::NotAccessible => Self::NotAccessible(refusal),
            Meaning::Limit => Self::RateLimited { retry_after: wait(headers), source: refusal },
            Meaning::LockedOut => Self::LockedOut { retry_after: wait(headers), source: refusal },
            Meaning::Barred(barrier) => Self::Barred { barrier, source: refusal },
        }
    }

    /// How long to ask nothing, where GitHub asks to wait: for everybody who asks for the same App.
    pub fn wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::LockedOut { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Whether a token that was minted seconds ago may be refused so before every machine of GitHub's knows it.
    pub fn may_be_a_new_token(&self) -> bool {
        matches!(self, Self::Unauthorized(_) | Self::NotAccessible(_) | Self::Forbidden(_))
    }
}

pub(super) fn meaning(status: u16, said: &str) -> Option<Meaning> {
    let said = said.to_lowercase();
    let fits = |(statuses, part, _): &&(&[u16], &str, Meaning)| statuses.contains(&status) && said.contains(part);
    SENTENCES.iter().find(fits).map(|(_, _, meaning)| *meaning)
}

/// GitHub uses 403 for its limits too; one that is about something else carries neither.
fn names_a_limit(headers: &HeaderMap) -> bool {
    headers.contains_key(RETRY_AFTER) || headers.get("x-ratelimit-remaining").is_some_and(|remaining| remaining == "0")
}

/// Whether a page for people came.
pub(super) fn is_page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

/// `retry-after` first, in seconds or, where a proxy wrote it, as a date; then `x-ratelimit-reset` where the hour's quota is
/// spent. Times are compared with the answer's own `Date`, so that a wrong clock here does not turn them into hours.
pub(super) fn wait(headers: &HeaderMap) -> Duration {
    let text = |name| Some(headers.get::<&str>(name)?.to_str().ok()?.trim());
    let number = |name| text(name)?.parse::<u64>().ok();
    let until = |then: i64| {
        let seconds = then.saturating_sub(date(headers)?.as_second());
        Some(u64::try_from(seconds).unwrap_or_default())
    };
    let spent = number("x-ratelimit-remaining").is_none_or(|remaining| remaining == 0);
    let named = number("retry-after")
        .or_else(|| until(parse_date(text("retry-after")?)?.as_second()))
        .or_else(|| until(number("x-ratelimit-reset").filter(|_| spent)?.try_into().ok()?));
    named.map_or(UNSTATED_WAIT, |seconds| Duration::from_secs(seconds.max(1)).min(LONGEST_WAIT))
}

/// What a body says that is not GitHub's JSON: a proxy writes a line, and GitHub its limits so at times. A page for people says nothing here.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(LOOKED_THROUGH)]);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    if line.starts_with('<') { String::new() } else { line.to_owned() }
}

fn printable(text: &str) -> String {
    // Cut after the redaction: half a token is not found by it.
    redact(text).chars().take(LOGGED_CHARACTERS).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use reqwest::header::{HeaderName, HeaderValue};

    use super::*;

    const NOW: &str = "Wed, 21 Oct 2015 07:28:00 GMT";

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        pairs.iter().map(pair).collect()
    }

    fn refused(status: u16, said: &str) -> Error {
        Error::of(status, &headers(&[("x-ratelimit-remaining", "4928")]), said)
    }

    #[test]
    fn a_known_sentence_says_what_it_is() {
        let limit = "You have triggered an abuse detection mechanism. Please wait a few minutes before you try again.";
        let ip = "Although you appear to have the correct authorization credentials, the 'acme' organization has an IP \
                  allow list enabled, and your IP address is not permitted to access this resource.";
        let saml = "Resource protected by organization SAML enforcement. You must grant your OAuth token access to this \
                    organization.";
        let login = "Maximum number of login attempts exceeded. Please try again later.";
        assert!(matches!(refused(404, "Integration not found"), Error::AppNotFound(_)));
        assert!(matches!(refused(403, limit).wait(), Some(UNSTATED_WAIT)));
        assert!(matches!(refused(403, ip), Error::Barred { barrier: Barrier::IpAllowList, .. }));
        assert!(matches!(refused(403, saml), Error::Barred { barrier: Barrier::Saml, .. }));
        assert!(matches!(refused(403, "Repository access blocked"), Error::Barred { barrier: Barrier::Blocked, .. }));
        assert!(matches!(refused(451, ""), Error::Barred { barrier: Barrier::Blocked, .. }));
        assert!(matches!(refused(403, login), Error::LockedOut { retry_after: UNSTATED_WAIT, .. }));
        assert!(matches!(refused(403, "Resource not accessible by integration"), Error::NotAccessible(_)));
        assert!(matches!(refused(403, "This installation has been suspended"), Error::InstallationSuspended(_)));
        assert!(matches!(refused(401, "A JSON web token could not be decoded"), Error::InvalidKey(_)));
        assert!(matches!(refused(401, "'Issued at' claim ('iat') must be an Integer"), Error::ClockSkew { .. }));
        assert!(matches!(refused(401, "Integration must generate a public key"), Error::NoPublicKey(_)));
        let not_granted = "The permissions requested are not granted to this installation.";
        assert!(matches!(refused(422, not_granted), Error::PermissionNotGranted(_)));
    }

    #[test]
    fn a_sentence_that_is_not_known_is_passed_on_and_blames_nothing() {
        for (status, said) in [
            (403, "Sorry. Your account was suspended."),
            (403, "Repository was archived so is read-only."),
            (403, "Must have admin rights to Repository."),
            (422, "Validation Failed"),
        ] {
            let error = refused(status, said);
            assert!(matches!(error, Error::Forbidden(_) | Error::Unprocessable(_)), "{error:?}");
            assert!(crate::chain::chain(&error).ends_with(said), "{error:?}");
        }
    }

    #[test]
    fn what_is_wrong_in_particular_is_passed_on() {
        let said = |errors: &str| {
            let body = format!(r#"{{"message": "Validation Failed", "errors": {errors}}}"#);
            crate::chain::chain(&Error::from_answer(StatusCode::UNPROCESSABLE_ENTITY, &headers(&[]), body.as_bytes()))
        };
        assert!(said(r#"[{"code": "custom", "message": "No commits between a and b"}]"#).ends_with("between a and b"));
        assert!(
            said(r#"[{"resource": "PullRequest", "field": "base", "code": "invalid"}]"#).ends_with("; base: invalid")
        );
        assert!(said(r#"["too long"]"#).ends_with("; too long"));
        for other in [r#""a text""#, "null", "[7, null]"] {
            assert!(said(other).ends_with("Validation Failed"), "{other}");
        }
    }

    #[test]
    fn what_is_said_otherwise_than_documented_is_passed_on_and_a_limit_in_it_is_heard() {
        let answered = |status: StatusCode, body: &str| Error::from_answer(status, &headers(&[]), body.as_bytes());
        for (body, said) in [
            ("\n  Your address is blocked by a firewall.\r\nReference 7", "Your address is blocked by a firewall."),
            (r#"{"errors": [{"message": "Not for you"}]}"#, "Not for you"),
            (r#"{"error": "denied"}"#, r#"{"error": "denied"}"#),
            (r#"{"message": {"text": "denied"}}"#, r#"{"message": {"text": "denied"}}"#),
            ("<html>denied</html>", "GitHub answered 403: "),
            ("", "GitHub answered 403: "),
        ] {
            let error = answered(StatusCode::FORBIDDEN, body);
            assert!(crate::chain::chain(&error).ends_with(said), "{body}: {error:?}");
        }
        let limit = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
        assert_eq!(answered(StatusCode::FORBIDDEN, limit).wait(), Some(UNSTATED_WAIT));
    }

    #[test]
    fn a_known_sentence_counts_more_than_a_quota_that_was_spent_by_the_same_request() {
        let spent = headers(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1445412600"), ("date", NOW)]);
        let refused = Error::of(403, &spent, "Resource not accessible by integration");
        assert!(matches!(refused, Error::NotAccessible(_)));
        let limit = Error::of(403, &spent, "");
        assert_eq!(limit.wait(), Some(Duration::from_secs(120)), "{limit:?}");
    }

    #[test]
    fn a_wait_is_taken_in_seconds_as_a_date_and_from_the_reset() {
        let waits = |pairs: &[_]| wait(&headers(pairs)).as_secs();
        assert_eq!(waits(&[("retry-after", "600")]), 600);
        assert_eq!(waits(&[("retry-after", "Wed, 21 Oct 2015 07:38:00 GMT"), ("date", NOW)]), 600);
        assert_eq!(waits(&[("retry-after", "Wed, 21 Oct 2015 07:18:00 GMT"), ("date", NOW)]), 1, "it is over");
        assert_eq!(waits(&[("retry-after", "Wed, 21 Oct 2015 07:38:00 GMT")]), 60, "nobody says what time it is");
        assert_eq!(waits(&[("retry-after", "soon")]), 60);
        assert_eq!(waits(&[("retry-after", "99999999999999")]), LONGEST_WAIT.as_secs());
        let reset = [("x-ratelimit-reset", "1445414280"), ("date", NOW)];
        assert_eq!(waits(&[reset.as_slice(), &[("x-ratelimit-remaining", "0")]].concat()), 1800);
        assert_eq!(waits(&[reset.as_slice(), &[("x-ratelimit-remaining", "7")]].concat()), 60);
        assert_eq!(waits(&[reset.as_slice(), &[("x-ratelimit-remaining", "0"), ("retry-after", "5")]].concat()), 5);
    }

    #[test]
    fn a_page_where_the_api_should_be_is_a_wrong_address_but_not_an_outage() {
        let page = headers(&[("content-type", "text/html; charset=utf-8")]);
        for status in [302, 404, 406] {
            assert!(matches!(Error::of(status, &page, ""), Error::NotTheApi(_)), "{status}");
        }
        assert!(matches!(Error::of(406, &HeaderMap::new(), ""), Error::NotTheApi(_)));
        assert!(matches!(Error::of(502, &page, ""), Error::Unavailable(_)));
        assert!(matches!(Error::of(404, &headers(&[("content-type", "application/json")]), ""), Error::NotFound(_)));
    }

    #[test]
    fn a_hostile_refusal_is_an_error_of_a_bounded_line_without_a_token() {
        let token = format!("ghs_{}", "c4nary".repeat(8));
        let limit = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.";
        let answers = [
            serde_json::json!({"message": "Validation Failed", "errors": [{"message": token}, {"field": "a", "code": "b"}, "c"]}),
            serde_json::json!({"message": format!("{limit} {token}"), "documentation_url": "https://docs.github.com"}),
        ];
        hostile::attack(&answers.map(|answer| answer.to_string()), |input| {
            for status in [401, 403, 404, 422, 429, 500] {
                let error =
                    Error::from_answer(StatusCode::from_u16(status).unwrap(), &headers(&[("date", NOW)]), input);
                let said = crate::chain::chain(&error);
                assert!(
                    said.chars().count() < LOGGED_CHARACTERS + 300 && !said.chars().any(char::is_control),
                    "{said}"
                );
            }
        });
    }

    #[test]
    fn a_hostile_header_names_a_bounded_wait() {
        let times = ["120", NOW, "Wednesday, 21-Oct-15 07:28:00 GMT", "Wed Oct 21 07:28:00 2015"];
        hostile::attack(&times, |input| {
            let Ok(value) = HeaderValue::from_bytes(input) else { return };
            for name in ["retry-after", "x-ratelimit-reset", "date"] {
                let mut headers = headers(&[("x-ratelimit-remaining", "0"), ("date", NOW), ("retry-after", "x")]);
                headers.insert(name, value.clone());
                assert!(wait(&headers) <= LONGEST_WAIT);
            }
        });
    }
}
