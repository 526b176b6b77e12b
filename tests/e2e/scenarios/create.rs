//! `create`: from nothing to an App in service, and everything that can come between.

use std::path::Path;
use std::time::Duration;

use fake_github::{self as github, FaultKind, Selection};
use local_aws::lambda::binary;
use local_aws::{Fault, Rule};
use reqwest::header::{COOKIE, HOST, HeaderMap, LOCATION, SET_COOKIE};
use serde_json::{Value, json};
use stack::{ACCOUNT, APP_SECRET_ID, GENERATED_SECRET, STACK, Stack, WEBHOOK_SECRET_ID};

use crate::harness::agent::{CLI, Ended};
use crate::harness::operator::Operator;
use crate::scenarios::configure::value;

const CONVERSIONS: &str = "POST /app-manifests/{code}/conversions";
pub const DESCRIPTION: &str =
    "Moves Konduktor's tasks with their pull requests, and lets its agents clone private repositories.";
pub const PAGE: &str = "Create the App on this page:";
pub const WAITING: &str = "Waiting for the installation";
pub const CREATE: [&str; 2] = ["create", "--no-browser"];

/// A deployed stack, and an account on which no App is installed.
pub async fn deployed() -> Stack {
    let stack = Stack::deployed().await;
    stack.github.uninstall(stack.installation);
    stack
}

/// No function has an App, GitHub was told nothing, and no token is left.
async fn assert_nothing_is_in_service(stack: &Stack) {
    for version in stack.secrets.versions(APP_SECRET_ID).await {
        let labels = ["AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"];
        let served = version.stages.iter().any(|stage| labels.contains(&stage.as_str()));
        assert!(!served || version.value.trim().is_empty(), "{:?}", version.stages);
    }
    assert_eq!(value(stack, WEBHOOK_SECRET_ID, "AWSCURRENT").await, Some(json!({"webhook_secret": GENERATED_SECRET})));
    assert_eq!(stack.secrets.versions(WEBHOOK_SECRET_ID).await.len(), 1);
    assert!(stack.github.minted().iter().all(|minted| minted.revoked));
}

async fn is_kept(stack: &Stack) -> bool {
    stack.secrets.versions(APP_SECRET_ID).await.iter().any(|version| version.stages.iter().any(|s| s == "CREATED"))
}

/// All that runs on a page of ours, and only where every question was answered with yes.
const SUBMITS: &str = "<script>document.forms[0].submit()</script>";

/// Somebody at a browser, which keeps the cookie it is given.
pub struct Browser {
    http: reqwest::Client,
    cookie: Option<String>,
}

/// A page as it arrived.
#[derive(Debug)]
pub struct Shown {
    status: u16,
    headers: HeaderMap,
    html: String,
}

/// A form as its button sends it.
pub struct Form {
    action: String,
    manifest: String,
}

impl Browser {
    pub fn new() -> Self {
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).tls_certs_only([]).no_proxy();
        Self { http: http.build().unwrap(), cookie: None }
    }

    pub async fn open(&mut self, url: &str) -> Shown {
        self.open_as(url, None).await
    }

    async fn open_as(&mut self, url: &str, host: Option<&str>) -> Shown {
        let mut request = self.http.get(url);
        if let Some(cookie) = &self.cookie {
            request = request.header(COOKIE, cookie);
        }
        if let Some(host) = host {
            request = request.header(HOST, host);
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        if let Some(cookie) = headers.get(SET_COOKIE) {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Lax"), "{cookie}");
            self.cookie = Some(cookie.split(';').next().unwrap().to_owned());
        }
        let shown = Shown { status, headers, html: answer.text().await.unwrap() };
        for (name, part) in [
            ("content-security-policy", "default-src 'none'"),
            ("content-security-policy", "frame-ancestors 'none'"),
            ("referrer-policy", "strict-origin"),
            ("cache-control", "no-store"),
            ("x-content-type-options", "nosniff"),
        ] {
            assert!(shown.headers[name].to_str().unwrap().contains(part), "{name}: {shown:?}");
        }
        assert!(!shown.html.replacen(SUBMITS, "", 1).contains("<script"), "{shown:?}");
        shown
    }

    /// Presses the button, and GitHub's on the page that comes; gives where GitHub sends the browser then.
    pub async fn press(&self, form: &Form) -> String {
        let fields = [("manifest", form.manifest.as_str()), ("name", "konduktor-ours")];
        let fields = reqwest::Url::parse_with_params("http://form", fields).unwrap();
        let post = self.http.post(&form.action).header("content-type", "application/x-www-form-urlencoded");
        let answer = post.body(fields.query().unwrap().to_owned()).send().await.unwrap();
        let status = answer.status();
        let back = answer.headers().get(LOCATION).map(|location| location.to_str().unwrap().to_owned());
        back.unwrap_or_else(|| panic!("GitHub answered {status}"))
    }

    /// The whole way: the page, the button, GitHub, and back.
    async fn create(&mut self, url: &str) -> Shown {
        let form = self.open(url).await.form();
        let back = self.press(&form).await;
        self.open(&back).await
    }
}

