//! A canary in everything that is secret, and in everything that others say: it comes out nowhere.

use domain::contract::token::ErrorType;
use fake_github::{Fault, FaultKind};
use local_aws::Rule;
use serde_json::{Value, json};
use stack::{APP_SECRET_ID, REPOSITORY, Stack, WEBHOOK_SECRET_ID};

use crate::harness::agent::Agent;
use crate::harness::desk::{TAG, TASK, sign};
use crate::harness::operator::Operator;
use crate::harness::payload::merged;

const CANARY: &str = "c4nary";

/// A token, a JSON Web Token and a key, each of the shape that it has.
fn canaries() -> String {
    let body = CANARY.repeat(8);
    format!(
        "ghs_{body} eyJ{body}.eyJ{body}.{body} -----BEGIN RSA PRIVATE KEY-----\n{body}\n-----END RSA PRIVATE KEY-----"
    )
}

fn clean(text: &str) {
    assert!(!text.contains(CANARY), "{text}");
}

fn assert_logs_are_clean(stack: &Stack) {
    let logs = stack.lambda.all_logs();
    assert!(!logs.is_empty());
    logs.iter().for_each(|(_, line)| clean(line));
}

/// What brings a refusal of the token function about: GitHub's answer to a mint, with canaries in its words. `None`: something else does, below.
fn provoked_by(error_type: ErrorType) -> Option<FaultKind> {
    let said = |status, sentence: &str| {
        let message = format!("{sentence} {}", canaries());
        let body = json!({"message": message, "errors": [{"message": canaries()}, canaries()]});
        Some(FaultKind::Status(status, body.to_string(), vec![]))
    };
    match error_type {
        ErrorType::NotConfigured => {
            let page = vec![("content-type".to_owned(), "text/html".to_owned())];
            Some(FaultKind::Status(404, canaries(), page))
        }
        ErrorType::InvalidKey => said(401, "A JSON web token could not be decoded."),
        ErrorType::AppNotFound => said(404, "Integration not found."),
        ErrorType::ClockSkew => said(401, "'Issued at' claim ('iat') is in the future."),
        ErrorType::InstallationNotFound => said(404, "Not Found."),
        ErrorType::InstallationSuspended => said(403, "This installation has been suspended."),
        ErrorType::PermissionNotGranted => said(422, "The permissions requested are not granted to this installation."),
        ErrorType::RepositoryNotFound => {
            said(422, "There is at least one repository that is not accessible to the parent installation.")
        }
        ErrorType::IpAllowList => said(403, "The organization has an IP allow list enabled."),
        ErrorType::SamlEnforced => said(403, "Resource protected by organization SAML enforcement."),
        ErrorType::Blocked => said(451, "Repository access blocked."),
        ErrorType::Refused => said(403, "Something that GitHub has never said before:"),
        ErrorType::RateLimited => said(429, "API rate limit exceeded."),
        ErrorType::LockedOut => said(403, "Maximum number of login attempts exceeded."),
        ErrorType::GitHubUnavailable => said(500, "Server error."),
        ErrorType::InvalidRequest | ErrorType::RepositoriesNotNamed | ErrorType::Busy => None,
    }
}

#[tokio::test]
async fn no_refusal_of_the_token_function_repeats_a_secret_to_its_caller_a_log_or_a_terminal() {
    let stack = Stack::start().await;
    let agent = Agent::new(&stack);
    for error_type in ErrorType::ALL {
        let mut request = json!({"repositories": ["app"]});
        match (error_type, provoked_by(*error_type)) {
            (_, Some(kind)) => stack.github.fault(Fault::always("access_tokens", kind)),
            (ErrorType::Busy, None) => stack.secrets.set_unreachable(true),
            (ErrorType::RepositoriesNotNamed, None) => {
                let policy = json!({"repositories": [format!("acme/{CANARY}")]}).to_string();
                stack.lambda.set_variable("token", "TOKEN_POLICY", policy);
                request = json!({"permissions": {"contents": "read"}});
            }
            (_, None) => request = json!({"repositories": [format!("ghs_{}", CANARY.repeat(8))], CANARY: canaries()}),
        }
        let refused = stack.lambda.invoke("token", request).await.unwrap_err();
        assert_eq!(refused.error_type, error_type.name(), "{}", refused.message);
        clean(&refused.message);
        if *error_type != ErrorType::InvalidRequest {
            let unnamed = *error_type == ErrorType::RepositoriesNotNamed;
            let arguments: &[&str] = if unnamed { &["token"] } else { &["token", "--repository", "app"] };
            let ended = agent.cli(arguments).await;
            assert!(!ended.ok, "{ended:?}");
            clean(&format!("{ended:?}"));
        }
        stack.github.clear_faults();
        stack.secrets.set_unreachable(false);
        stack.lambda.set_variable("token", "TOKEN_POLICY", String::new());
        stack.lambda.kill_environments("token");
        stack.dynamodb.reset();
    }
    assert_logs_are_clean(&stack);
}

