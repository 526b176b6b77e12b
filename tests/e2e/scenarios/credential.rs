//! Tokens on an agent's machine: git's credential helper with real git, and `token` for scripts.

use fake_github::{AppKey, Fault, FaultKind, MintedToken, TokenShape};
use jiff::Timestamp;
use local_aws::lambda::{Function, binary};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use stack::{APP_SECRET_ID, CLIENT, PUSHER, REPOSITORY, Stack};

use crate::harness::agent::{Agent, Ended};

const MINT: &str = "/access_tokens";
const WITH_WRITE: &str = "!konduktor-github-app credential --write";

fn last_minted(stack: &Stack) -> MintedToken {
    stack.github.minted().pop().expect("a token was minted")
}

/// Lets the App write, which it may not by default.
fn grant_write(stack: &Stack) {
    stack.github.set_permissions(&[("contents", "write"), ("metadata", "read"), ("pull_requests", "write")]);
    stack.github.accept_permissions(stack.installation);
}

fn description(protocol: &str, host: &str) -> String {
    format!("protocol={protocol}\nhost={host}\n\n")
}

/// What git says about the stack's GitHub, with further attributes.
fn ours(stack: &Stack, more: &str) -> String {
    let host = stack.github.url().split_once("://").unwrap().1.to_owned();
    format!("protocol=http\nhost={host}\n{more}\n")
}

/// Makes every cached token too old to be protected as a fresh one.
async fn age_tokens(stack: &Stack) {
    use aws_sdk_dynamodb::types::AttributeValue;
    let table = &stack.dynamodb.names().tokens;
    let client = stack.dynamodb.sdk("a test");
    for item in client.scan().table_name(table).send().await.unwrap().items.unwrap() {
        let update = client.update_item().table_name(table).key("cache_key", item["cache_key"].clone());
        let minute = AttributeValue::N("-60".into());
        let update = update.update_expression("ADD minted_at :minute").expression_attribute_values(":minute", minute);
        update.send().await.unwrap();
    }
}

#[tokio::test]
async fn git_clones_with_tokens_of_every_length_and_keeps_none_of_them() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    agent.configure("!konduktor-github-app credential", true);
    for (name, shape, length) in
        [("classic", TokenShape::Classic, 40), ("long", TokenShape::Long, 520), ("huge", TokenShape::Huge, 1_500)]
    {
        let repository = format!("acme/{name}");
        stack.github.create_git_repository(&repository, &[("README.md", name)]).await;
        stack.github.set_token_shape(shape);
        let clone = agent.git(".", &["clone", &agent.url(&repository), name]).await;
        assert!(clone.ok, "{clone:?}");
        assert_eq!(std::fs::read_to_string(agent.path(name).join("README.md")).unwrap(), name);
        let minted = last_minted(&stack);
        assert_eq!(minted.token.len(), length);
        assert_eq!(minted.repositories, [repository], "the token opens what git named, and no more");
        assert_eq!(minted.permissions["contents"], "read");
        agent.assert_no_token_was_left(&[&clone]);
    }
    stack.github.assert_nothing_unexpected();
}

#[tokio::test]
async fn a_fetch_after_the_token_expired_asks_again_and_gets_a_new_one() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    // Less life than an answered token has at least: the cached one does not serve twice.
    stack.github.set_token_lifetime(240);
    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    let first = last_minted(&stack);
    stack.github.expire_token(&first.token);
    stack.github.set_token_lifetime(3600);
    let fetch = agent.git("app", &["fetch"]).await;
    assert!(fetch.ok, "{fetch:?}");
    assert_ne!(last_minted(&stack).token, first.token);
    let minted = stack.github.minted().len();
    assert!(agent.git("app", &["fetch"]).await.ok);
    assert_eq!(stack.github.minted().len(), minted, "a token with an hour ahead is handed out again");
    agent.assert_no_token_was_left(&[&fetch]);
}

