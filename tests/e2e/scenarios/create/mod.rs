//! `create`: from nothing to an App in service, and everything that can come between.

mod interrupted;
mod page;

use std::path::Path;
use std::time::Duration;

use fake_github::Selection;
use local_aws::lambda::binary;
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
        (["--webhook-url", "http://hooks.example.com/"], "the webhook URL cannot be used: it must"),
        (["--github-api-url", "http://github.example.com"], "--github-api-url: it must"),
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
