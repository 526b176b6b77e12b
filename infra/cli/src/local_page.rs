//! A page on loopback: served while a command runs, below a path that nobody can guess, under the name that was printed (a name that somebody
//! else points to 127.0.0.1 gets nothing), with nothing from elsewhere in it.

use std::sync::Arc;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderValue, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::failure::Failure;
use crate::text::printable;

/// What a page looks like and runs: its policy names these texts by their hashes, so that a browser takes no others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageStyle {
    pub(crate) style: &'static str,
    pub(crate) script: Option<&'static str>,
}

/// Where a page is served.
#[derive(Debug)]
pub(crate) struct Place {
    /// Name and port.
    host: String,
    /// The part of the path that nobody can guess.
    pub(crate) path: String,
    look: PageStyle,
}

impl Place {
    /// A port of this machine alone; the system picks it if it is 0.
    pub(crate) async fn take(port: u16, look: PageStyle) -> Result<(TcpListener, Arc<Self>), Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("no page can be served on 127.0.0.1: {error}"));
        let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
        let host = listener.local_addr().map_err(failed)?.to_string();
        Ok((listener, Arc::new(Self { host, path: random(), look })))
    }

    /// Where a browser finds it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/{}", self.host, self.path)
    }

    /// Whether a browser knows the path.
    pub(crate) fn is_at(&self, path: &str) -> bool {
        same(path, &self.path)
    }
}

/// The same headers on every answer, and no answer under another name.
pub(crate) async fn guard(State(place): State<Arc<Place>>, request: Request, next: Next) -> Response {
    let asked = request.headers().get(HOST);
    let ours = asked.is_some_and(|host| host.as_bytes() == place.host.as_bytes());
    let mut response = if ours {
        next.run(request).await
    } else {
        let body = "<p>Open the URL that the terminal shows, as it is.</p>";
        page(StatusCode::MISDIRECTED_REQUEST, "Not here", body, place.look)
    };
    let headers = response.headers_mut();
    if let Ok(policy) = HeaderValue::try_from(policy(place.look)) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    // The path stays here. The origin goes along, as from every page that starts GitHub's manifest flow: without it a browser sends
    // GitHub the form as coming from `null`.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("strict-origin"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn policy(look: PageStyle) -> String {
    let hash = |text: &str| BASE64_STANDARD.encode(Sha256::digest(text));
    let script = look.script.map(|script| format!("script-src 'sha256-{}'; connect-src 'self'; ", hash(script)));
    // No form-action: Chromium holds redirects against it too, and who is not signed in is sent on, to the host of an
    // identity provider where there is one.
    format!(
        "default-src 'none'; style-src 'sha256-{}'; {}base-uri 'none'; frame-ancestors 'none'",
        hash(look.style),
        script.unwrap_or_default()
    )
}

pub(crate) fn nothing_here(look: PageStyle) -> Response {
    page(StatusCode::NOT_FOUND, "Nothing here", "<p>Open the URL that the terminal shows, as it is.</p>", look)
}

pub(crate) fn page(status: StatusCode, title: &str, body: &str, look: PageStyle) -> Response {
    (status, Html(html(title, body, look))).into_response()
}

/// A whole page. The title is text, the body HTML.
pub(crate) fn html(title: &str, body: &str, look: PageStyle) -> String {
    let title = escape(title);
    let style = look.style;
    let script = look.script.map(|script| format!("<script>{script}</script>\n")).unwrap_or_default();
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{style}</style>\n\
         <h1>{title}</h1>\n{body}\n{script}</html>\n"
    )
}

/// Other people's text, as text.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in printable(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

pub(crate) fn same(one: &str, other: &str) -> bool {
    verify_slices_are_equal(one.as_bytes(), other.as_bytes()).is_ok()
}

/// 122 random bits of the system's generator.
pub(crate) fn random() -> String {
    Uuid::new_v4().simple().to_string()
}
