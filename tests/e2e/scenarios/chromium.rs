//! The page of `create` in a real browser: Chromium, driven by its own driver over WebDriver
//! (<https://www.w3.org/TR/webdriver2/>). `make browser` runs it; it needs `chromium` and `chromedriver` on the PATH.

use std::process::Stdio;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::harness::operator::Operator;
use crate::scenarios::board;
use crate::scenarios::create::{CREATE, DESCRIPTION, PAGE, WAITING, deployed, install};

/// Whether the page is wider than the window, so that one has to scroll sideways.
const WIDER: &str = "return document.documentElement.scrollWidth > document.documentElement.clientWidth";

/// On how many heights the columns begin.
const ROWS: &str = "return new Set([...document.querySelectorAll('section')].map((column) => column.offsetTop)).size";

/// The heading of a page that has been read to its end.
const HEADING: &str = "return document.readyState === 'complete' ? document.querySelector('h1')?.textContent : null";

struct Chromium {
    http: reqwest::Client,
    session: String,
    _profile: TempDir,
    driver: Child,
}

/// With the browser, which a killed driver leaves running.
impl Drop for Chromium {
    fn drop(&mut self) {
        if let Some(id) = self.driver.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?)) {
            let _ = kill_process_group(id, Signal::KILL);
        }
    }
}

impl Chromium {
    async fn start() -> Self {
        let mut driver = Command::new("chromedriver");
        driver.arg("--port=0").stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let mut driver = driver.spawn().expect("chromedriver is on the PATH (Debian: chromium-driver)");
        let mut lines = BufReader::new(driver.stdout.take().unwrap()).lines();
        let port = loop {
            let line = lines.next_line().await.unwrap().expect("the driver says its port");
            if let Some((_, port)) = line.split_once("started successfully on port ") {
                break port.trim_end_matches('.').to_owned();
            }
        };
        // The driver stops at a full pipe.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        let profile = tempfile::tempdir().unwrap();
        let flags = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1000,900",
            &format!("--user-data-dir={}", profile.path().display()),
        ];
        let capabilities = json!({"capabilities": {"alwaysMatch": {
            "browserName": "chrome",
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
        }}});
        let http = reqwest::Client::builder().tls_certs_only([]).no_proxy().build().unwrap();
        let driver_url = format!("http://127.0.0.1:{port}/session");
        let answer = http.post(&driver_url).json(&capabilities).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        let id = answer["value"]["sessionId"].as_str().unwrap_or_else(|| panic!("{answer}"));
        Self { session: format!("{driver_url}/{id}"), http, _profile: profile, driver }
    }

    async fn post(&self, command: &str, body: Value) -> Value {
        let answer = self.http.post(format!("{}/{command}", self.session)).json(&body).send().await.unwrap();
        value(answer).await
    }

    async fn get(&self, what: &str) -> Value {
        value(self.http.get(format!("{}/{what}", self.session)).send().await.unwrap()).await
    }

    async fn element(&self, selector: &str) -> String {
        let found = self.post("element", json!({"using": "css selector", "value": selector})).await;
        let id = found.as_object().and_then(|found| found.values().next()).and_then(Value::as_str);
        format!("element/{}", id.unwrap_or_else(|| panic!("no {selector}: {found}")))
    }

    /// What a person reads, in one step: an element that is found may be gone before it is asked.
    async fn text(&self, selector: &str) -> String {
        let told = self.run(&format!("return document.querySelector('{selector}').innerText")).await;
        told.as_str().unwrap().to_owned()
    }

    /// Waits for the page with this heading. The driver's click returns while the next page is on its way, and what is found
    /// meanwhile may belong to either.
    async fn shows(&self, heading: &str) {
        let end = Instant::now() + Duration::from_secs(30);
        let mut seen = Value::Null;
        while Instant::now() < end {
            // A page that goes while the script runs makes an error of it.
            let asked = self.http.post(format!("{}/execute/sync", self.session));
            let answer = asked.json(&json!({"script": HEADING, "args": []})).send().await.unwrap();
            seen = answer.json::<Value>().await.unwrap()["value"].take();
            if seen == heading {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("{heading:?} was not shown: {seen}");
    }

    /// What a script returns.
    async fn run(&self, script: &str) -> Value {
        self.post("execute/sync", json!({"script": script, "args": []})).await
    }

    /// Presses a key, by its code of WebDriver's (<https://www.w3.org/TR/webdriver2/#keyboard-actions>), and gives what has the focus then.
    async fn press(&self, key: char) -> String {
        let strokes = ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key}));
        self.post("actions", json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]})).await;
        self.run("return document.activeElement.innerText").await.as_str().unwrap_or_default().to_owned()
    }

    /// A window's inner size, which the window itself cannot be made as small as, and the colours that a person prefers.
    async fn looks(&self, width: u32, height: u32, scheme: &str) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        for (cmd, params) in [("Emulation.setDeviceMetricsOverride", size), ("Emulation.setEmulatedMedia", features)] {
            self.post("goog/cdp/execute", json!({"cmd": cmd, "params": params})).await;
        }
    }

    /// Keeps a picture where the build keeps its own, for whoever wants to look.
    async fn picture(&self, name: &str) {
        let png = BASE64_STANDARD.decode(self.get("screenshot").await.as_str().unwrap()).unwrap();
        std::fs::write(format!("{}/{name}.png", env!("CARGO_TARGET_TMPDIR")), png).unwrap();
    }
}

