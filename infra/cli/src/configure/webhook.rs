//! The webhook's side: its secret, who knows of it, and the proof that GitHub gets through.

use std::collections::BTreeSet;
use std::time::Duration;

use adapters::config::check_https;
use adapters::github::{HookConfig, HookConfigUpdate, Installation};
use domain::contract::secrets::{self, WebhookSecret};
use domain::ids::HookDeliveryId;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::github_app::GitHubApp;
use crate::output::Progress;
use crate::prompt;
use crate::secret::{AT_GITHUB, CURRENT, Current, ManagedSecret, Stages, Written};
use crate::stack::Stack;

/// Every environment of the webhook looks for a new secret when it has none or meets a signature that does not fit, at most once in 30 s
/// (`adapters::secrets::REFRESH_INTERVAL`): this long after it was written none refuses it.
const UNTIL_EVERYBODY_KNOWS: Duration = Duration::from_secs(35);

/// How long a redelivery may take to be listed.
const REDELIVERED_WITHIN: Duration = Duration::from_secs(30);

/// How many deliveries are looked through for a ping.
const LOOKED_THROUGH: usize = 500;

/// The URL that GitHub is to deliver to.
pub(crate) fn url(given: Option<&str>, stack: &Stack) -> Result<String, Failure> {
    let url = given.unwrap_or(&stack.webhook_url).to_owned();
    check_https(&url).map_err(|reason| Failure::new(format!("the webhook URL cannot be used: {reason}")))?;
    Ok(url)
}

/// A webhook that is in use elsewhere is taken away from there only on purpose.
pub(super) fn confirm_another_url(hook: &HookConfig, url: &str, yes: bool, progress: Progress) -> Result<(), Failure> {
    match &hook.url {
        Some(now) if now != url => {
            prompt::confirm(&format!("GitHub delivers to {now}. Shall it deliver to {url} from now on?"), yes, progress)
        }
        _ => Ok(()),
    }
}

/// The value of the webhook's secret: what it is to be, with everything else that is in it.
pub(crate) struct WebhookSecretValue {
    value: SecretString,
    signing: SecretString,
    /// What it was made from.
    over: Current,
}

impl WebhookSecretValue {
    /// The value with this secret, or with the one it has, and with the installation that is being configured among those that are
    /// served. There is always a list: strangers may install an App, and must not move tasks.
    pub(crate) async fn next(
        secret: &ManagedSecret<'_>,
        signing: Option<SecretString>,
        installation: &Installation,
        progress: Progress,
    ) -> Result<Self, Failure> {
        let over = secret.current().await?;
        let mut fields = fields(&over);
        let listed = secrets::installations(&fields);
        let listed = listed.map_err(|reason| Failure::new(format!("the secret {}: {reason}", secret.id())))?;
        if listed.is_none() {
            let (id, account) = (installation.id, installation.account.name());
            progress.say(&format!("From now on only events of the installation {id} ({account}) are taken."));
        }
        let mut served = listed.unwrap_or_default();
        if !served.contains(&installation.id) {
            served.push(installation.id);
        }
        fields.insert("installations".to_owned(), json!(served));
        Self::of(fields, signing, over, secret)
    }

    /// The value with this secret and nothing else changed.
    pub(super) async fn replaced(secret: &ManagedSecret<'_>, signing: SecretString) -> Result<Self, Failure> {
        let over = secret.current().await?;
        Self::of(fields(&over), Some(signing), over, secret)
    }

    /// The value that is in service.
    pub(crate) async fn current(secret: &ManagedSecret<'_>) -> Result<Self, Failure> {
        let over = secret.current().await?;
        Self::of(fields(&over), None, over, secret)
    }

    fn of(
        mut fields: Map<String, Value>,
        signing: Option<SecretString>,
        over: Current,
        secret: &ManagedSecret<'_>,
    ) -> Result<Self, Failure> {
        if let Some(signing) = &signing {
            fields.insert("webhook_secret".to_owned(), json!(signing.expose_secret()));
        }
        let value = SecretString::from(Value::Object(fields).to_string());
        let read: WebhookSecret = secrets::parse(&value).map_err(|reason| {
            Failure::new(format!(
                "the webhook secret {} cannot be used, {reason}: give one with --webhook-secret-file, such as \
                 `openssl rand -hex 32` prints",
                secret.id()
            ))
        })?;
        secret.check_size(&value)?;
        // What people store may end with a line break, and what they type into GitHub's form cannot.
        Ok(Self { value, signing: read.trimmed(), over })
    }

    /// Whether deliveries are signed as the version in service says already.
    pub(super) fn is_in_service(&self) -> bool {
        let current = self.over.value.as_ref().and_then(|value| secrets::parse::<WebhookSecret>(value).ok());
        current.is_some_and(|current| current.trimmed().expose_secret() == self.signing.expose_secret())
    }

    pub(crate) async fn write(&self, secret: &ManagedSecret<'_>) -> Result<(Written, String), Failure> {
        secret.write(&self.value, &self.over).await
    }

