//! `configure --rotate`: a new secret in place of one that is in service.
//!
//! The functions accept AWSCURRENT and AWSPREVIOUS. The webhook's secret is written first and told to GitHub once every
//! environment will look for it; a new key is proved first and written then, while GitHub still knows the old one.

use adapters::github::app::AppKey;
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use uuid::Uuid;

use super::webhook::{Ping, WebhookSecretValue, hand_over, is_unfinished, ping};
use super::{Arguments, Rotated, answers, app, introduce};
use crate::aws::Account;
use crate::failure::Failure;
use crate::github_app::{self, GitHubApp};
use crate::last_account;
use crate::output::{self, Progress};
use crate::secret::{ManagedSecret, PREVIOUS};
use crate::stack::Stack;

pub(super) async fn run(rotated: Rotated, arguments: &Arguments, account: &Account) -> Result<(), Failure> {
    let progress = Progress::new(arguments.json);
    if rotated == Rotated::Key && arguments.webhook_secret_file.is_some() {
        return Err(Failure::new("--webhook-secret-file goes with --rotate webhook-secret"));
    }
    if rotated == Rotated::WebhookSecret && arguments.pem.is_some() {
        return Err(Failure::new("--pem goes with --rotate key"));
    }
    let done = match (rotated, arguments.retire_previous) {
        (Rotated::WebhookSecret, false) => webhook_secret(arguments, account, progress).await?,
        (Rotated::WebhookSecret, true) => retire_webhook_secret(arguments, account, progress).await?,
        (Rotated::Key, false) => key(arguments, account, progress).await?,
        (Rotated::Key, true) => retire_key(arguments, account, progress).await?,
    };
    if arguments.json { output::write_json(done.to_string()) } else { Ok(()) }
}

async fn webhook_secret(
    arguments: &Arguments,
    account: &Account,
    progress: Progress,
) -> Result<serde_json::Value, Failure> {
    let given = arguments.webhook_secret_file.as_deref().map(answers::read).transpose()?;
    let given = given.map(|text| answers::webhook_secret(&text)).transpose()?;
    let stack = Stack::find(&arguments.stack, account).await?;
    last_account::confirm(&stack, arguments.yes, progress)?;
    let url = super::webhook::url(arguments.webhook_url.as_deref(), &stack)?;
    let github = configured(&stack, progress).await?;
    super::webhook::confirm_another_url(&github.hook_config().await?, &url, arguments.yes, progress)?;
    let secret = ManagedSecret::new(&stack.session, &stack.webhook_secret);
    let unfinished = is_unfinished(&secret.stages().await?);
    let next = match given {
        Some(given) => WebhookSecretValue::replaced(&secret, given).await?,
        None if unfinished => {
            progress.say("Finishing the rotation that was begun before.");
            WebhookSecretValue::current(&secret).await?
        }
        None => WebhookSecretValue::replaced(&secret, random()).await?,
    };
    if next.is_in_service() && !unfinished {
        return Err(Failure::new(format!(
            "this is the webhook secret that is in service: without --webhook-secret-file a new one is made up. Nothing was \
             changed; if GitHub signs with another one, run `{} configure`",
            crate::NAME
        )));
    }
    next.check_rotation(&secret).await?;
    hand_over(&github, &secret, &next, &url, progress).await?;
    let pinged = ping(&github, progress).await?;
    if let Ping::Answered { status, .. } = &pinged
        && *status != 200
    {
        return Err(Failure::new(format!(
            "GitHub signs with the new webhook secret, but its ping was answered {status}: `{} verify` looks for the reason",
            crate::NAME
        )));
    }
    progress.say(&format!(
        "Webhook secret rotated. The previous one is accepted until `{} configure --rotate webhook-secret \
         --retire-previous`.",
        crate::NAME
    ));
    Ok(json!({"rotated": "webhook-secret", "ping": pinged}))
}