async fn value(answer: reqwest::Response) -> Value {
    let (status, mut answer): (_, Value) = (answer.status(), answer.json().await.unwrap());
    assert!(status.is_success(), "{answer}");
    answer["value"].take()
}

#[tokio::test]
// `make test` promises Rust, a C compiler and git alone; `.ci/run` runs this one by itself, and fails where what it needs is missing.
#[ignore = "needs Chromium: make browser"]
async fn one_click_in_chromium_hands_the_manifest_to_github_and_comes_back_to_an_app() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    // Another site than the page's own, as GitHub is: cookies and policies are looked at as there.
    let api_url = stack.github.url().replace("127.0.0.1", "localhost");
    let arguments = ["--name", "konduktor-<ours> & \"theirs\"", "--organization", "acme", "--github-api-url", &api_url];
    let mut running = operator.start(&[&CREATE[..], &arguments].concat());
    let url = running.shows(PAGE).await;

    let chromium = Chromium::start().await;
    chromium.post("url", json!({"url": url})).await;
    chromium.picture("create").await;
    chromium.shows("Create Konduktor's GitHub App").await;
    let told = chromium.text("dl").await;
    for words in [
        "konduktor-<ours> & \"theirs\"",
        "the organization acme on localhost:",
        "its owner's account only",
        "contents: read, metadata: read, pull_requests: write",
        "pull_request",
        &stack.front.url(),
    ] {
        assert!(told.contains(words), "{words}: {told}");
    }
    // The style is in force: its hash is the one that the policy allows.
    let button = chromium.element("button").await;
    assert_eq!(chromium.get(&format!("{button}/css/background-color")).await, "rgba(31, 136, 61, 1)");
    chromium.post(&format!("{button}/click"), json!({})).await;

    // On GitHub, with the manifest.
    chromium.shows("Create GitHub App").await;
    let name = chromium.element("input[name=name]").await;
    assert_eq!(chromium.get(&format!("{name}/property/value")).await, "konduktor-<ours> & \"theirs\"");
    let button = chromium.element("button").await;
    chromium.post(&format!("{button}/click"), json!({})).await;

    chromium.shows("One step is left").await;
    chromium.picture("created").await;
    let link = chromium.element("a").await;
    assert_eq!(
        chromium.get(&format!("{link}/attribute/href")).await,
        "https://github.com/apps/konduktor-fake/installations/new"
    );
    assert_eq!(
        stack.github.manifests(),
        [json!({
            "name": "konduktor-<ours> & \"theirs\"",
            "description": DESCRIPTION,
            "url": "https://github.com/yakkomajuri/konduktor-oss",
            "hook_attributes": {"url": stack.front.url(), "active": true},
            "redirect_url": format!("{url}/created"),
            "public": false,
            "default_permissions": {"contents": "read", "metadata": "read", "pull_requests": "write"},
            "default_events": ["pull_request"],
        })]
    );
    let posted = stack.github.requests();
    let posted = posted.iter().find(|request| request.method == "POST").unwrap();
    assert_eq!(posted.route, "/organizations/{org}/settings/apps/new");

    // Going back and forth in the browser makes no second App and does not disturb the first.
    chromium.post("refresh", json!({})).await;
    chromium.shows("Nothing was changed").await;
    assert!(chromium.text("body").await.contains("this was done already"));
    chromium.post("url", json!({"url": url})).await;
    chromium.shows("Create Konduktor's GitHub App").await;
    let complaints = chromium.post("se/log", json!({"type": "browser"})).await;
    let complaints: Vec<&Value> = complaints
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| !entry["message"].to_string().contains("410 (Gone)"))
        .collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    drop(chromium);

    install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok && ended.stdout.ends_with("GitHub App configured.\n"), "{ended:?}");
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
#[ignore = "needs Chromium: make browser"]
async fn who_answers_all_with_yes_clicks_in_chromium_only_what_is_githubs() {
    let stack = deployed().await;
    let operator = Operator::new(&stack);
    let api_url = stack.github.url().replace("127.0.0.1", "localhost");
    let mut running = operator.start(&[&CREATE[..], &["--yes", "--github-api-url", &api_url]].concat());
    let url = running.shows(PAGE).await;
    let chromium = Chromium::start().await;
    chromium.post("url", json!({"url": url})).await;
    chromium.shows("Create GitHub App").await;
    let button = chromium.element("button").await;
    chromium.post(&format!("{button}/click"), json!({})).await;
    running.shows(WAITING).await;
    drop(chromium);
    install(&stack).await;
    let ended = running.ends().await;
    assert!(ended.ok && ended.stdout.ends_with("GitHub App configured.\n"), "{ended:?}");
}