impl Shown {
    pub fn form(&self) -> Form {
        assert_eq!(self.status, 200, "{self:?}");
        let attribute = |before: &str| {
            let rest = self.html.split_once(before).unwrap_or_else(|| panic!("no {before}: {}", self.html)).1;
            unescape(rest.split_once('"').unwrap().0)
        };
        Form {
            action: attribute("<form method=\"post\" action=\""),
            manifest: attribute("<input type=\"hidden\" name=\"manifest\" value=\""),
        }
    }
}

fn unescape(text: &str) -> String {
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&#39;", "'");
    text.replace("&amp;", "&")
}

fn manifest(form: &Form) -> Value {
    serde_json::from_str(&form.manifest).unwrap()
}

/// The page's form, of a command that is not needed any more.
async fn form_of(operator: &Operator<'_>, arguments: &[&str]) -> Form {
    let mut running = operator.start(&[&CREATE[..], arguments].concat());
    let url = running.shows(PAGE).await;
    Browser::new().open(&url).await.form()
}

/// How `create` ends where somebody changes the form before GitHub gets it.
async fn ends_with(stack: &Stack, arguments: &[&str], change: impl FnOnce(&mut Form)) -> Ended {
    let operator = Operator::new(stack);
    let mut running = operator.start(&[&CREATE[..], arguments].concat());
    let url = running.shows(PAGE).await;
    let mut browser = Browser::new();
    let mut form = browser.open(&url).await.form();
    change(&mut form);
    let back = browser.press(&form).await;
    browser.open(&back).await;
    running.ends().await
}

/// Fails if a key is in what was written or left behind.
fn assert_no_secret_was_left(operator: &Operator<'_>, ended: &Ended) {
    let mut texts = vec![format!("{}{}", ended.stdout, ended.stderr)];
    read_all(&operator.path(""), &mut texts);
    for text in texts {
        assert!(!text.contains("PRIVATE KEY") && !text.contains(GENERATED_SECRET), "{text}");
    }
}

fn read_all(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, texts);
        } else {
            texts.push(String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned());
        }
    }
}

/// Installs the App, which GitHub tells the webhook of.
pub async fn install(stack: &Stack) -> u64 {
    let installation = stack.github.install(ACCOUNT, Selection::All);
    let told = stack.github.deliver(&stack.github.installation_event(installation, "created")).await;
    assert_eq!(told.status, 200, "the first delivery after the ping is taken: {told:?}");
    installation
}