async fn retire_webhook_secret(
    arguments: &Arguments,
    account: &Account,
    progress: Progress,
) -> Result<serde_json::Value, Failure> {
    let stack = Stack::find(&arguments.stack, account).await?;
    last_account::confirm(&stack, arguments.yes, progress)?;
    let secret = ManagedSecret::new(&stack.session, &stack.webhook_secret);
    let stages = secret.stages().await?;
    if is_unfinished(&stages) {
        return Err(Failure::new(format!(
            "GitHub still signs with the previous webhook secret: finish the rotation with `{} configure --rotate \
             webhook-secret` first",
            crate::NAME
        )));
    }
    let retired = secret.take_off(PREVIOUS, &stages).await?;
    progress.say(if retired {
        "The previous webhook secret is out of service; within 5 minutes no function accepts it."
    } else {
        "There is no previous webhook secret in service."
    });
    Ok(json!({"retired": retired}))
}

async fn key(arguments: &Arguments, account: &Account, progress: Progress) -> Result<serde_json::Value, Failure> {
    let pem = match &arguments.pem {
        Some(file) => answers::read(file)?,
        None => return Err(Failure::new("generate a private key in the App's settings and name the file with --pem")),
    };
    let key = answers::key(&pem)?;
    progress.say(&format!("Key fingerprint: SHA256:{}", key.fingerprint()));
    let stack = Stack::find(&arguments.stack, account).await?;
    last_account::confirm(&stack, arguments.yes, progress)?;
    let secret = ManagedSecret::new(&stack.session, &stack.app_secret);
    let in_service = secret.current().await?;
    let current = github_app::read(&secret, &in_service)?;
    if AppKey::from_pem(&current.private_key).is_ok_and(|live| live.fingerprint() == key.fingerprint()) {
        return Err(Failure::new(
            "this is the key that is in service: generate another one in the App's settings and name its file with --pem. \
             Nothing was changed; do not delete this key at GitHub",
        ));
    }
    let github = GitHubApp::identify(&stack.github_api_url, &current.app_id, key, progress).await?;
    introduce(&github, progress);
    let installation = match current.installation_id {
        Some(id) => id,
        None => app::installation(&github, None, progress).await?.id,
    };
    app::mintable(&github, installation, progress).await?;
    let value = app::AppSecretValue::new(&github.app, &github.pem(), Some(installation));
    let written = app::store(&secret, &value, &in_service, progress).await?;
    progress.say(&format!(
        "Key rotated. In 5 minutes no function uses the previous one: delete it under {} then, and take it out of service \
         with `{} configure --rotate key --retire-previous`.",
        github.app.settings_url(),
        crate::NAME
    ));
    Ok(json!({"rotated": "key", "fingerprint": github.fingerprint(), "app_secret": app::written(written)}))
}

/// The key that stays has to work before the other one goes.
async fn retire_key(
    arguments: &Arguments,
    account: &Account,
    progress: Progress,
) -> Result<serde_json::Value, Failure> {
    let stack = Stack::find(&arguments.stack, account).await?;
    last_account::confirm(&stack, arguments.yes, progress)?;
    let secret = ManagedSecret::new(&stack.session, &stack.app_secret);
    let stages = secret.stages().await?;
    let github = configured(&stack, progress).await?;
    let retired = secret.take_off(PREVIOUS, &stages).await?;
    progress.say(&if retired {
        format!("The previous key is out of service; {} stays.", github.fingerprint())
    } else {
        "There is no previous key in service.".to_owned()
    });
    Ok(json!({"retired": retired}))
}

async fn configured(stack: &Stack, progress: Progress) -> Result<GitHubApp, Failure> {
    let github = GitHubApp::of(stack, progress).await?;
    introduce(&github, progress);
    Ok(github)
}

/// 244 random bits of the system's generator, written as 64 hex digits as `openssl rand -hex 32` does.
fn random() -> SecretString {
    let half = || Uuid::new_v4().simple().to_string();
    let (one, other) = (SecretString::from(half()), SecretString::from(half()));
    format!("{}{}", one.expose_secret(), other.expose_secret()).into()
}