#[tokio::test]
#[ignore = "needs Chromium: make browser"]
async fn the_board_changes_in_chromium_as_its_cards_do() {
    let stack = board::filled(1_000).await;
    let looker = board::looker(&stack);
    let mut running = looker.start(&["board"]);
    let url = running.shows(board::PAGE).await;
    let chromium = Chromium::start().await;
    chromium.looks(1280, 900, "light").await;
    chromium.post("url", json!({"url": url})).await;
    chromium.shows("Board").await;
    // The keyboard is where it was after the page has changed around it.
    let focus = format!("document.getElementById('card-{}').focus()", board::TASK);
    chromium.post("execute/sync", json!({"script": focus, "args": []})).await;
    let mut moved = stack.read(board::TASK);
    moved["status"] = json!("done");
    stack.dynamodb.put("Tasks", &moved);
    let end = Instant::now() + Duration::from_secs(30);
    while !chromium.text("#name-done").await.ends_with("(1)") {
        assert!(Instant::now() < end, "the page does not change");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let script = "return document.activeElement.id + ' ' + document.activeElement.closest('section').id";
    let focused = chromium.post("execute/sync", json!({"script": script, "args": []})).await;
    assert_eq!(focused, format!("card-{} column-done", board::TASK));
    let card = chromium.element(&format!("#card-{}", board::TASK)).await;
    chromium.post(&format!("{card}/click"), json!({})).await;
    chromium.shows(board::TITLE).await;
    chromium.picture("board-card").await;
    assert_eq!(chromium.run(WIDER).await, false);
    let complaints = chromium.post("se/log", json!({"type": "browser"})).await;
    assert_eq!(complaints, json!([]));
}

const TAB: char = '\u{e004}';
const ENTER: char = '\u{e007}';

#[tokio::test]
#[ignore = "needs Chromium: make browser"]
async fn the_board_is_read_with_the_keyboard_alone_in_chromium() {
    let stack = board::filled(1_000).await;
    let looker = board::looker(&stack);
    let mut running = looker.start(&["board"]);
    let url = running.shows(board::PAGE).await;
    let chromium = Chromium::start().await;
    chromium.post("url", json!({"url": url})).await;
    chromium.shows("Board").await;
    assert_eq!(chromium.press(TAB).await, "Deliveries and checks");
    // A column is one key for each column away, and not one for each card.
    for column in ["idea (334)", "to_do (333)", "in_progress (333)", "pr_submitted (1)"] {
        assert_eq!(chromium.press(TAB).await, column);
    }
    chromium.press(ENTER).await;
    assert_eq!(chromium.press(TAB).await, board::TITLE, "the first card of that column");
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    assert_eq!(chromium.run(outline).await, "solid", "it is seen where the keyboard is");
    chromium.picture("board-keyboard").await;
    chromium.press(ENTER).await;
    chromium.shows(board::TITLE).await;
    assert_eq!(chromium.press(TAB).await, "Back to the board");
    chromium.press(ENTER).await;
    chromium.shows("Board").await;
}

/// The least contrast of text and what is behind it, over everything that is written on the page
/// (<https://www.w3.org/TR/WCAG22/#dfn-contrast-ratio>).
const LEAST_CONTRAST: &str = "
const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
const light = (colour) => {
  const [r, g, b] = parts(colour).slice(0, 3).map((part) => part / 255)
    .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if ((parts(colour)[3] ?? 1) === 1) return colour;
  }
  return 'rgb(255, 255, 255)';
};
const written = [...document.querySelectorAll('body *')].filter((element) =>
  [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim()));