#[tokio::test]
async fn from_one_page_to_an_answered_ping() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let mut running = operator.start(&[&CREATE[..], &["--name", "konduktor-ours"]].concat());
    let url = running.shows(PAGE).await;
    let mut browser = Browser::new();
    let page = browser.open(&url).await;
    for words in [
        "konduktor-ours",
        "your own account on 127.0.0.1",
        "its owner&#39;s account only",
        "contents: read, metadata: read, pull_requests: write",
        "<dt>Events</dt><dd>pull_request</dd>",
        &stack.front.url(),
    ] {
        assert!(page.html.contains(words), "{words}: {}", page.html);
    }
    let form = page.form();
    let expected = json!({
        "name": "konduktor-ours",
        "description": DESCRIPTION,
        "url": "https://github.com/yakkomajuri/konduktor-oss",
        "hook_attributes": {"url": stack.front.url(), "active": true},
        "redirect_url": format!("{url}/created"),
        "public": false,
        "default_permissions": {"contents": "read", "metadata": "read", "pull_requests": "write"},
        "default_events": ["pull_request"],
    });
    assert_eq!(manifest(&form), expected);
    assert!(form.action.starts_with(&format!("{}/settings/apps/new?state=", stack.github.url())), "{}", form.action);
    let back = browser.press(&form).await;
    assert_eq!(stack.github.manifests(), [expected]);

    let shown = browser.open(&back).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let link = "https://github.com/apps/konduktor-fake/installations/new";
    assert!(shown.html.contains(&format!("href=\"{link}\"")), "{shown:?}");
    running.shows(&format!("Install the App on the account with your repositories: {link}")).await;
    assert_nothing_is_in_service(&stack).await;
    let repeated = browser.open(&back).await;
    assert!(repeated.status == 410 && repeated.html.contains("this was done already"), "{repeated:?}");

    let installation = install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok, "{ended:?}");
    let mut rest = ended.stdout.as_str();
    for line in [
        "Created the App",
        "App: Konduktor fake (App ID 1234567, https://github.com/apps/konduktor-fake)",
        WAITING,
        &format!("Found installation ID: {installation}"),
        "Minted one, and revoked it.",
        "ping → 200 {\"outcome\":\"pong\"}",
        "GitHub App configured.",
    ] {
        let at = rest.find(line).unwrap_or_else(|| panic!("{line:?} is not there, or too early:\n{}", ended.stdout));
        rest = &rest[at + line.len()..];
    }
    let app = stack.github.app();
    assert_eq!(
        value(&stack, APP_SECRET_ID, "AWSCURRENT").await.unwrap(),
        json!({"app_id": app.id, "client_id": app.client_id, "installation_id": installation,
            "private_key": app.pkcs8_pem})
    );
    assert!(!is_kept(&stack).await, "what is in service need not be kept besides");
    assert_eq!(stack.github.hook_config().secret.as_deref(), Some(GENERATED_SECRET));
    assert_eq!(stack.github.count(CONVERSIONS), 1);
    assert_no_secret_was_left(&operator, &ended);
    assert!(stack.github.minted().iter().all(|minted| minted.revoked));
    let token = stack.lambda.invoke("token", json!({})).await.unwrap();
    assert_eq!(token["installation_id"], installation);
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn what_is_not_the_pages_own_redirect_changes_nothing() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    let origin = url.rsplit_once('/').unwrap().0.to_owned();
    let mut browser = Browser::new();

    // Under a name that somebody else points here, nobody is the first browser.
    for host in ["rebound.example", "localhost", "127.0.0.1"] {
        assert_eq!(browser.open_as(&url, Some(host)).await.status, 421, "{host}");
    }
    for path in ["", "/", "/created", "/00000000000000000000000000000000", "/00000000000000000000000000000000/created"]
    {
        assert_eq!(browser.open(&format!("{origin}{path}")).await.status, 404, "{path}");
    }
    assert_eq!(browser.cookie, None);
    let form = browser.open(&url).await.form();
    let mut another = Browser::new();
    let shown = another.open(&url).await;
    assert!(shown.status == 403 && shown.html.contains("in another browser"), "{shown:?}");
    browser.open(&url).await.form();

    let state = form.action.rsplit_once("state=").unwrap().1.to_owned();
    let created = |query: String| format!("{url}/created{query}");
    for (query, status) in [
        (String::new(), 403),
        ("?code=abc".to_owned(), 403),
        ("?code=abc&state=".to_owned(), 403),
        ("?code=abc&state=00000000000000000000000000000000".to_owned(), 403),
        (format!("?code=abc&state={}", state.to_uppercase()), 403),
        (format!("?code=abc&state={state}&state={state}"), 400),
        (format!("?state={state}"), 400),
        (format!("?code=&state={state}"), 400),
        (format!("?code=..%2F..%2Fapp&state={state}"), 400),
        (format!("?code={}&state={state}", "a".repeat(1_000)), 400),
    ] {
        let shown = browser.open(&created(query.clone())).await;
        assert!(shown.status == status && shown.html.contains("Nothing was changed"), "{query}: {shown:?}");
    }
    let stolen = another.open(&created(format!("?code=abc&state={state}"))).await;
    assert_eq!(stolen.status, 403, "the state counts in the browser that it was given to");
    running.shows("The local page was asked for something else").await;
    assert_eq!(stack.github.count(CONVERSIONS), 0);
    assert_nothing_is_in_service(&stack).await;

    // The right one still counts, and once, also while it is being worked on.
    stack.github.fault(github::Fault::once("/conversions", FaultKind::Delay(Duration::from_secs(1))));
    let back = browser.press(&form).await;
    let mut again = Browser { http: browser.http.clone(), cookie: browser.cookie.clone() };
    let (first, second) = tokio::join!(browser.open(&back), async {
        while stack.github.requests().iter().all(|request| !request.path.contains("/conversions")) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        again.open(&back).await
    });
    assert_eq!((first.status, second.status), (200, 410), "{second:?}");
    assert_eq!(stack.github.count(CONVERSIONS), 1);
    install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok, "{ended:?}");
}