#[tokio::test]
async fn no_answer_log_or_terminal_repeats_what_the_secrets_hold_however_they_are_damaged() {
    let stack = Stack::start().await;
    let (operator, agent) = (Operator::new(&stack), Agent::new(&stack));
    let key = canaries();
    for value in [
        json!({"webhook_secret": CANARY, "app_id": CANARY, "private_key": key}),
        json!({"webhook_secret": {CANARY: CANARY}, "app_id": 1, "private_key": [key]}),
        json!({"webhook_secret": CANARY, "installations": [CANARY], "app_id": 1, "client_id": CANARY, "private_key": CANARY}),
        json!([CANARY, key]),
        json!(format!("{{{key}")),
    ] {
        for id in [WEBHOOK_SECRET_ID, APP_SECRET_ID] {
            // A version that is malformed takes no good one before it out of service, so there must be none.
            for _ in 0..2 {
                stack.secrets.put(id, &value).await;
            }
        }
        for function in ["webhook", "token", "reconcile"] {
            stack.lambda.kill_environments(function);
        }
        let body = json!({"zen": CANARY, "hook_id": 1}).to_string();
        for signature in [sign(CANARY, body.as_bytes()), format!("sha256={CANARY}")] {
            let request = stack.http.post(stack.front.url()).header("x-hub-signature-256", signature);
            let answer = request.header("x-github-event", "ping").body(body.clone()).send().await.unwrap();
            clean(&answer.text().await.unwrap());
        }
        let refused = stack.lambda.invoke("token", json!({})).await.unwrap_err();
        clean(&refused.message);
        let _ = stack.lambda.invoke("reconcile", json!({"resync": "all"})).await;
        for arguments in [&["verify"][..], &["configure", "--rotate", "webhook-secret"]] {
            clean(&format!("{:?}", operator.cli(arguments).await));
        }
        clean(&format!("{:?}", agent.cli(&["token"]).await));
    }
    assert_logs_are_clean(&stack);
}

#[tokio::test]
async fn no_answer_or_log_repeats_what_github_and_aws_say_to_webhook_and_reconcile() {
    let stack = Stack::start().await;
    stack.secrets.put(WEBHOOK_SECRET_ID, &json!({"webhook_secret": CANARY})).await;
    stack.create_task(TASK, &canaries(), "pr_submitted");
    let number = stack.github.open_pull_request(REPOSITORY, fake_github::NewPullRequest::titled(TAG)).number();
    let deliver = async || {
        let body = merged(&format!("{} {TAG}", canaries()), 2).bytes();
        let signature = sign(CANARY, &body);
        let request = stack.http.post(stack.front.url()).header("x-hub-signature-256", signature);
        let answer = request.header("x-github-event", "pull_request").body(body).send().await.unwrap();
        answer.text().await.unwrap()
    };
    for fault in [None, Some(local_aws::Fault::AccessDenied), Some(local_aws::Fault::ServerError)] {
        if let Some(fault) = fault {
            stack.dynamodb.fail(Rule::new(fault));
        }
        clean(&deliver().await);
        stack.dynamodb.clear_faults();
    }
    let errors = json!([{"type": "FORBIDDEN", "message": canaries(), "path": [canaries()]}]);
    let json = json!({"message": canaries(), "errors": errors, "data": null}).to_string();
    let page = vec![("content-type".to_owned(), "text/html".to_owned())];
    let of_json = [200, 401, 403, 404, 410, 422, 429, 451, 500].map(|status| (status, json.clone(), vec![]));
    let of_pages = [200, 404, 502].map(|status| (status, canaries(), page.clone()));
    for (status, body, headers) in of_json.into_iter().chain(of_pages) {
        // All that reconcile asks, the lists of an installation included.
        for path in ["graphql", "/repos", "/installation/"] {
            stack.github.fault(Fault::always(path, FaultKind::Status(status, body.clone(), headers.clone())));
        }
        for event in [
            json!({"repository": REPOSITORY, "number": number}),
            json!({"resync": REPOSITORY}),
            json!({"resync": canaries()}),
            json!({"resync": "all"}),
            json!({"schedule": "due"}),
        ] {
            let answer = stack.lambda.invoke("reconcile", event).await;
            clean(&answer.map_or_else(|error| error.message, |answer: Value| answer.to_string()));
        }
        stack.github.clear_faults();
        for item in stack.dynamodb.scan("PullRequests") {
            clean(&format!("{}{}", item["failing"], item["blocked"]));
        }
        // What it heeds of a limit would keep the next status from being met.
        for item in stack.dynamodb.scan("PullRequests").iter().filter(|item| item.get("blocked").is_some()) {
            let mut open = item.clone();
            open.as_object_mut().unwrap().remove("blocked");
            stack.dynamodb.put("PullRequests", &open);
        }
    }
    assert_logs_are_clean(&stack);
}

#[tokio::test]
async fn reconcile_repeats_nothing_that_aws_says_of_the_token_function() {
    let stack = Stack::start().await;
    stack.lambda.set_variable("reconcile", "TOKEN_FUNCTION", "nobody-made-this");
    let asked = stack.lambda.invoke("reconcile", json!({"resync": REPOSITORY, "installation_id": 7})).await.unwrap();
    stack.lambda.invoke("reconcile", json!({"schedule": "due"})).await.unwrap();
    let said = [asked.to_string(), stack.lambda.logs("reconcile").join("\n")];
    assert!(said.iter().all(|said| said.contains("ResourceNotFoundException")), "{said:?}");
    let stored: Vec<_> = stack.dynamodb.scan("PullRequests").iter().map(Value::to_string).collect();
    for said in said.into_iter().chain(stored) {
        assert!(!said.contains("arn:") && !said.contains("nobody-made-this"), "{said}");
    }
}