    /// Refuses to write while GitHub signs with the version before the current one: it would go out of service.
    pub(crate) async fn check_rotation(&self, secret: &ManagedSecret<'_>) -> Result<(), Failure> {
        let current = self.over.value.as_ref();
        let writes = current.is_none_or(|current| current.expose_secret() != self.value.expose_secret());
        if writes && is_unfinished(&secret.stages().await?) {
            return Err(Failure::new(format!(
                "an earlier rotation has not reached GitHub yet: finish it with `{} configure --rotate webhook-secret`, \
                 then set another secret",
                crate::NAME
            )));
        }
        Ok(())
    }
}

/// What the current version holds, and nothing if that is no JSON object: it will be written anew.
fn fields(current: &Current) -> Map<String, Value> {
    current.value.as_ref().and_then(|current| secrets::fields(current).ok()).unwrap_or_default()
}

/// Whether a version was written that GitHub was never told of: it still signs with another one.
pub(crate) fn is_unfinished(stages: &Stages) -> bool {
    stages.get(AT_GITHUB).is_some_and(|version| stages.get(CURRENT) != Some(version))
}

/// Puts the secret into service and lets GitHub sign with it: in this order, and with time between them where GitHub is
/// delivering here already.
pub(crate) async fn hand_over(
    github: &GitHubApp,
    secret: &ManagedSecret<'_>,
    next: &WebhookSecretValue,
    url: &str,
    progress: Progress,
) -> Result<(), Failure> {
    let in_use = github.hook_config().await?.url.as_deref() == Some(url);
    let before = secret.stages().await?;
    if let (true, None, Some(current)) = (in_use, before.get(AT_GITHUB), before.get(CURRENT)) {
        // Set up by hand: what is current is what GitHub signs with.
        secret.label(AT_GITHUB, current).await?;
    }
    let (written, current) = next.write(secret).await?;
    if written == Written::New {
        progress.say("Stored the webhook secret.");
    }
    let stages = secret.stages().await?;
    if in_use && is_unfinished(&stages) {
        let seconds = UNTIL_EVERYBODY_KNOWS.as_secs();
        progress.say(&format!("Waiting {seconds} s until every function accepts the new webhook secret..."));
        tokio::time::sleep(UNTIL_EVERYBODY_KNOWS).await;
    }
    // A laptop may have slept meanwhile. Of a version that two others have replaced no function knows any more, and GitHub must not sign
    // with it.
    secret.check_in_service(&current).await?;
    let update = HookConfigUpdate { url, content_type: "json", secret: Some(next.signing.expose_secret()) };
    github.update_hook_config(&update).await?;
    secret.label(AT_GITHUB, &current).await?;
    progress.say(&format!("GitHub delivers to {url} and signs with the stack's secret."));
    Ok(())
}

/// What became of a ping.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Ping {
    Answered {
        status: u16,
        answer: String,
    },
    /// GitHub keeps deliveries for 3 days.
    NoneOnRecord,
    NotSeen,
}

/// Lets GitHub deliver its recorded ping again, and shows what was answered.
pub(crate) async fn ping(github: &GitHubApp, progress: Progress) -> Result<Ping, Failure> {
    let mut pinged = ping_once(github).await?;
    if let Ping::Answered { status: status @ (401 | 503), .. } = pinged {
        // An environment that looked for a new secret just before it was there looks again after 30 s.
        progress.say(&format!("The ping was answered {status}; once more in {} s...", UNTIL_EVERYBODY_KNOWS.as_secs()));
        tokio::time::sleep(UNTIL_EVERYBODY_KNOWS).await;
        pinged = ping_once(github).await?;
    }
    progress.say(&match &pinged {
        Ping::Answered { status, answer } => format!("ping → {status} {answer}"),
        Ping::NoneOnRecord => {
            "GitHub has no ping on record any more: the first event will prove the webhook.".to_owned()
        }
        Ping::NotSeen => "The ping is on its way: Recent deliveries in the App's settings show its answer.".to_owned(),
    });
    Ok(pinged)
}

async fn ping_once(github: &GitHubApp) -> Result<Ping, Failure> {
    let known = github.deliveries(LOOKED_THROUGH).await?;
    let Some(recorded) = known.iter().find(|delivery| delivery.event == "ping") else { return Ok(Ping::NoneOnRecord) };
    let before: BTreeSet<HookDeliveryId> = known.iter().map(|delivery| delivery.id).collect();
    github.redeliver(recorded.id).await?;
    let mut waited = Duration::ZERO;
    while waited < REDELIVERED_WITHIN {
        let latest = github.deliveries(100).await?;
        let redelivered =
            latest.iter().find(|delivery| delivery.guid == recorded.guid && !before.contains(&delivery.id));
        if let Some(delivery) = redelivered {
            let detail = github.delivery(delivery.id).await?;
            let answer = detail.response.payload.unwrap_or_default();
            let answer = if answer.is_empty() { delivery.status.clone() } else { answer };
            return Ok(Ping::Answered { status: delivery.status_code, answer });
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        waited += Duration::from_secs(1);
    }
    Ok(Ping::NotSeen)
}