#[tokio::test]
async fn a_code_that_is_not_taken_and_a_network_that_breaks_are_told_in_words() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let after_the_button = async |back: fn(String) -> String| {
        let mut running = operator.start(&CREATE);
        let url = running.shows(PAGE).await;
        let mut browser = Browser::new();
        let form = browser.open(&url).await.form();
        let shown = browser.open(&back(browser.press(&form).await)).await;
        let ended = running.ends().await;
        (shown, ended)
    };
    let (shown, ended) = after_the_button(|back| back.replace("code=", "code=0")).await;
    let line = ended.stderr.strip_prefix("konduktor-github-app: ").unwrap();
    assert!(line.starts_with("GitHub rejects the code that it sent: it was used before or is over an hour"), "{line}");
    assert!(line.contains(&format!("{}/settings/apps", stack.github.url())), "{line}");
    assert!(shown.status == 502 && shown.html.contains("GitHub rejects the code"), "{shown:?}");

    stack.github.fault(github::Fault::once("/conversions", FaultKind::AnswerThenDrop));
    let (shown, ended) = after_the_button(|back| back).await;
    assert!(ended.stderr.contains("answer with its key was lost on the way: generate a private key"), "{ended:?}");
    assert!(shown.html.contains("was lost on the way"), "{shown:?}");

    stack.github.fault(github::Fault::always("/conversions", FaultKind::ServerError));
    let (shown, ended) = after_the_button(|back| back).await;
    assert!(ended.stderr.contains("does not answer") && ended.stderr.contains("configure"), "{ended:?}");
    assert!(shown.html.contains("does not answer"), "{shown:?}");
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;

    stack.github.clear_faults();
    stack.github.fault(github::Fault::once("/conversions", FaultKind::ServerError));
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    assert_eq!(Browser::new().create(&url).await.status, 200, "once more helps");
    install(&stack).await;
    assert!(running.ends().await.ok);
}

#[tokio::test]
async fn who_may_not_store_is_told_so_before_there_is_an_app() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    for operation in ["GetSecretValue", "PutSecretValue", "UpdateSecretVersionStage"] {
        stack.secrets.fail(Rule::new(Fault::AccessDenied).operation(operation));
        let line = operator.refused(&CREATE).await;
        assert!(line.contains(&format!("secretsmanager:{operation}")), "{line}");
        stack.secrets.clear_faults();
    }
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!("no JSON")).await;
    let line = operator.refused(&CREATE).await;
    assert!(line.starts_with("the webhook secret konduktor/webhook cannot be used"), "{line}");
    assert_eq!(stack.github.requests().len(), 0);
    assert!(!is_kept(&stack).await);
}