#[tokio::test]
async fn a_push_is_refused_without_write_and_taken_with_it() {
    let stack = Stack::start().await;
    grant_write(&stack);
    let mut agent = Agent::new(&stack);
    agent.set("TOKEN_FUNCTION", "token:agents");
    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    assert!(agent.git("app", &["commit", "--allow-empty", "-m", "work"]).await.ok);
    let refused = agent.git("app", &["push", "origin", "main"]).await;
    assert!(!refused.ok && refused.stderr.contains("403"), "{refused:?}");
    agent.configure(WITH_WRITE, false);
    agent.set("TOKEN_FUNCTION", "token:pushers");
    agent.set("AWS_ACCESS_KEY_ID", PUSHER);
    let pushed = agent.git("app", &["push", "origin", "main"]).await;
    assert!(pushed.ok, "{pushed:?}");
    let folder = stack.github.git_folder(REPOSITORY).display().to_string();
    let there = agent.git(".", &["--git-dir", &folder, "-c", "safe.directory=*", "rev-parse", "main"]).await.printed();
    assert_eq!(there, agent.git("app", &["rev-parse", "main"]).await.printed());
    let levels: Vec<_> = stack.github.minted().iter().map(|minted| minted.permissions["contents"].clone()).collect();
    assert_eq!(levels, ["read", "write"]);
    agent.assert_no_token_was_left(&[&refused, &pushed]);
}

#[tokio::test]
async fn a_revoked_token_is_reported_so_that_the_next_command_works() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    agent.configure("!konduktor-github-app credential", true);
    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    let first = last_minted(&stack);
    stack.github.revoke_token(&first.token);
    age_tokens(&stack).await;
    let refused = agent.git("app", &["fetch"]).await;
    assert!(!refused.ok && refused.stderr.contains("Authentication failed"), "{refused:?}");
    let fetch = agent.git("app", &["fetch"]).await;
    assert!(fetch.ok, "{fetch:?}");
    assert_ne!(last_minted(&stack).token, first.token);
    let record = stack.lambda.log_line("token", |line| line.contains("invalidated")).await;
    assert!(record.contains("command=credential erase"), "{record}");
    agent.assert_no_token_was_left(&[&refused, &fetch]);
}

#[tokio::test]
async fn submodules_come_each_with_a_token_of_its_own() {
    let stack = Stack::start().await;
    grant_write(&stack);
    let agent = Agent::new(&stack);
    agent.configure(WITH_WRITE, true);
    assert!(agent.git(".", &["clone", &agent.url(REPOSITORY), "app"]).await.ok);
    for name in ["one", "two"] {
        let repository = format!("acme/{name}");
        stack.github.create_git_repository(&repository, &[("name", name)]).await;
        let added = agent.git("app", &["submodule", "add", &agent.url(&repository), name]).await;
        assert!(added.ok, "{added:?}");
    }
    assert!(agent.git("app", &["commit", "-m", "two submodules"]).await.ok);
    assert!(agent.git("app", &["push", "origin", "main"]).await.ok);

    let other = Agent::new(&stack);
    other.configure("!konduktor-github-app credential", true);
    let before = stack.github.minted().len();
    let clone = other.git(".", &["clone", "--recurse-submodules", &other.url(REPOSITORY), "app"]).await;
    assert!(clone.ok, "{clone:?}");
    for name in ["one", "two"] {
        assert_eq!(std::fs::read_to_string(other.path("app").join(name).join("name")).unwrap(), name);
    }
    let mut opened: Vec<_> = stack.github.minted().drain(before..).map(|minted| minted.repositories).collect();
    opened.sort();
    assert_eq!(opened, [["acme/app"], ["acme/one"], ["acme/two"]]);
    other.assert_no_token_was_left(&[&clone]);
}

/// User and password of an answer in which git gets a whole header.
fn header_of(answer: &str) -> String {
    let line =
        |name: &str| answer.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{answer}"));
    assert_eq!((line("capability[]="), line("authtype="), line("ephemeral=")), ("authtype", "Basic", "1"));
    assert!(!answer.contains("password="), "other helpers would be told of it");
    use base64::Engine;
    let pair = base64::prelude::BASE64_STANDARD.decode(line("credential=")).unwrap();
    String::from_utf8(pair).unwrap()
}

