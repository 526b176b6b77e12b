//! `configure`: gives the deployed stack its GitHub App, and GitHub the stack's webhook.
//!
//! Everything is looked at before anything is stored, and each thing that is stored is whole: the App's secret is put into
//! service after a token was minted with what is in it, the webhook's before GitHub signs with it. So it may be
//! interrupted anywhere and run again.

mod answers;
mod app;
mod rotate;
mod webhook;

use std::path::PathBuf;

use adapters::github::Installation;
use clap::{Args, ValueEnum};
use domain::ids::{InstallationId, Issuer};
use serde_json::{Value, json};

use crate::aws::Account;
use crate::failure::Failure;
use crate::github_app::GitHubApp;
use crate::last_account;
use crate::output::{self, Progress};
use crate::secret::{CREATED, Current, ManagedSecret};
use crate::stack::{self, Stack};

pub(crate) use answers::key;
pub(crate) use app::{AppSecretValue, confirm_another_app, installation, mintable, parsed, store};
pub(crate) use webhook::{Ping, WebhookSecretValue, hand_over, is_unfinished, ping, url};

const EXAMPLES: &str = "\
Examples:
  Ask for everything:
    konduktor-github-app configure
  For scripts (the secret that the stack generated is kept):
    konduktor-github-app configure --app-id 123456 --pem app.pem --yes --json
  Take over a self-hosted server, from ~/.konduktor, KONDUKTOR_DIR or a folder:
    konduktor-github-app configure --from /opt/konduktor/data
  A new webhook secret, and a day later the old one out of service:
    konduktor-github-app configure --rotate webhook-secret
    konduktor-github-app configure --rotate webhook-secret --retire-previous
  A new private key, generated in the App's settings:
    konduktor-github-app configure --rotate key --pem app.2026-11-24.pem";

/// Set the GitHub App up: store its key and the webhook's secret, point GitHub at the webhook, and prove both
///
/// What is not given is asked for. Secrets come from files or the terminal, never from arguments, which every process of
/// the machine can read. It can be run again at any time, and stores only what has changed.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: stack::Name,
    /// The App ID, or the client id, from the App's settings
    #[arg(long, value_name = "ID", value_parser = str::parse::<Issuer>)]
    app_id: Option<Issuer>,
    /// The private key that GitHub let you download; - reads standard input
    #[arg(long, value_name = "FILE")]
    pem: Option<PathBuf>,
    /// A file with the webhook secret, where the generated one is not to be used; - reads standard input
    #[arg(long, value_name = "FILE")]
    webhook_secret_file: Option<PathBuf>,
    /// The installation whose repositories are meant, where the App has several
    #[arg(long, value_name = "ID")]
    installation_id: Option<InstallationId>,
    /// Take over the set-up of a self-hosted server: github-app.json and github-app.pem [default: KONDUKTOR_DIR, else
    /// ~/.konduktor]
    #[arg(long, value_name = "DIR", num_args = 0..=1, conflicts_with_all = ["app_id", "pem", "webhook_secret_file"])]
    from: Option<Option<PathBuf>>,
    /// Replace one secret of an App that is configured, without a refused delivery or a failed token in between
    #[arg(long, value_name = "WHICH", conflicts_with_all = ["app_id", "from", "installation_id", "no_webhook"])]
    rotate: Option<Rotated>,
    /// The end of a rotation: take the previous one out of service
    #[arg(long, requires = "rotate", conflicts_with_all = ["pem", "webhook_secret_file"])]
    retire_previous: bool,
    /// The webhook's URL, where it is not the stack's own
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Leave the webhook's URL and secret at GitHub as they are
    #[arg(long)]
    no_webhook: bool,
    /// Answer every question with yes
    #[arg(long)]
    yes: bool,
    /// Print what was done as JSON; what happens meanwhile goes to standard error
    #[arg(long)]
    json: bool,
}

/// What can be rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Rotated {
    /// What GitHub signs deliveries with
    WebhookSecret,
    /// The App's private key
    Key,
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    match arguments.rotate {
        Some(rotated) => rotate::run(rotated, &arguments, account).await,
        None => configure(&arguments, account).await,
    }
}