#[tokio::test]
async fn a_key_that_cannot_be_stored_is_told_what_to_do_about() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    // The trial before the page is the first one.
    stack.secrets.fail(Rule::new(Fault::AccessDenied).operation("PutSecretValue").after(1));
    let mut running = operator.start(&[&CREATE[..], &["--organization", "acme"]].concat());
    let url = running.shows(PAGE).await;
    let shown = Browser::new().create(&url).await;
    let ended = running.ends().await;
    for words in [
        "GitHub has made the App Konduktor fake (App ID 1234567), but its key could not be stored",
        "secretsmanager:PutSecretValue",
        "https://github.com/organizations/acme/settings/apps/konduktor-fake",
        "konduktor-github-app configure --app-id 1234567 --pem FILE",
    ] {
        assert!(ended.stderr.contains(words) && shown.html.contains(words), "{words}: {ended:?} {shown:?}");
    }
    assert_no_secret_was_left(&operator, &ended);
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;

    // What the message says works.
    stack.secrets.clear_faults();
    let installation = stack.github.install(ACCOUNT, Selection::All);
    operator.file("app.pem", &stack.github.app().pem);
    let done = operator.json(&["configure", "--app-id", "1234567", "--pem", "app.pem"]).await;
    assert_eq!(done["installation_id"], installation);
}

/// A command that opens a browser, so that it can be found which URL.
pub fn with_xdg_open(operator: &mut Operator<'_>) {
    let script = operator.file("bin/xdg-open", "#!/bin/sh\nprintf %s \"$1\" > \"$HOME/opened\"\n");
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let commands = binary(CLI).parent().unwrap().display().to_string();
    let path = format!("{}:{commands}:{}", script.parent().unwrap().display(), std::env::var("PATH").unwrap());
    operator.set("PATH", &path);
}

pub async fn opened(operator: &Operator<'_>) -> String {
    let file = operator.path("opened");
    for _ in 0..600 {
        if let Ok(url) = std::fs::read_to_string(&file)
            && !url.is_empty()
        {
            std::fs::remove_file(&file).unwrap();
            return url;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no browser was opened");
}

#[tokio::test]
async fn the_browser_is_opened_and_at_a_terminal_storing_is_tried_again() {
    let stack = deployed().await;
    let mut operator = Operator::new(&stack);
    with_xdg_open(&mut operator);
    stack.secrets.fail(Rule::new(Fault::AccessDenied).operation("PutSecretValue").after(1).times(1));
    let person = async {
        let url = opened(&operator).await;
        assert_eq!(Browser::new().create(&url).await.status, 200);
        install(&stack).await;
    };
    let (converse, ()) = tokio::join!(operator.converse(&["create"], &[("Try again? [Y/n]", "")]), person);
    let (succeeded, screen) = converse;
    assert!(succeeded && screen.contains("but its key could not be stored"), "{screen}");
    assert!(screen.ends_with("GitHub App configured.\n"), "{screen}");
}

#[tokio::test]
async fn ended_after_the_app_was_made_it_goes_on_without_a_second_one() {
    let stack = deployed().await;
    let mut operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    assert_eq!(Browser::new().create(&url).await.status, 200);
    running.shows(WAITING).await;
    running.press_ctrl_c();
    let ended = running.ends().await;
    assert!(!ended.ok, "{ended:?}");
    assert_eq!(
        ended.stderr,
        "konduktor-github-app: left for later: the App is made and its key is kept. Install it, then run \
         `konduktor-github-app create` again to finish\n"
    );
    assert!(is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;
    let refused = stack.lambda.invoke("token", json!({})).await.unwrap_err();
    assert_eq!(refused.error_type, "NotConfigured");

    // Not installed yet: the browser opens where it is installed.
    with_xdg_open(&mut operator);
    let running = operator.start(&["create", "--json"]);
    assert_eq!(opened(&operator).await, "https://github.com/apps/konduktor-fake/installations/new");
    let installation = install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok && ended.stderr.contains("Going on with the App 1234567"), "{ended:?}");
    let done: Value = serde_json::from_str(&ended.stdout).unwrap();
    let app = stack.github.app();
    assert_eq!(
        done,
        json!({"app_id": app.id, "client_id": app.client_id, "slug": app.slug, "installation_id": installation,
            "fingerprint": format!("SHA256:{}", app.fingerprint), "account": ACCOUNT, "app_secret": "written",
            "webhook": "set", "webhook_url": stack.front.url(),
            "ping": {"status": 200, "answer": "{\"outcome\":\"pong\"}"}})
    );
    assert!(!is_kept(&stack).await);
    assert_eq!((stack.github.manifests().len(), stack.github.count(CONVERSIONS)), (1, 1));
}

#[tokio::test]
async fn ended_before_there_is_an_app_nothing_is_stored() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    running.shows("Waiting for GitHub").await;
    running.press_ctrl_c();
    let ended = running.ends().await;
    assert!(!ended.ok && ended.stderr.contains("ended before GitHub named an App: nothing was stored"), "{ended:?}");
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;
}

#[tokio::test]
async fn ctrl_c_does_not_lose_a_key_on_its_way_into_the_secret() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    stack.secrets.fail(Rule::new(Fault::Delay(Duration::from_secs(2))).operation("PutSecretValue").after(1).times(1));
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    let press = async {
        while stack.github.count(CONVERSIONS) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        running.press_ctrl_c();
    };
    let mut browser = Browser::new();
    let (shown, ()) = tokio::join!(browser.create(&url), press);
    assert_eq!(shown.status, 200, "{shown:?}");
    assert!(is_kept(&stack).await);
    install(&stack).await;
    assert!(running.ends().await.ok);
}