#[tokio::test]
async fn get_answers_what_git_reads() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    let answer = agent.cli_with(&["credential", "get"], &ours(&stack, "")).await.printed();
    let minted = last_minted(&stack);
    let expiry = minted.expires_at.as_second();
    let expected = format!("username=x-access-token\npassword={}\npassword_expiry_utc={expiry}\n", minted.token);
    assert_eq!(answer, expected);
    // Over SSH this is the user, and people write it into other URLs too.
    assert_eq!(agent.cli_with(&["credential", "get"], &ours(&stack, "username=git\n")).await.printed(), expected);
    let authtype = ours(&stack, "capability[]=authtype\n");
    let answer = agent.cli_with(&["credential", "get"], &authtype).await.printed();
    assert_eq!(header_of(&answer), format!("x-access-token:{}", minted.token));
    assert!(answer.ends_with(&format!("password_expiry_utc={expiry}\n")), "{answer}");
    assert_eq!(stack.github.minted().len(), 1, "the same scope is minted once");

    let elsewhere = ["credential", "--github-api-url", "https://api.acme.ghe.com", "get"];
    let line = agent.cli_with(&elsewhere, &description("https", "acme.ghe.com")).await.advice();
    assert!(
        line.starts_with(&format!("the token function serves the GitHub at {} and not", stack.github.url())),
        "{line}"
    );
    agent.set("GITHUB_API_URL", "https://api.github.com");
    let line = agent.cli_with(&["credential", "get"], &description("https", "github.com")).await.advice();
    assert!(line.contains("and not that at https://api.github.com"), "{line}");
}

#[tokio::test]
async fn a_rejected_header_is_reported_like_a_password() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let authtype = ours(&stack, "capability[]=authtype\n");
    let answer = agent.cli_with(&["credential", "get"], &authtype).await.printed();
    let first = last_minted(&stack);
    age_tokens(&stack).await;
    let credential = answer.lines().find(|line| line.starts_with("credential=")).unwrap();
    let rejected = ours(&stack, &format!("capability[]=authtype\nauthtype=Basic\n{credential}\n"));
    assert_eq!(agent.cli_with(&["credential", "erase"], &rejected).await.printed(), "");
    let answer = agent.cli_with(&["credential", "get"], &authtype).await.printed();
    assert!(!header_of(&answer).contains(&first.token));
}

#[tokio::test]
async fn a_path_asks_for_its_repository_alone_and_unknown_attributes_change_nothing() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let noise = "capability[]=state\nwwwauth[]=Basic realm=\"GitHub\"\nusername=x-access-token\nnext=year\n";
    for path in ["acme/app.git", "acme/app", "/acme/app.git/", "acme/app.git/info/lfs", "acme/app.wiki.git", "Acme/App"]
    {
        let asked = ours(&stack, &format!("{noise}path={path}\n"));
        let answer = agent.cli_with(&["credential", "get"], &asked).await.printed();
        let minted = last_minted(&stack);
        assert!(answer.contains(&minted.token), "{path}");
        assert_eq!(minted.repositories, [REPOSITORY], "{path}");
    }
    assert_eq!(stack.github.minted().len(), 1);
}

#[tokio::test]
async fn what_is_not_understood_in_full_gets_no_token() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let whole = ours(&stack, "path=acme/app.git\n");
    let cut = whole.trim_end().to_owned();
    for asked in [cut, ours(&stack, "a line without a meaning\n"), ours(&stack, "path=acme/app\npath=acme/web\n")] {
        for operation in ["get", "erase"] {
            assert_eq!(agent.cli_with(&["credential", operation], &asked).await.printed(), "", "{operation} {asked}");
        }
    }
    // What `.gitmodules` says as %ff.
    let url = format!("{}/acme/%ff.git", stack.github.url());
    agent.configure("!konduktor-github-app credential", true);
    assert!(!agent.git(".", &["ls-remote", &url]).await.ok);
    assert_eq!(stack.lambda.invocations("token"), 0);
}

#[tokio::test]
async fn a_url_that_names_git_is_served_and_another_user_is_told_why_not() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let named = |user: &str| agent.url(REPOSITORY).replacen("://", &format!("://{user}@"), 1);
    for nobody in ["git", ""] {
        let listed = agent.git(".", &["ls-remote", &named(nobody)]).await;
        assert!(listed.ok && listed.stdout.contains("refs/heads/main"), "{nobody:?}: {listed:?}");
    }
    let refused = agent.git(".", &["ls-remote", &named("octocat")]).await;
    assert!(!refused.ok, "{refused:?}");
    let line =
        "konduktor-github-app: the URL names the user octocat, and these tokens are not the password of that user";
    assert!(refused.stderr.contains(line), "{refused:?}");
    assert_eq!(stack.lambda.invocations("token"), 2);
}

