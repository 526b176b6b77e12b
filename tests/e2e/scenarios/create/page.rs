//! The page in the browser, and what comes back from GitHub.

use std::time::Duration;

use fake_github::{self as github, FaultKind};
use local_aws::{Fault, Rule};
use reqwest::header::SET_COOKIE;
use serde_json::{Value, json};

use super::{
    Browser, CONVERSIONS, CREATE, PAGE, assert_nothing_is_in_service, deployed, form_of, install, is_kept, manifest,
    opened, with_xdg_open,
};
use crate::harness::operator::Operator;

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