#[tokio::test]
async fn an_app_in_service_is_replaced_on_purpose_and_serves_until_then() {
    let stack = Stack::start().await;
    let operator = Operator::new(&stack);
    let mut other = stack::app_secret(&stack.github, stack.installation);
    other["app_id"] = json!(7);
    stack.secrets.put(APP_SECRET_ID, &other).await;
    stack.github.uninstall(stack.installation);
    let line = operator.refused(&CREATE).await;
    assert!(line.starts_with("The stack serves the App 7. Shall a new App take its place?"), "{line}");
    let (succeeded, screen) = operator.converse(&CREATE, &[("take its place? [y/N]", "n")]).await;
    assert!(!succeeded && screen.contains("nothing was changed"), "{screen}");

    let mut running = operator.start(&[&CREATE[..], &["--yes"]].concat());
    let url = running.shows(PAGE).await;
    let mut browser = Browser::new();
    let page = browser.open(&url).await;
    assert!(page.html.contains(SUBMITS), "{page:?}");
    let back = browser.press(&page.form()).await;
    let sent_on = browser.open(&back).await;
    let to = sent_on.headers[LOCATION].to_str().unwrap();
    assert_eq!((sent_on.status, to), (303, "https://github.com/apps/konduktor-fake/installations/new"));
    running.shows(WAITING).await;
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSCURRENT").await, Some(other.clone()));
    running.press_ctrl_c();
    assert!(!running.ends().await.ok);

    // Somebody who does not want the one that was begun, and not another one either.
    let (succeeded, screen) = operator
        .converse(&CREATE, &[("Go on with it? [Y/n]", "n"), ("Shall a new App take its place? [y/N]", "n")])
        .await;
    assert!(!succeeded && is_kept(&stack).await, "{screen}");
    let line = operator.refused(&CREATE).await;
    assert!(line.starts_with("The stack serves the App 7. Shall the App 1234567 take its place?"), "{line}");

    stack.github.install(ACCOUNT, Selection::All);
    let done = operator.json(&[&CREATE[..], &["--yes"]].concat()).await;
    assert_eq!(done["app_id"], 1_234_567);
    assert_eq!(value(&stack, APP_SECRET_ID, "AWSPREVIOUS").await, Some(other));
}

#[tokio::test]
async fn configure_settles_what_create_left() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    assert_eq!(Browser::new().create(&url).await.status, 200);
    running.shows(WAITING).await;
    running.press_ctrl_c();
    assert!(!running.ends().await.ok);
    stack.github.install(ACCOUNT, Selection::All);
    operator.file("app.pem", &stack.github.app().pem);
    operator.json(&["configure", "--app-id", "1234567", "--pem", "app.pem"]).await;
    assert!(!is_kept(&stack).await);
}

