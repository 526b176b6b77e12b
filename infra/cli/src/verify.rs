//! `verify`: everything that has to hold for the App to work, looked at one by one.
//!
//! Each line of the guide's "Step 7" and "Troubleshooting" is a check with a name that stays, a verdict, what was seen, and
//! what to do next where it does not hold. A failure stops only the checks that need what it would have given. Nothing is
//! written anywhere: what is found here, `configure` repairs.

mod app;
mod clone;
mod deliveries;
mod pull_request;
mod report;
mod resources;
mod task;

use clap::Args;
use domain::ids::RepositoryName;

use crate::aws::Account;
use crate::failure::Failure;
use crate::output::Progress;
use crate::stack::{self, Stack};
use crate::subject::{self, Subject};
use crate::task::repository;
use report::{Given, Report};

pub(crate) use report::{Check, counted};

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app verify
  With a pull request that has a kid tag, as the guide's last step:
    konduktor-github-app verify --pull-request acme/app#42
  A webhook behind a tunnel, and a repository of choice to clone:
    konduktor-github-app verify --clone acme/app \\
      --webhook-url https://tunnel.example.com/api/webhooks/github
  For scripts:
    konduktor-github-app verify --json |
      jq '.checks[] | select(.verdict == \"failed\")'";

/// Check that everything holds: stack, functions, tables, secrets, App, installation, webhook, tokens, clone
///
/// Every check has a verdict: ok, failed, unproven where nothing has shown it yet, or skipped because it needs one that failed. A failed
/// one says what to do next. The exit status is 0 if none failed. Nothing is written or delivered again; a token may be minted into the cache.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: stack::Name,
    /// The webhook's URL, where it is not the stack's own
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// The repository to clone [default: the first private one that the installation opens]
    #[arg(long, value_name = "OWNER/NAME", value_parser = repository)]
    clone: Option<RepositoryName>,
    /// Also find this task
    #[arg(long, value_name = subject::NAME, value_parser = subject::parse)]
    task: Option<Subject>,
    /// Also follow this pull request: its tag, its delivery, whether it merges, and what its merge moves
    #[arg(long, value_name = "URL", value_parser = subject::parse)]
    pull_request: Option<Subject>,
    /// Print one JSON object: ok, and checks with name, verdict, seen, next and needs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    report(&arguments, account).await.finish()
}

/// What the checks find with nothing said otherwise, told to the caller alone.
pub(crate) async fn look(stack: &str, account: &Account) -> Vec<Check> {
    let stack = stack::Name::of(stack);
    let nothing_else = Arguments { stack, webhook_url: None, clone: None, task: None, pull_request: None, json: true };
    report(&nothing_else, account).await.checks
}

async fn report(arguments: &Arguments, account: &Account) -> Report {
    let mut report = Report::new(arguments.json);
    // The list is the answer, also of a person's redirected output: what is being done goes beside it.
    let progress = Progress::BesideJson;
    let stack = match Stack::find(&arguments.stack, account).await {
        Ok(stack) => {
            // A stack in a bad state is looked into all the same.
            report.check("stack", async { resources::state(&stack) }).await;
            Ok(stack)
        }
        Err(failure) => report.learn("stack", async { Err(failure.into()) }).await,
    };
    all(&mut report, &stack, arguments, account, progress).await;
    report
}

async fn all(report: &mut Report, stack: &Given<Stack>, arguments: &Arguments, account: &Account, progress: Progress) {
    let stack = stack.as_ref();
    report.check("webhook-function", async { resources::webhook_function(stack?).await }).await;
    report.check("reconcile-function", async { resources::reconcile_function(stack?).await }).await;
    report.check("token-function", async { resources::token_function(stack?).await }).await;
    report.check("tasks-table", async { resources::tasks_table(stack?).await }).await;
    report.check("pull-requests-table", async { resources::pull_requests_table(stack?).await }).await;
    report.check("tokens-table", async { resources::tokens_table(stack?).await }).await;

    let webhook_secret = report.learn("webhook-secret", async { app::webhook_secret(stack?).await }).await;
    let webhook_secret = webhook_secret.as_ref();
    let told = async {
        webhook_secret?;
        app::told(stack?).await
    };
    let told = report.learn("webhook-secret-at-github", told).await;
    let app_secret = report.learn("app-secret", async { app::app_secret(stack?).await }).await;
    let app_secret = app_secret.as_ref();
    let served = async {
        app_secret?;
        app::served(webhook_secret?)
    };
    report.check("served-installations", served).await;
    let key = report.learn("key", async { app::key(app_secret?) }).await;
    let app = report.learn("app", async { app::identify(stack?, app_secret?, key?, progress).await }).await;
    let app = app.as_ref();
    report.check("clock", async { app::clock(app?) }).await;
    report.check("app-permissions", async { app::permissions(app?) }).await;
    // One that is empty was named as such.
    let served = webhook_secret.ok().and_then(|secret| secret.installations.as_deref()).filter(|ids| !ids.is_empty());
    let installations = async { app::installation(app?, app_secret?, served).await };
    let installations = report.learn("installation", installations).await;
    let installations = installations.as_deref();
    report.check("installation-permissions", async { app::granted(installations?, served) }).await;

    let url = stack.map(|stack| arguments.webhook_url.as_deref().unwrap_or(&stack.webhook_url));
    report.check("webhook-config", async { app::webhook(app?, url?).await }).await;
    let told = told.unwrap_or(false);
    report.check("deliveries", async { deliveries::check(app?, stack?, url?, told, progress).await }).await;

    let repository = arguments.clone.as_ref();
    let token = async {
        // The function will say the same in other words.
        if let Err(lacking) = installations
            && lacking.was_seen
        {
            return Err(lacking.into());
        }
        clone::token(stack?, repository, progress).await
    };
    let token = report.learn("token", token).await;
    let token = token.as_ref();
    report.check("clone", async { clone::check(stack?, token?, repository, account, progress).await }).await;
    if let Some(named) = &arguments.task {
        report.check("task", async { task::check(stack?, named).await }).await;
    }
    if let Some(named) = &arguments.pull_request {
        report.check("pull-request", async { pull_request::check(stack?, named, progress).await }).await;
    }
}