#[tokio::test]
async fn other_hosts_protocols_and_passwords_get_no_answer() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    let address = stack.github.url().split_once("://").unwrap().1.to_owned();
    let github = "https://api.github.com".to_owned();
    let local = stack.github.url();
    for (api, asked) in [
        (&local, description("https", &address)),
        (&local, description("http", "127.0.0.1:1")),
        (&local, description("https", "github.com")),
        (&local, ours(&stack, "path=acme\n")),
        (&local, ours(&stack, "path=acme/app/more\n")),
        (&github, description("https", "gist.github.com")),
        (&github, String::new()),
    ] {
        agent.set("GITHUB_API_URL", api);
        for operation in ["get", "erase"] {
            let answer = agent.cli_with(&["credential", operation], &asked).await.printed();
            assert_eq!(answer, "", "{operation} {asked}");
        }
    }
    agent.set("GITHUB_API_URL", &local);
    for theirs in
        ["username=octocat\npassword=somebody-else's\n", "password=nobody-knows-whose\n", "username=octocat\n"]
    {
        assert_eq!(agent.cli_with(&["credential", "erase"], &ours(&stack, theirs)).await.printed(), "");
    }
    assert_eq!(stack.lambda.invocations("token"), 0, "nobody else's password or host is told to the function");
}

#[tokio::test]
async fn another_helper_gets_its_turn_unless_our_own_function_has_refused() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    let token = agent.cli(&["token", "--repository", "app"]).await.printed();
    let url = stack.github.url();
    let second = format!("!f() {{ echo username=x-access-token; echo password={}; }}; f", token.trim());
    let list =
        ["-c", &format!("credential.{url}.helper={second}"), "ls-remote", &agent.url(REPOSITORY)].map(str::to_owned);
    let list: Vec<&str> = list.iter().map(String::as_str).collect();
    agent.set("TOKEN_FUNCTION", "nobody-deployed-this");
    let listed = agent.git(".", &list).await;
    assert!(listed.ok && listed.stdout.contains("refs/heads/main"), "{listed:?}");
    assert!(listed.stderr.starts_with("konduktor-github-app: there is no function"), "{listed:?}");

    agent.set("TOKEN_FUNCTION", "token");
    stack.lambda.set_variable("token", "APP_SECRET_ID", "konduktor/nobody-made-this");
    let refused = agent.git(".", &list).await;
    assert!(!refused.ok, "{refused:?}");
    assert!(refused.stderr.starts_with("konduktor-github-app: the token function is not configured"), "{refused:?}");
    assert!(refused.stderr.contains("told us to quit"), "{refused:?}");
}

#[tokio::test]
async fn store_and_operations_of_later_gits_do_nothing() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    for operation in ["store", "capability", "approve"] {
        let asked = ours(&stack, "username=x-access-token\npassword=ghs_whatever\n");
        assert_eq!(agent.cli_with(&["credential", operation], &asked).await.printed(), "");
    }
    assert_eq!(stack.lambda.invocations("token"), 0);
}

