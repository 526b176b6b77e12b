//! The HTTP client as GitHub is asked with it, and how a request is sent.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, DATE, HeaderMap, HeaderName, HeaderValue, LOCATION};
use reqwest::{Method, StatusCode, Url};
use secrecy::{ExposeSecret, SecretString};

use super::{Error, Refusal};

/// Reaching GitHub takes tens of milliseconds; a connection that is not there by then will not come.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// GitHub ends its own requests after 10 s. <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#timeouts>
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// Lambda freezes the process between invocations, and a connection that idled through that is dead without knowing.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);

/// A rename answers with one redirect, a transfer after a rename with two.
const MOST_REDIRECTS: usize = 3;

/// A page of a hundred pull requests that were renamed a hundred times is 3 MB. Read to its end, what a proxy or a wrong address sends may be
/// more than a function's memory.
const LARGEST_ANSWER: usize = 8 * 1024 * 1024;

const USER_AGENT: &str = concat!("konduktor-github-app/", env!("CARGO_PKG_VERSION"));
const API_VERSION: HeaderName = HeaderName::from_static("x-github-api-version");

/// Builds the client for a base URL: time-outs, GitHub's headers, and no redirect followed by itself.
///
/// HTTPS goes through the proxy that `HTTPS_PROXY` names, but for what `NO_PROXY` names, as the AWS SDK's own client does. Plain HTTP, which is
/// loopback's, goes through none: the App's JSON Web Token could be read there.
///
/// It reads the trust roots, which takes milliseconds, so [`super::Client`] builds it at the first request: a cold
/// start that finds its token in the table never does.
///
/// # Errors
/// [`Error::Unexpected`] when no trust roots can be loaded.
pub fn client(base: &str) -> Result<reqwest::Client, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
    // <https://docs.github.com/en/rest/about-the-rest-api/api-versions>
    headers.insert(API_VERSION, HeaderValue::from_static("2022-11-28"));
    let builder = crate::http::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers)
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(REQUEST_TIMEOUT)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none());
    let builder = if base.starts_with("https://") { builder } else { builder.no_proxy() };
    builder.build().map_err(|error| Error::Unexpected(Box::new(error)))
}

/// What a request proves itself with.
pub trait Bearer: Sync {
    /// The token for one request.
    ///
    /// # Errors
    /// [`Error::Unexpected`] when none can be made.
    fn token(&self) -> Result<SecretString, Error>;
}

/// An installation token, the same for every request.
impl Bearer for SecretString {
    fn token(&self) -> Result<SecretString, Error> {
        Ok(self.clone())
    }
}

/// One answer, read to its end.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

/// Sends a request, with a bearer token if there is one. A `GET` follows redirects within the same host, as after a rename; a token
/// never goes to another one.
///
/// # Errors
/// [`Error::Unavailable`] when no answer came, [`Error::Unexpected`] for a redirect that is not followed,
/// [`Error::NotTheApi`] for one to where people sign in.
pub(super) async fn send(
    http: &reqwest::Client,
    method: Method,
    url: Url,
    bearer: Option<&dyn Bearer>,
    body: Option<Vec<u8>>,
) -> Result<Reply, Error> {
    let mut url = url;
    for _ in 0..=MOST_REDIRECTS {
        let reply = exchange(http, method.clone(), url.clone(), bearer, body.clone()).await?;
        if !reply.status.is_redirection() {
            return Ok(reply);
        }
        url = match location(&reply, &url) {
            // Who is sent to sign in has asked for a page, as on an Enterprise Server whose API is elsewhere.
            Some(next) if next.path() == "/login" => {
                return Err(Error::NotTheApi(Refusal::new(reply.status.as_u16(), "sign in")));
            }
            Some(next) if method == Method::GET && next.origin() == url.origin() => next,
            _ => return Err(Error::Unexpected("a redirect to another host, or of a write".into())),
        };
    }
    Err(Error::Unexpected("too many redirects".into()))
}

fn location(reply: &Reply, url: &Url) -> Option<Url> {
    url.join(reply.headers.get(LOCATION)?.to_str().ok()?).ok()
}

async fn exchange(
    http: &reqwest::Client,
    method: Method,
    url: Url,
    bearer: Option<&dyn Bearer>,
    body: Option<Vec<u8>>,
) -> Result<Reply, Error> {
    let answer = match request(http, method.clone(), url.clone(), bearer, body.clone())?.send().await {
        // Once more after a connection that broke: one from before a freeze looks usable until it is used. A write is
        // repeated only if it was never sent.
        Err(error) if error.is_connect() || (method == Method::GET && error.is_request() && !error.is_timeout()) => {
            request(http, method, url, bearer, body)?.send().await
        }
        answer => answer,
    };
    let mut answer = answer.map_err(unavailable)?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let mut body = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(unavailable)? {
        if body.len() + part.len() > LARGEST_ANSWER {
            // As what GitHub cannot answer: whoever asked for a page asks for less in it.
            return Err(Error::Unavailable("an answer of more than 8 MB".into()));
        }
        body.extend_from_slice(&part);
    }
    Ok(Reply { status, headers, body })
}

fn request(
    http: &reqwest::Client,
    method: Method,
    url: Url,
    bearer: Option<&dyn Bearer>,
    body: Option<Vec<u8>>,
) -> Result<reqwest::RequestBuilder, Error> {
    let mut request = http.request(method, url);
    if let Some(bearer) = bearer {
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", bearer.token()?.expose_secret()))
            .map_err(|_| Error::Unexpected("the token holds characters that no header may".into()))?;
        authorization.set_sensitive(true);
        request = request.header(AUTHORIZATION, authorization);
    }
    Ok(match body {
        Some(body) => request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body),
        None => request,
    })
}

fn unavailable(error: reqwest::Error) -> Error {
    Error::Unavailable(Box::new(error.without_url()))
}

/// The server's clock, from `Date`.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    parse_date(headers.get(DATE)?.to_str().ok()?)
}

/// A time as HTTP writes it, `Wed, 21 Oct 2015 07:28:00 GMT`, or as it once did: whoever receives one has to take all three forms.
/// <https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7>
pub(super) fn parse_date(text: &str) -> Option<Timestamp> {
    let fixed = jiff::fmt::rfc2822::DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok();
    let former = |format: &str| {
        let time = jiff::civil::DateTime::strptime(format, text).ok()?;
        time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|zoned| zoned.timestamp())
    };
    fixed.or_else(|| former("%A, %d-%b-%y %H:%M:%S GMT")).or_else(|| former("%a %b %e %H:%M:%S %Y"))
}