#[tokio::test]
async fn the_page_asks_the_right_github_for_the_right_owner() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    for (api_url, web) in [
        ("https://api.github.com", "https://github.com"),
        ("https://api.acme.ghe.com/", "https://acme.ghe.com"),
        ("https://git.example.com/api/v3", "https://git.example.com"),
        ("https://git.example.com:8443/api/v3", "https://git.example.com:8443"),
    ] {
        let form = form_of(&operator, &["--github-api-url", api_url]).await;
        assert!(form.action.starts_with(&format!("{web}/settings/apps/new?state=")), "{api_url}: {}", form.action);
        let form = form_of(&operator, &["--github-api-url", api_url, "--organization", "Acme-Corp"]).await;
        let page = format!("{web}/organizations/Acme-Corp/settings/apps/new?state=");
        assert!(form.action.starts_with(&page), "{api_url}: {}", form.action);
    }
    let form = form_of(&operator, &["--organization", "Acme-Corp", "--public"]).await;
    assert_eq!((&manifest(&form)["name"], &manifest(&form)["public"]), (&json!("konduktor-acme-corp"), &json!(true)));
    let form = form_of(&operator, &["--organization", &"a-".repeat(19)]).await;
    let name = manifest(&form)["name"].as_str().unwrap().to_owned();
    assert!(name.len() <= 34 && name.starts_with("konduktor-a-a") && name.ends_with('a'), "{name}");
    let names: Vec<Value> = [form_of(&operator, &[]).await, form_of(&operator, &[]).await]
        .iter()
        .map(|f| manifest(f)["name"].clone())
        .collect();
    assert_ne!(names[0], names[1], "a name that is the same for everybody is taken");
}

#[tokio::test]
async fn the_whole_way_works_on_an_enterprise_server_for_an_organization() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let api_url = format!("{}/api/v3", stack.github.url());
    let flags = ["--github-api-url", &api_url, "--organization", "acme", "--agents-push", "--json"];
    let mut running = operator.start(&[&CREATE[..], &flags].concat());
    let url = running.shows(PAGE).await;
    assert_eq!(Browser::new().create(&url).await.status, 200);
    let asked = &stack.github.manifests()[0]["default_permissions"];
    assert_eq!(*asked, json!({"contents": "write", "metadata": "read", "pull_requests": "write"}));
    assert_eq!(stack.github.count("/organizations/{org}/settings/apps/new"), 1);
    install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok && ended.stdout.lines().count() == 1, "{ended:?}");
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn what_is_typed_is_text_on_the_page_and_in_the_manifest() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let name = "<b>\"x\"</b> & 'y' &amp;";
    let mut running = operator.start(&[&CREATE[..], &["--name", name]].concat());
    let url = running.shows(PAGE).await;
    let page = Browser::new().open(&url).await;
    assert!(!page.html.contains("<b>") && page.html.contains("&lt;b&gt;&quot;x&quot;"), "{}", page.html);
    assert_eq!(manifest(&page.form())["name"], name);
}

#[tokio::test]
async fn what_cannot_work_is_refused_before_anything_happens() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    for (arguments, words) in [
        (["--name", "konduktor-of-a-team-with-a-long-name"], "1 to 34 characters, and this one 36"),
        (["--name", " "], "1 to 34 characters, and this one 0"),
        (["--organization", "../../login"], "github.com/LOGIN"),
    ] {
        let ended = operator.cli(&[&CREATE[..], &arguments].concat()).await;
        assert!(!ended.ok && ended.stderr.contains(words), "{words}: {ended:?}");
    }
    for (arguments, words) in [
        (
            ["--webhook-url", "http://hooks.example.com/"],
            "the webhook URL cannot be used: http://hooks.example.com/ must",
        ),
        (["--github-api-url", "http://github.example.com"], "--github-api-url: http://github.example.com must"),
        (["--stack", "nobody-deployed-this"], "there is no stack nobody-deployed-this in eu-west-1"),
    ] {
        let line = operator.refused(&[&CREATE[..], &arguments].concat()).await;
        assert!(line.starts_with(words), "{words}: {line}");
    }
    let mut insecure = stack.cloudformation.get(STACK);
    insecure.outputs.insert("WebhookUrl".to_owned(), "http://hooks.example.com/".to_owned());
    stack.cloudformation.put("nobody-secured-this", insecure);
    let line = operator.refused(&[&CREATE[..], &["--stack", "nobody-secured-this"]].concat()).await;
    assert!(line.starts_with("the webhook URL cannot be used"), "{line}");
    assert_eq!(stack.secrets.calls().iter().filter(|call| call.operation == "PutSecretValue").count(), 0);
    assert_eq!(stack.github.requests().len(), 0);
}

