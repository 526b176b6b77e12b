//! `verify`: everything that has to hold for the App to work, looked at one by one.
//!
//! Each line of the guide's "Step 7" and "Troubleshooting" is a check with a name that stays, a verdict, what was seen, and
//! what to do next where it does not hold. A failure stops only the checks that need what it would have given. Nothing is
//! written anywhere: what is found here, `configure` repairs.

mod app;
mod clone;
mod deliveries;
mod report;
mod resources;
mod task;

use clap::Args;

use crate::aws::Account;
use crate::failure::Failure;
use crate::output::Progress;
use crate::stack::{self, Stack};
use crate::subject::{self, Subject};
use crate::task::repository;
use report::{Given, Lacking, Report};

const EXAMPLES: &str = "\
Examples:
  konduktor-github-app verify
  Why did this card not move?
    konduktor-github-app verify --task 4d9d444d
  A webhook behind a tunnel, and a repository of choice to clone:
    konduktor-github-app verify --webhook-url https://tunnel.example.com/api/webhooks/github --clone acme/app
  For scripts:
    konduktor-github-app verify --json | jq '.checks[] | select(.verdict == \"failed\")'";

/// Check that everything holds: stack, functions, tables, secrets, App, installation, webhook, tokens, clone
///
/// Every check has a verdict, ok, failed or skipped because it needs one that failed, and a failed one says what to do
/// next. The exit status is 0 if none failed. Nothing is written or delivered again; a token may be minted into the cache.
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
    clone: Option<String>,
    /// Also find this task
    #[arg(long, value_name = subject::NAME, value_parser = subject::parse)]
    task: Option<Subject>,
    /// Print one JSON object: ok, and checks with name, verdict, seen, next and needs
    #[arg(long)]
    json: bool,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let mut report = Report::new(arguments.json);
    // The list is the answer, also of a person's redirected output: what is being done goes beside it.
    let progress = Progress::BesideJson;
    let stack = match Stack::find(&arguments.stack, account).await {
        Ok(stack) => {
            report.add("stack", resources::state(&stack));
            Ok(stack)
        }
        Err(failure) => report.learn("stack", Err(failure.into())),
    };
    all(&mut report, given(&stack), &arguments, account, progress).await;
    report.finish()
}

async fn all(report: &mut Report, stack: Given<&Stack>, arguments: &Arguments, account: &Account, progress: Progress) {
    report.check("webhook-function", stack, resources::webhook_function).await;
    report.check("reconcile-function", stack, resources::reconcile_function).await;
    report.check("token-function", stack, resources::token_function).await;
    report.check("tasks-table", stack, resources::tasks_table).await;
    report.check("pull-requests-table", stack, resources::pull_requests_table).await;
    report.check("tokens-table", stack, resources::tokens_table).await;

    let webhook_secret = report.check_for("webhook-secret", stack, app::webhook_secret).await;
    let webhook_secret = given(&webhook_secret);
    let told = report.check_for("webhook-secret-at-github", both(stack, webhook_secret), app::told).await;
    let app_secret = report.check_for("app-secret", stack, app::app_secret).await;
    let app_secret = given(&app_secret);
    let key = report.check_for("key", app_secret, app::key).await;
    let app = async |(stack, (secret, key))| app::identify(stack, secret, key, progress).await;
    let app = report.check_for("app", both(stack, both(app_secret, key)), app).await;
    let app = given(&app);
    report.check("clock", app, app::clock).await;
    report.check("app-permissions", app, app::permissions).await;
    let served = webhook_secret.ok().and_then(|secret| secret.installations.as_deref());
    let installations = async |(app, secret)| app::installation(app, secret, served).await;
    let installations = report.check_for("installation", both(app, app_secret), installations).await;
    let granted = async |all: &Vec<_>| app::granted(all, served);
    report.check("installation-permissions", given(&installations), granted).await;

    let url = stack.map(|stack| arguments.webhook_url.as_deref().unwrap_or(&stack.webhook_url));
    report.check("webhook-config", both(app, url), app::webhook).await;
    let told = told.unwrap_or(false);
    let recent = async |(app, (stack, url))| deliveries::check(app, stack, url, told, progress).await;
    report.check("deliveries", both(app, both(stack, url)), recent).await;

    let repository = arguments.clone.as_deref();
    let mint = async |stack| clone::token(stack, repository, progress).await;
    let token = match installations {
        // The function will say the same in other words.
        Err(lacking) if lacking.was_seen => report.skip("token", lacking),
        _ => report.check_for("token", stack, mint).await,
    };
    let clone = async |(stack, token)| clone::check(stack, token, repository, account, progress).await;
    report.check("clone", both(stack, given(&token)), clone).await;
    if let Some(named) = &arguments.task {
        report.check("task", stack, async |stack| task::check(stack, named).await).await;
    }
}

fn given<T>(given: &Given<T>) -> Given<&T> {
    given.as_ref().map_err(|lacking: &Lacking| *lacking)
}

fn both<A, B>(one: Given<A>, other: Given<B>) -> Given<(A, B)> {
    Ok((one?, other?))
}