#[tokio::test]
async fn erase_reports_the_hash_with_the_scope_that_get_asked_for() {
    let stack = Stack::start().await;
    grant_write(&stack);
    let agent = Agent::new(&stack);
    let scope = "path=acme/app.git\n";
    for arguments in [&["credential"][..], &["credential", "--write"]] {
        let run = |operation: &'static str| [arguments, &[operation]].concat();
        agent.cli_with(&run("get"), &ours(&stack, scope)).await.printed();
        let first = last_minted(&stack);
        age_tokens(&stack).await;
        let rejected = format!("{scope}username=x-access-token\npassword={}\n", first.token);
        assert_eq!(agent.cli_with(&run("erase"), &ours(&stack, &rejected)).await.printed(), "");
        let answer = agent.cli_with(&run("get"), &ours(&stack, scope)).await.printed();
        assert!(!answer.contains(&first.token) && answer.contains(&last_minted(&stack).token));
        let hash = base64(&Sha256::digest(&first.token));
        let wanted = format!("\"token_sha256\":\"{hash}\"");
        let is_report = |line: &str| line.contains("\"outcome\":\"invalidated\"") && line.contains(&wanted);
        stack.lambda.log_line("token", is_report).await;
    }
    for (_, line) in stack.lambda.all_logs() {
        assert!(!stack.github.minted().iter().any(|minted| line.contains(&minted.token)), "{line}");
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_STANDARD.encode(bytes)
}

#[tokio::test]
async fn token_prints_one_for_scripts_with_the_scope_they_ask_for() {
    let stack = Stack::start().await;
    grant_write(&stack);
    stack.github.create_repository("acme/api", true);
    let agent = Agent::new(&stack);
    let arguments =
        ["token", "--repository", "acme/app", "--repository", "api", "--permission", "contents=write", "--permission"];
    let arguments = [&arguments[..], &["pull_requests=write", "--min-ttl", "600"]].concat();
    let token = agent.cli(&arguments).await.printed();
    let minted = last_minted(&stack);
    assert_eq!(token, format!("{}\n", minted.token));
    assert_eq!(minted.repositories.len(), 2);
    assert_eq!((&*minted.permissions["contents"], &*minted.permissions["pull_requests"]), ("write", "write"));

    let answer: Value =
        serde_json::from_str(&agent.cli(&[&arguments[..], &["--json"]].concat()).await.printed()).unwrap();
    assert_eq!(answer["token"], token.trim());
    assert_eq!(answer["installation_id"], stack.installation);
    assert_eq!(answer["cached"], true);
    assert_eq!(answer["expires_at"].as_str().unwrap().parse::<Timestamp>().unwrap(), minted.expires_at);

    let everything = agent.cli(&["token"]).await.printed();
    assert!(stack.github.scope_of(everything.trim()).unwrap().all_repositories);
    assert_eq!(agent.cli(&["token", "--permission", "contents"]).await.stdout, "");
    let twice = ["token", "--permission", "contents=read", "--permission", "contents=write"];
    assert!(agent.cli(&twice).await.advice().contains("two levels"));
}

#[tokio::test]
async fn whatever_keeps_aws_from_answering_has_a_line_that_says_what_to_do() {
    let stack = Stack::start().await;
    let mut agent = Agent::new(&stack);
    stack.lambda.deny("AKIADENIED", "token");
    let unknown = ["token", "--function", "nobody-deployed-this"];
    let line = agent.cli(&unknown).await.advice();
    assert!(line.starts_with("there is no function nobody-deployed-this in eu-west-1: "), "{line}");
    assert!(line.contains("TOKEN_FUNCTION"), "{line}");

    for (name, value, words) in [
        ("AWS_ACCESS_KEY_ID", "AKIADENIED", &["function token", "lambda:InvokeFunction"][..]),
        ("AWS_ACCESS_KEY_ID", "", &["no AWS credentials: ", "sso login", "AWS_PROFILE"]),
        ("AWS_PROFILE", "nobody-wrote-this", &["no AWS credentials in the profile nobody-wrote-this"]),
        ("AWS_REGION", "", &["no AWS region: set AWS_REGION"]),
        ("AWS_ENDPOINT_URL_LAMBDA", "http://127.0.0.1:1", &["Lambda in eu-west-1 does not answer", "network"]),
        ("GITHUB_API_URL", "github.example", &["GITHUB_API_URL", "it is not a URL"]),
        ("GITHUB_API_URL", "http://github.example", &["must begin with https://"]),
    ] {
        let before = stack.environment().into_iter().find(|(known, _)| *known == name).map(|(_, value)| value);
        agent.set(name, value);
        if name == "AWS_PROFILE" {
            agent.set("AWS_ACCESS_KEY_ID", "");
        }
        let ended = agent.cli_with(&["credential", "get"], &ours(&stack, "")).await;
        let line = ended.advice();
        for word in words {
            assert!(line.contains(word), "{name}={value}: {line}");
        }
        agent.set(name, &before.unwrap_or_default());
        agent.set("AWS_ACCESS_KEY_ID", CLIENT);
    }
    assert!(agent.cli_with(&["credential", "get"], &ours(&stack, "")).await.ok, "the variables were what it was");
}

#[tokio::test]
async fn every_refusal_of_the_token_function_has_a_line_that_says_what_to_do() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let status = |status, message: &str| FaultKind::Status(status, json!({"message": message}).to_string(), vec![]);
    let claim = "'Issued at' claim ('iat') must be an Integer representing the time that the assertion was issued";
    for (kind, beginning, advice) in [
        (status(401, "A JSON web token could not be decoded"), "GitHub refuses the App: ", "generate one"),
        (status(401, claim), "GitHub refuses the token function's clock: ", "check the clock"),
        (status(404, "Not Found"), "the App is not installed: ", "install the App"),
        (status(403, "This installation has been suspended"), "the App is suspended: ", "unsuspends it"),
        (status(422, "The permissions requested are not granted."), "this is not granted: ", "ask for less"),
        (FaultKind::TooMany(9), "GitHub's rate limit is reached: ", "again in "),
        (status(418, "I am a teapot"), "GitHub gives no token: ", "githubstatus"),
    ] {
        stack.github.fault(Fault::always(MINT, kind.clone()));
        stack.dynamodb.reset();
        stack.lambda.kill_environments("token");
        for line in [
            agent.cli_with(&["credential", "get"], &ours(&stack, "")).await.advice(),
            agent.cli(&["token", "--permission", "contents=read"]).await.advice(),
        ] {
            assert!(line.starts_with(beginning), "{kind:?}: {line}");
            assert!(line.contains(advice), "{kind:?}: {line}");
        }
        stack.github.clear_faults();
    }
    for (asked, said) in [
        (&["--repository", "nope"][..], "nope is not among the repositories of installation "),
        (
            &["--repository", "app", "--repository", "acme/nope"],
            "of app, nope at least one is not among the repositories",
        ),
    ] {
        for _remembered in [false, true] {
            let line = agent.cli(&[&["token"], asked].concat()).await.advice();
            assert!(line.starts_with("this is not granted: ") && line.contains(said), "{line}");
        }
    }
    let line = agent.cli(&["token", "--repository", "not a name"]).await.advice();
    assert!(line.starts_with("repositories[0] is not a repository's name"), "{line}");
    let line = agent.cli(&["token", "--installation-id", "1"]).await.advice();
    assert!(
        line.starts_with("this is not granted: TOKEN_POLICY refuses this to the profile agents: installations"),
        "{line}"
    );
    stack.lambda.set_variable("token", "TOKEN_POLICY", json!({"repositories": ["app"]}).to_string());
    let line = agent.cli_with(&["credential", "get"], &ours(&stack, "")).await.advice();
    assert!(line.starts_with("TOKEN_POLICY refuses") && line.contains("credential.useHttpPath true"), "{line}");
    assert!(agent.cli_with(&["credential", "get"], &ours(&stack, "path=acme/app\n")).await.ok);
    let line = agent.cli(&["token", "--repository", "api"]).await.advice();
    assert!(
        line.contains("TOKEN_POLICY refuses this to the profile agents: repositories does not allow api"),
        "{line}"
    );
    stack.lambda.set_variable("token", "TOKEN_POLICY", "");
    for secret in [json!({"app_id": 1}), json!({"app_id": 1, "private_key": AppKey::second().pem[..400]})] {
        stack.secrets.put(APP_SECRET_ID, &secret).await;
        stack.secrets.put(APP_SECRET_ID, &secret).await;
        stack.lambda.kill_environments("token");
        let line = agent.cli(&["token"]).await.advice();
        let expected = ["the token function is not configured: ", "GitHub refuses the App: "];
        assert!(expected.iter().any(|expected| line.starts_with(expected)), "{line}");
    }
}