#[tokio::test]
async fn an_app_that_is_not_the_one_asked_for_is_shown_and_not_kept() {
    let elsewhere = json!({"url": "https://somebody.example/hook", "active": true});
    let wider = json!({"contents": "write", "metadata": "read", "pull_requests": "write"});
    for (field, value, words) in [
        ("default_permissions", wider, "it has the permissions contents: write"),
        ("default_events", json!(["pull_request", "push"]), "it subscribes to the events"),
        ("hook_attributes", elsewhere, "has the webhook https://somebody.example/hook, which was not requested"),
    ] {
        let stack = deployed().await;
        let ended = ends_with(&stack, &[], |form| {
            let mut asked = manifest(form);
            asked[field] = value;
            form.manifest = asked.to_string();
        })
        .await;
        assert!(!ended.ok && ended.stderr.contains(words), "{field}: {ended:?}");
        assert!(ended.stderr.contains("is not kept") && !is_kept(&stack).await, "{field}: {ended:?}");
    }
    let stack = deployed().await;
    let ended = ends_with(&stack, &["--organization", "acme"], |form| {
        form.action = form.action.replace("/organizations/acme/", "/organizations/mallory/");
    })
    .await;
    assert!(
        !ended.ok && ended.stderr.contains("it belongs to the organization mallory and not to the organization acme"),
        "{ended:?}"
    );
    assert!(!is_kept(&stack).await);

    let stack = deployed().await;
    let ended = ends_with(&stack, &[], |form| {
        form.action = form.action.replace("/settings/apps/new", "/organizations/mallory/settings/apps/new");
    })
    .await;
    assert!(!ended.ok && ended.stderr.contains("the organization mallory and not to your own account"), "{ended:?}");
    assert!(!is_kept(&stack).await);
}

#[tokio::test]
async fn a_run_that_goes_on_looks_at_where_the_app_delivers_too() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    stack.github.fault(github::Fault::always("/app/hook/config", FaultKind::Hang));
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    let mut browser = Browser::new();
    let mut form = browser.open(&url).await.form();
    let mut asked = manifest(&form);
    asked["hook_attributes"] = json!({"url": "https://somebody.example/hook", "active": true});
    form.manifest = asked.to_string();
    let back = browser.press(&form).await;
    // It gets no answer: what would give one ends.
    let person = browser.http.get(&back).header(COOKIE, browser.cookie.clone().unwrap()).send();
    let ended = async {
        while !stack.github.requests().iter().any(|request| request.path == "/app/hook/config") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running.press_ctrl_c();
        running.ends().await
    };
    let ended = tokio::select! {
        ended = ended => ended,
        _ = async { drop(person.await); std::future::pending::<()>().await } => unreachable!(),
    };
    assert!(!ended.ok && is_kept(&stack).await, "{ended:?}");
    stack.github.clear_faults();
    let line = operator.refused(&[&CREATE[..], &["--yes"]].concat()).await;
    assert!(line.contains("has the webhook https://somebody.example/hook, which was not requested"), "{line}");
    assert!(!is_kept(&stack).await);
    assert_nothing_is_in_service(&stack).await;
}

#[tokio::test]
async fn what_looks_at_the_link_first_is_not_the_browser_that_goes_on() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let mut running = operator.start(&CREATE);
    let url = running.shows(PAGE).await;
    let mut browser = Browser::new();
    let looked = browser.http.head(&url).send().await.unwrap();
    assert!(looked.headers().get(SET_COOKIE).is_none(), "{looked:?}");
    browser.open(&url).await.form();
}
