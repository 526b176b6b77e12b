//! The local page that hands the manifest to GitHub and takes what GitHub hands back.
//!
//! It is a [`local_page`] for the browser that opens it first: what opens a browser passes it the URL as an argument, and
//! those every user of the machine can read. GitHub's redirect counts if
//! it brings the page's `state` and comes from that browser, once; anything else changes nothing.
//!
//! The page has a button and no script. GitHub's page asks for the name alone, so this is where somebody sees what the
//! App may do before it exists; and who is not signed in loses the form on the way through GitHub's sign-in page, which
//! a page that submits itself could not tell them in time. Who answered every question with yes gets a page that submits itself, and is sent on
//! to where the App is installed: two clicks are left, both GitHub's own.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters::github::App;
use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::header::{COOKIE, HeaderMap, SET_COOKIE};
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum::routing::get;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::failure::Failure;
use crate::local_page::{self, PageStyle, Place, escape, random, same};
use crate::output::Progress;

/// What the browser may take to read the last page.
const LAST_ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// GitHub's codes have 40 characters.
const LONGEST_CODE: usize = 128;

const STYLE: &str = "\
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .4rem 1.5rem; margin: 1.5rem 0 }
dt { opacity: .7 }
dd { margin: 0; overflow-wrap: anywhere }
button, .button { display: inline-block; font: inherit; font-weight: 600; padding: .6rem 1.2rem; border: 0;
  border-radius: .4rem; background: #1f883d; color: #fff; text-decoration: none; cursor: pointer }
.note { font-size: .9rem; opacity: .8 }";

const LOOK: PageStyle = PageStyle { style: STYLE, script: None };

/// Of a page whose button nobody has to press.
const SUBMITTED: PageStyle = PageStyle { style: STYLE, script: Some("document.forms[0].submit()") };

/// What the page shows, and what its button sends where.
pub(super) struct Form {
    /// GitHub's page for a new App.
    pub(super) action: String,
    pub(super) host: String,
    /// Whose the App will be, in words.
    pub(super) owner: String,
    pub(super) manifest: Value,
}

/// The page, while it is served.
pub(super) struct Page {
    /// Where a browser finds it.
    pub(super) url: String,
    redirected: oneshot::Receiver<Redirected>,
    end: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

/// GitHub's code, and the browser that brought it and waits to be told what became of it.
pub(super) struct Redirected {
    pub(super) code: String,
    browser: oneshot::Sender<Outcome>,
}

type Outcome = Result<App, String>;

impl Redirected {
    /// Shows the browser the App and its link, or what went wrong.
    pub(super) fn tell(self, outcome: Outcome) {
        // A browser that has gone by now has its answer in the terminal.
        let _ = self.browser.send(outcome);
    }
}

impl Page {
    /// Serves the form on a port that the system picks; `form` is told where GitHub is to send the browser back to. `confirmed`: nothing of ours
    /// is to be clicked.
    pub(super) async fn serve(
        form: impl FnOnce(&str) -> Form,
        confirmed: bool,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let look = if confirmed { SUBMITTED } else { LOOK };
        let (listener, place) = Place::take(0, look).await?;
        let url = place.url();
        let (sender, redirected) = oneshot::channel();
        let state = random();
        let site = Arc::new(Site {
            html: form_page(&form(&format!("{url}/created")), &state, look),
            confirmed,
            place: Arc::clone(&place),
            state,
            browser: random(),
            opened: AtomicBool::new(false),
            waiting: Mutex::new(Some(sender)),
            progress,
        });
        let router = Router::new()
            .route("/{path}", get(show))
            .route("/{path}/created", get(created))
            .fallback(async || local_page::nothing_here(LOOK))
            .layer(from_fn_with_state(place, local_page::guard))
            .with_state(site);
        let (end, ended) = oneshot::channel::<()>();
        let server = axum::serve(listener, router).with_graceful_shutdown(async {
            let _ = ended.await;
        });
        let server = tokio::spawn(async {
            let _ = server.await;
        });
        Ok(Self { url, redirected, end, server })
    }

    /// Until GitHub has sent the browser back.
    pub(super) async fn redirected(&mut self) -> Result<Redirected, Failure> {
        (&mut self.redirected).await.map_err(|_| Failure::new("the local page ended: run this again"))
    }

    /// Ends it, once the last answer is out.
    pub(super) async fn end(self) {
        let _ = self.end.send(());
        let _ = tokio::time::timeout(LAST_ANSWER_WITHIN, self.server).await;
    }
}

struct Site {
    html: String,
    confirmed: bool,
    place: Arc<Place>,
    state: String,
    /// The cookie of the browser that came first.
    browser: String,
    opened: AtomicBool,
    /// Taken by the one redirect that counts.
    waiting: Mutex<Option<oneshot::Sender<Redirected>>>,
    progress: Progress,
}

impl Site {
    fn is_first_browser(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.any(|(name, value)| name == "browser" && same(value, &self.browser))
    }

    /// Tells the browser and the person that something came that does not count.
    fn refuse(&self, status: StatusCode, reason: &str) -> Response {
        self.progress.say(&format!("The local page was asked for something else: {reason}. Nothing was changed."));
        local_page::page(status, "Nothing was changed", &format!("<p>{}.</p>", escape(reason)), LOOK)
    }
}

async fn show(State(site): State<Arc<Site>>, Path(path): Path<String>, method: Method, headers: HeaderMap) -> Response {
    if !site.place.is_at(&path) {
        return local_page::nothing_here(LOOK);
    }
    // Whatever looks at a link before it is opened (`HEAD`) is not the browser that goes on.
    if method != Method::GET {
        return StatusCode::OK.into_response();
    }
    let first = !site.opened.swap(true, Ordering::SeqCst);
    if !first && !site.is_first_browser(&headers) {
        return site.refuse(
            StatusCode::FORBIDDEN,
            "the page is open in another browser already. Go on there, or end the command and run it again with \
             --no-browser",
        );
    }
    let cookie = format!("browser={}; Path=/{}; HttpOnly; SameSite=Lax", site.browser, site.place.path);
    ([(SET_COOKIE, cookie)], Html(site.html.clone())).into_response()
}

/// What GitHub adds to the URL.
#[derive(Deserialize)]
struct Returned {
    #[serde(default)]
    code: String,
    #[serde(default)]
    state: String,
}

async fn created(
    State(site): State<Arc<Site>>,
    Path(path): Path<String>,
    query: Result<Query<Returned>, QueryRejection>,
    headers: HeaderMap,
) -> Response {
    if !site.place.is_at(&path) {
        return local_page::nothing_here(LOOK);
    }
    let Ok(Query(returned)) = query else {
        return site.refuse(StatusCode::BAD_REQUEST, "what came back from GitHub cannot be read");
    };
    if !same(&returned.state, &site.state) || !site.is_first_browser(&headers) {
        return site.refuse(
            StatusCode::FORBIDDEN,
            "what came back does not belong to this page, so somebody else may have made it. Press the button again",
        );
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if returned.code.is_empty() || returned.code.len() > LONGEST_CODE || !returned.code.chars().all(fits) {
        return site
            .refuse(StatusCode::BAD_REQUEST, "what came back from GitHub holds no code. Press the button again");
    }
    let waiting = site.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(waiting) = waiting else {
        return site.refuse(StatusCode::GONE, "this was done already. Go on in the terminal");
    };
    let (browser, told) = oneshot::channel();
    let _ = waiting.send(Redirected { code: returned.code, browser });
    match told.await {
        Ok(Ok(app)) if site.confirmed => Redirect::to(&app.install_url()).into_response(),
        Ok(Ok(app)) => created_page(&app),
        Ok(Err(reason)) => {
            local_page::page(StatusCode::BAD_GATEWAY, "This did not work", &format!("<p>{}</p>", escape(&reason)), LOOK)
        }
        Err(_) => {
            local_page::page(StatusCode::BAD_GATEWAY, "The command has ended", "<p>The terminal says why.</p>", LOOK)
        }
    }
}

fn form_page(form: &Form, state: &str, look: PageStyle) -> String {
    let Form { action, host, owner, manifest } = form;
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let permissions = manifest["default_permissions"].as_object().into_iter().flatten();
    let permissions: Vec<String> = permissions.map(|(name, level)| format!("{name}: {}", text(level))).collect();
    let events: Vec<String> = manifest["default_events"].as_array().into_iter().flatten().map(text).collect();
    let installed_on = if manifest["public"] == true { "any account" } else { "its owner's account only" };
    let rows: String = [
        ("Name", text(&manifest["name"])),
        ("Owner", format!("{owner} on {host}")),
        ("Can be installed on", installed_on.to_owned()),
        ("Permissions", permissions.join(", ")),
        ("Events", events.join(", ")),
        ("Webhook", text(&manifest["hook_attributes"]["url"])),
    ]
    .iter()
    .map(|(name, value)| format!("<dt>{name}</dt><dd>{}</dd>\n", escape(value)))
    .collect();
    let (host, action) = (escape(host), escape(&format!("{action}?state={state}")));
    let manifest = escape(&manifest.to_string());
    let body = format!(
        "<dl>\n{rows}</dl>\n\
         <form method=\"post\" action=\"{action}\">\n\
         <input type=\"hidden\" name=\"manifest\" value=\"{manifest}\">\n\
         <button>Create the App on {host}</button>\n</form>\n\
         <p class=\"note\">GitHub shows the name once more, to be changed if it is taken, and a button of its own. \
         Be signed in to {host} in this browser: its sign-in page loses what is sent from here. If it shows an empty \
         form, come back and press the button again.</p>"
    );
    local_page::html("Create Konduktor's GitHub App", &body, look)
}

fn created_page(app: &App) -> Response {
    let (name, link) = (escape(&app.name), escape(&app.install_url()));
    let body = format!(
        "<p>The App <strong>{name}</strong> is made, and its key is stored in AWS. Now it needs repositories:</p>\n\
         <p><a class=\"button\" href=\"{link}\">Install {name}</a></p>\n\
         <p class=\"note\">The terminal goes on by itself once that is done.</p>"
    );
    local_page::page(StatusCode::OK, "One step is left", &body, LOOK)
}