async fn configure(arguments: &Arguments, account: &Account) -> Result<(), Failure> {
    let progress = Progress::new(arguments.json);
    let given = answers::Given::of(arguments)?;
    // Who has no credentials, or no stack, is told before typing anything.
    let stack = Stack::find(&arguments.stack, account).await?;
    last_account::confirm(&stack, arguments.yes, progress)?;
    let webhook_url = webhook::url(arguments.webhook_url.as_deref(), &stack)?;
    let answers = given.ask(progress)?;
    progress.say(&format!("Key fingerprint: SHA256:{}", answers.key.fingerprint()));
    let github = GitHubApp::identify(&stack.github_api_url, &answers.app_id, answers.key, progress).await?;
    introduce(&github, progress);
    let installation = app::installation(&github, answers.installation_id, progress).await?;

    let (id, called) = (Issuer::App(github.app.id), format!("the App {} ({})", github.app.id, github.app.name));
    let app_secret = ManagedSecret::new(&stack.session, &stack.app_secret);
    let in_service = app_secret.current().await?;
    app::confirm_another_app(&in_service, Some(&id), &called, arguments.yes, progress)?;
    let webhook_secret = ManagedSecret::new(&stack.session, &stack.webhook_secret);
    let signing = WebhookSecretValue::next(&webhook_secret, answers.webhook_secret, &installation, progress).await?;
    signing.check_rotation(&webhook_secret).await?;
    let hook = github.hook_config().await?;
    let told = (!arguments.no_webhook).then_some(webhook_url.as_str());
    if told.is_some() {
        webhook::confirm_another_url(&hook, &webhook_url, arguments.yes, progress)?;
    }
    let summary = put_into_service(&stack, &github, &installation, &in_service, &signing, told, progress).await?;
    if arguments.json { output::write_json(summary.to_string()) } else { Ok(()) }
}

/// Proves the App, stores it, lets GitHub deliver to the URL if one is given, and sees a ping answered. Gives what was
/// done.
pub(crate) async fn put_into_service(
    stack: &Stack,
    github: &GitHubApp,
    installation: &Installation,
    in_service: &Current,
    signing: &WebhookSecretValue,
    webhook_url: Option<&str>,
    progress: Progress,
) -> Result<Value, Failure> {
    let app_secret = ManagedSecret::new(&stack.session, &stack.app_secret);
    let webhook_secret = ManagedSecret::new(&stack.session, &stack.webhook_secret);
    mintable(github, installation.id, progress).await?;
    let value = AppSecretValue::new(&github.app, &github.pem(), Some(installation.id));
    let app_written = store(&app_secret, &value, in_service, progress).await?;
    app_secret.unlabel(CREATED).await?;
    let (webhook, pinged) = match webhook_url {
        None => {
            signing.write(&webhook_secret).await?;
            progress.say("The webhook at GitHub is left as it is.");
            ("left", None)
        }
        Some(url) => {
            hand_over(github, &webhook_secret, signing, url, progress).await?;
            ("set", Some(ping(github, progress).await?))
        }
    };
    if let Some(Ping::Answered { status, .. }) = &pinged
        && *status != 200
    {
        return Err(Failure::new(format!(
            "everything is stored, but the ping was answered {status}: `{} verify` looks for the reason",
            crate::NAME
        )));
    }
    progress.say("GitHub App configured.");
    Ok(json!({
        "app_id": github.app.id,
        "client_id": github.app.client_id,
        "slug": github.app.slug,
        "fingerprint": github.fingerprint(),
        "installation_id": installation.id,
        "account": installation.account.name(),
        "app_secret": app::written(app_written),
        "webhook": webhook,
        "webhook_url": webhook_url,
        "ping": pinged,
    }))
}

/// Says which App the key turned out to be of, and how far the clocks are apart.
pub(crate) fn introduce(github: &GitHubApp, progress: Progress) {
    progress.say(&format!("App: {} (App ID {}, {})", github.app.name, github.app.id, github.app.html_url));
    let seconds = github.clock_offset.as_secs();
    if seconds != 0 {
        let (apart, side) = (seconds.unsigned_abs(), if seconds > 0 { "behind" } else { "ahead of" });
        progress.say(&format!("This machine's clock is {apart} s {side} GitHub's; the difference is corrected."));
    }
}