const contrasts = written.slice(0, 500).map((element) => {
  const [one, other] = [light(getComputedStyle(element).color), light(behind(element))].sort();
  return (other + 0.05) / (one + 0.05);
});
return Math.min(...contrasts);";

#[tokio::test]
#[ignore = "needs Chromium: make browser"]
async fn the_board_can_be_read_at_every_width_in_light_and_dark_in_chromium() {
    let stack = board::filled(1_000).await;
    board::deliver(&stack).await;
    let inspector = board::inspector(&stack);
    let mut running = inspector.start(&["board"]);
    let url = running.shows(board::PAGE).await;
    let chromium = Chromium::start().await;
    let card = format!("{url}/{}", board::TASK);
    let state = format!("{url}/state");
    let sizes = [(320, 640), (1280, 900), (3840, 2160)];
    for (scheme, (width, height)) in ["light", "dark"].into_iter().flat_map(|scheme| sizes.map(|size| (scheme, size))) {
        chromium.looks(width, height, scheme).await;
        for (name, page, heading) in
            [("board", &url, "Board"), ("card", &card, board::TITLE), ("state", &state, "Deliveries and checks")]
        {
            chromium.post("url", json!({"url": page})).await;
            chromium.shows(heading).await;
            chromium.picture(&format!("{name}-{scheme}-{width}")).await;
            assert_eq!(chromium.run(WIDER).await, false, "{name} {scheme} {width}");
            if name == "board" {
                assert_eq!(chromium.run(ROWS).await, if width < 1000 { 6 } else { 1 }, "rows of columns at {width}");
            }
            let contrast = chromium.run(LEAST_CONTRAST).await.as_f64().unwrap();
            assert!(contrast >= 4.5, "{name} {scheme} {width}: {contrast}");
        }
    }
    // Whoever listens to the page is told what is what: one main part, one heading, the plot in words.
    let landmarks = "return [document.querySelectorAll('main').length, document.querySelectorAll('h1').length, \
                     document.querySelector('svg').getAttribute('role'), document.querySelector('svg').ariaLabel.length > 20]";
    assert_eq!(chromium.run(landmarks).await, json!([1, 1, "img", true]));
    let complaints = chromium.post("se/log", json!({"type": "browser"})).await;
    assert_eq!(complaints, json!([]));
}