#[tokio::test]
async fn a_function_that_breaks_or_is_another_one_is_named_with_the_next_step() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    let answering = |answer: &str| Function::new("other", binary("echo")).variable("ECHO_ANSWER", answer);
    stack.lambda.add(answering("{\"ok\": true}"));
    let line = agent.cli(&["token", "--function", "other"]).await.advice();
    assert!(line.starts_with("the function other answered with something else than a token"), "{line}");

    let broken =
        json!({"token": "ghs_a\nquit=1", "expires_at": "2027-01-01T00:00:00Z", "installation_id": 1}).to_string();
    stack.lambda.add(answering(&broken));
    let ended: Ended = agent.cli_with(&["credential", "--function", "other", "get"], &ours(&stack, "")).await;
    assert!(ended.advice().contains("cannot take for a password"));

    stack.lambda.add(Function::new("other", binary("echo")).variable("ECHO_INIT", "exit"));
    let line = agent.cli(&["token", "--function", "other:$LATEST"]).await.advice();
    assert!(line.contains("aws logs tail /aws/lambda/other --since 10m"), "{line}");
}

#[tokio::test]
async fn completions_of_every_shell_know_the_subcommands() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = agent.cli(&["completions", shell]).await.printed();
        for word in ["credential", "token", "task"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    for command in [&["--help"][..], &["credential", "--help"], &["token", "--help"], &["task", "--help"]] {
        assert!(agent.cli(command).await.printed().contains("Examples:"), "{command:?}");
    }
}
