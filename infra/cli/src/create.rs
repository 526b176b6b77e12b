//! `create`: makes the App itself, by GitHub's manifest flow, and sets it up.
//! <https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest>
//!
//! GitHub shows a new App's key once, in exchange for a code that is good once. So it is proved that the secret can be
//! written before there is an App, and the key is kept before anything else is done with it: under a label that no
//! function reads, so that an App that is in service stays so until this one is installed and proved. Whatever ends the
//! command after that, `create` run again goes on from there.
//!
//! The webhook secret that GitHub made up is not used. The App is told the stack's own, which every environment of the
//! webhook accepts already, before it can be installed anywhere: nothing is written, waited for or refused, but for the
//! ping that GitHub sends before it says what it signed with, and that one is delivered again at the end.

mod page;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use adapters::github::app::AppKey;
use adapters::github::{Account as Owner, App, Client, Error, NewApp};
use adapters::secrets::AppSecret;
use clap::Args;
use domain::ids::Issuer;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use uuid::Uuid;

use crate::aws::Account;
use crate::configure::{self, AppSecretValue, WebhookSecretValue};
use crate::failure::Failure;
use crate::github_app::{EVENTS, GitHubApp, PERMISSIONS, refused};
use crate::last_account;
use crate::output::{self, Progress};
use crate::prompt;
use crate::secret::{CREATED, Current, ManagedSecret};
use crate::stack::{self, Stack};
use page::{Form, Page, Redirected};

/// GitHub's own bound.
/// <https://docs.github.com/en/apps/creating-github-apps/registering-a-github-app/registering-a-github-app>
const LONGEST_NAME: usize = 34;

/// The manifest flow has to be through within an hour; an installation is waited for as long.
const HOUR: Duration = Duration::from_secs(3_600);

const BETWEEN_POLLS: Duration = Duration::from_secs(3);

/// A network that is away for a moment does not end a wait of an hour; one that stays away does.
const MOST_FAILED_POLLS: u32 = 10;

/// How long to wait before the code is exchanged once more.
const EXCHANGE_WAITS: [u64; 3] = [1, 2, 4];

/// Where the key is kept and the App is not in service yet.
const LATER: &str = "left for later: the App is made and its key is kept. Install it, then run \
                     `konduktor-github-app create` again to finish";

const HOMEPAGE: &str = "https://github.com/yakkomajuri/konduktor-oss";
const DESCRIPTION: &str =
    "Moves Konduktor's tasks with their pull requests, and lets its agents clone private repositories.";

const EXAMPLES: &str = "\
Examples:
  For your own account:
    konduktor-github-app create
  For an organization, under a name of your choice:
    konduktor-github-app create --organization acme --name konduktor-acme
  With agents that push (they need the stack's PusherPolicy, and git set up by
  `konduktor-github-app setup-git --push --function konduktor-token:pushers`):
    konduktor-github-app create --agents-push
  On a machine without a browser (forward the port of the URL that is printed,
  ssh -L PORT:127.0.0.1:PORT):
    konduktor-github-app create --no-browser";

/// Make the GitHub App, with the right permissions, events and webhook, and set it up
///
/// A local page hands what the App has to be to GitHub, where you confirm it; its key goes straight into the stack's
/// secret. Then you install the App on the account with your repositories, and a token and a ping prove it. Ended in
/// between, it goes on where it was when it is run again.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    stack: stack::Name,
    /// The App's name, which no other App or account of GitHub may have; GitHub's page lets you change it [default:
    /// konduktor- and the organization, or six random digits]
    #[arg(long, value_parser = name)]
    name: Option<String>,
    /// The organization that the App belongs to [default: your own account]
    #[arg(long, value_name = "LOGIN", value_parser = login)]
    organization: Option<String>,
    /// Let agents push too, with contents: write in place of read; only the token function's alias pushers hands it out
    #[arg(long)]
    agents_push: bool,
    /// Let other accounts install the App too
    #[arg(long)]
    public: bool,
    /// Print the page's URL only
    #[arg(long)]
    no_browser: bool,
    /// The webhook's URL, where it is not the stack's own
    #[arg(long, value_name = "URL")]
    webhook_url: Option<String>,
    /// Answer every question with yes; the page submits itself, so that only GitHub's own two clicks are left
    #[arg(long)]
    yes: bool,
    /// Print what was done as JSON; what happens meanwhile goes to standard error
    #[arg(long)]
    json: bool,
}

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    match text.chars().count() {
        1..=LONGEST_NAME => Ok(text.to_owned()),
        length => Err(format!("an App's name has 1 to {LONGEST_NAME} characters, and this one {length}")),
    }
}

/// What goes into a URL as it is.
fn login(text: &str) -> Result<String, String> {
    let fits = (1..=39).contains(&text.len()) && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if fits { Ok(text.to_owned()) } else { Err("write it as in the organization's URL: github.com/LOGIN".to_owned()) }
}

pub(crate) async fn run(arguments: Arguments, account: &Account) -> Result<(), Failure> {
    let progress = Progress::new(arguments.json);
    let stack = Stack::find(&arguments.stack, account).await?;
    last_account::confirm(&stack, arguments.yes, progress)?;
    let webhook_url = configure::url(arguments.webhook_url.as_deref(), &stack)?;
    // What would stop it at the end is better found before there is an App.
    WebhookSecretValue::current(&ManagedSecret::new(&stack.session, &stack.webhook_secret)).await?;
    let creation = Creation { arguments, stack, webhook_url, progress };
    match creation.unfinished().await? {
        Some((created, confirmed)) => {
            let _ctrl_c = CtrlC::says(LATER)?;
            creation.finish(created, &confirmed, None).await
        }
        None => creation.begin().await,
    }
}

struct Creation {
    arguments: Arguments,
    stack: Stack,
    webhook_url: String,
    progress: Progress,
}

impl Creation {
    fn app_secret(&self) -> ManagedSecret<'_> {
        ManagedSecret::new(&self.stack.session, &self.stack.app_secret)
    }

    /// The App's secret as it is now, if the App that is in service may be replaced by this one.
    async fn confirm_another_app(&self, app_id: Option<&Issuer>, called: &str) -> Result<Current, Failure> {
        let current = self.app_secret().current().await?;
        configure::confirm_another_app(&current, app_id, called, self.arguments.yes, self.progress)?;
        Ok(current)
    }

    /// The App that an earlier run made, if this one is to go on with it.
    async fn unfinished(&self) -> Result<Option<(AppSecret, Current)>, Failure> {
        let Some(created) = configure::parsed(&self.app_secret(), CREATED).await? else { return Ok(None) };
        let called = format!("the App {}", created.app_id);
        let question = format!("An earlier run made {called} and was ended. Go on with it?");
        if !prompt::usually(&question, self.arguments.yes, self.progress)? {
            return Ok(None);
        }
        self.progress.say(&format!("Going on with {called}, which an earlier run made."));
        let confirmed = self.confirm_another_app(Some(&created.app_id), &called).await?;
        Ok(Some((created, confirmed)))
    }

    async fn begin(&self) -> Result<(), Failure> {
        let confirmed = self.confirm_another_app(None, "a new App").await?;
        self.app_secret().try_writing().await?;
        let form = |redirect_url: &str| self.form(redirect_url);
        let mut page = Page::serve(form, self.arguments.yes, self.progress).await?;
        let done = self.through_github(&mut page, &confirmed).await;
        page.end().await;
        done
    }

    fn form(&self, redirect_url: &str) -> Form {
        let (host, action) = self.new_app_page();
        let owner = match &self.arguments.organization {
            Some(login) => format!("the organization {login}"),
            None => "your own account".to_owned(),
        };
        Form { action, host, owner, manifest: manifest(&self.arguments, &self.webhook_url, redirect_url) }
    }

    /// GitHub's host, and its page for a new App of the owner.
    fn new_app_page(&self) -> (String, String) {
        let github = &self.stack.github_api_url;
        let (protocol, host) = (github.protocol(), github.web_host());
        let path = match &self.arguments.organization {
            Some(login) => format!("organizations/{login}/settings/apps/new"),
            None => "settings/apps/new".to_owned(),
        };
        (host.to_owned(), format!("{protocol}://{host}/{path}"))
    }

    /// From the page to an App in service.
    async fn through_github(&self, page: &mut Page, confirmed: &Current) -> Result<(), Failure> {
        let progress = self.progress;
        let ctrl_c = CtrlC::says("ended before GitHub named an App: nothing was stored")?;
        progress.say(&format!("Create the App on this page: {}", page.url));
        if !self.arguments.no_browser && open::that_detached(&page.url).is_err() {
            progress.say("No browser could be opened: open it yourself.");
        }
        progress.say("Waiting for GitHub; Ctrl-C ends it...");
        let redirected = tokio::time::timeout(HOUR, page.redirected()).await.unwrap_or_else(|_| {
            Err(Failure::new(
                "no App was created within an hour, which is as long as GitHub goes on with a page: run this again",
            ))
        })?;
        ctrl_c.wait();
        let created = match self.receive(&redirected.code).await {
            Ok(created) => created,
            Err(failure) => {
                redirected.tell(Err(failure.to_string()));
                return Err(failure);
            }
        };
        ctrl_c.say(LATER);
        self.finish(created, confirmed, Some(redirected)).await
    }

    /// Exchanges the code for the App and its key, and keeps them.
    async fn receive(&self, code: &str) -> Result<AppSecret, Failure> {
        let NewApp { app, pem, .. } = self.exchange(code).await?;
        let differences = self.differences(&app);
        if !differences.is_empty() {
            return Err(Failure::new(format!(
                "GitHub returned the App {} (App ID {}), which is not the one requested: {}. Its key is not kept. If \
                 you made it, delete it under {}; if not, somebody sent you theirs",
                app.name,
                app.id,
                differences.join(", "),
                app.settings_url()
            )));
        }
        let lost = |reason: &str| {
            Failure::new(format!(
                "GitHub has made the App {} (App ID {}), but {reason}. Its key is shown once only: generate another \
                 under \"Private keys\" in {}, then run `{} configure --app-id {} --pem FILE`",
                app.name,
                app.id,
                app.settings_url(),
                crate::NAME,
                app.id
            ))
        };
        let key = AppKey::from_pem(&pem).map_err(|error| lost(&error.to_string()))?;
        let value = AppSecretValue::new(&app, &key.to_pem(), None);
        while let Err(failure) = value.keep(&self.app_secret(), CREATED).await {
            // Credentials may have run out while the page was open. A script cannot renew them meanwhile.
            if self.arguments.yes || !prompt::is_possible() {
                return Err(lost(&format!("its key could not be stored: {failure}")));
            }
            self.progress.say(&format!("The App {} is made, but its key could not be stored: {failure}.", app.name));
            if !prompt::usually("GitHub shows it once only. Try again?", false, self.progress)? {
                return Err(lost("its key was not stored"));
            }
        }
        self.progress.say(&format!("Created the App {} and kept its key.", app.name));
        let app_id = Issuer::App(app.id);
        Ok(AppSecret { app_id, client_id: app.client_id, installation_id: None, private_key: key.to_pem() })
    }

    /// What the App is that it was not asked to be. Its name may be changed on GitHub's page, and nothing else.
    fn differences(&self, app: &App) -> Vec<String> {
        let mut differences = Vec::new();
        differences.extend(wrong_owner(self.arguments.organization.as_deref(), app.owner.as_ref()));
        // GitHub adds this one to any other.
        let beside = |(name, _): &(&str, &str)| *name != "metadata";
        let asked = permissions(&self.arguments).into_iter().filter(beside);
        let has = app.permissions.iter().map(|(name, level)| (name.as_str(), level.as_str())).filter(beside);
        if !asked.eq(has) {
            let has = app.permissions.iter().map(|(name, level)| format!("{name}: {level}")).collect::<Vec<_>>();
            differences.push(format!("it has the permissions {}", has.join(", ")));
        }
        if BTreeSet::from_iter(app.events.iter().map(String::as_str)) != BTreeSet::from(EVENTS) {
            differences.push(format!("it subscribes to the events {}", app.events.join(", ")));
        }
        differences
    }

    async fn exchange(&self, code: &str) -> Result<NewApp, Failure> {
        let client = Client::new(self.stack.github_api_url.clone());
        let mut waits = EXCHANGE_WAITS.into_iter();
        let error = loop {
            match client.convert_manifest(code).await {
                Ok(new) => return Ok(new),
                Err(error @ Error::Unavailable(_)) => match waits.next() {
                    Some(seconds) => {
                        self.progress.say("GitHub does not answer; once more...");
                        tokio::time::sleep(Duration::from_secs(seconds)).await;
                    }
                    None => break error,
                },
                Err(error) => break error,
            }
        };
        let (_, page) = self.new_app_page();
        let apps = page.trim_end_matches("/new");
        let by_hand =
            format!("generate a private key in the App's settings and run `{} configure` with it", crate::NAME);
        Err(Failure::new(match error {
            Error::NotFound(_) if waits.len() < EXCHANGE_WAITS.len() => {
                format!("the App is made, but GitHub's answer with its key was lost on the way: {by_hand}, see {apps}")
            }
            Error::NotFound(_) => format!(
                "GitHub rejects the code that it sent: it was used before or is over an hour old. Delete the App \
                 if {apps} lists it, and run this again"
            ),
            error => format!(
                "{}. If {apps} lists the App, {by_hand}; if not, run this again",
                refused("hand the App over", client.api_url(), &error)
            ),
        }))
    }

    /// From an App that exists and whose key is kept to one in service.
    async fn finish(
        &self,
        created: AppSecret,
        confirmed: &Current,
        browser: Option<Redirected>,
    ) -> Result<(), Failure> {
        let (stack, url, progress) = (&self.stack, &self.webhook_url, self.progress);
        let key = configure::key(&created.private_key)?;
        let github = GitHubApp::identify(&stack.github_api_url, &created.app_id, key, progress).await?;
        configure::introduce(&github, progress);
        let secret = ManagedSecret::new(&stack.session, &stack.webhook_secret);
        let signing = WebhookSecretValue::current(&secret).await?;
        self.check_hook(&github).await?;
        configure::hand_over(&github, &secret, &signing, url, progress).await?;
        let page = browser.map(|browser| browser.tell(Ok(github.app.clone())));
        self.wait_for_installation(&github, page.is_some()).await?;
        let installation = configure::installation(&github, None, progress).await?;
        let signing = WebhookSecretValue::next(&secret, None, &installation, progress).await?;
        signing.check_rotation(&secret).await?;
        // The page may have been open for an hour: another App may have been put into service meanwhile.
        let in_service = self.app_secret().current().await?;
        if !in_service.says_the_same(confirmed) {
            let called = format!("the App {} ({})", github.app.id, github.app.name);
            let yes = self.arguments.yes;
            configure::confirm_another_app(&in_service, Some(&created.app_id), &called, yes, progress)?;
        }
        let url = Some(url.as_str());
        let summary =
            configure::put_into_service(stack, &github, &installation, &in_service, &signing, url, progress).await?;
        if self.arguments.json { output::write_json(summary.to_string()) } else { Ok(()) }
    }

    /// Whether the App delivers where it was asked to, before anything is changed about it. In a run that goes on as well: the one
    /// before may have been ended between keeping the key and this.
    async fn check_hook(&self, github: &GitHubApp) -> Result<(), Failure> {
        let hook = github.hook_config().await?;
        if hook.url.as_deref() == Some(self.webhook_url.as_str()) {
            return Ok(());
        }
        self.app_secret().unlabel(CREATED).await?;
        Err(Failure::new(format!(
            "the App {} (App ID {}) has {}, which was not requested: its key is not kept. If you made it, \
             delete it under {}; if not, somebody sent you theirs",
            github.app.name,
            github.app.id,
            hook.url.as_deref().map_or_else(|| "no webhook URL".to_owned(), |url| format!("the webhook {url}")),
            github.app.settings_url()
        )))
    }

    /// Until the App is installed somewhere. A page that has the link needs no second one beside it.
    async fn wait_for_installation(&self, github: &GitHubApp, page_has_link: bool) -> Result<(), Failure> {
        if !github.installations().await?.is_empty() {
            return Ok(());
        }
        let (progress, link) = (self.progress, github.app.install_url());
        progress.say(&format!("Install the App on the account with your repositories: {link}"));
        if !page_has_link && !self.arguments.no_browser {
            // The link is printed: where no browser opens, the person does.
            let _ = open::that_detached(&link);
        }
        progress.say("Waiting for the installation; Ctrl-C leaves it for later...");
        let installed = async {
            let mut failed = 0;
            loop {
                tokio::time::sleep(BETWEEN_POLLS).await;
                match github.installations().await {
                    Ok(installations) if installations.is_empty() => failed = 0,
                    Ok(_) => return Ok(()),
                    Err(failure) if failed == MOST_FAILED_POLLS => return Err(failure),
                    Err(_) => failed += 1,
                }
            }
        };
        tokio::time::timeout(HOUR, installed).await.unwrap_or_else(|_| {
            Err(Failure::new(format!(
                "the App was not installed within an hour: install it at {link}, then run this again"
            )))
        })
    }
}

/// Whose an App is, if it is neither the organization's that was asked for nor, where none was, a person's.
fn wrong_owner(asked: Option<&str>, owner: Option<&Owner>) -> Option<String> {
    let owner = match owner {
        Some(owner) if asked.map_or(owner.kind == "User", |login| owner.login.eq_ignore_ascii_case(login)) => {
            return None;
        }
        Some(owner) if owner.kind.is_empty() => owner.name().to_owned(),
        Some(owner) => format!("the {} {}", owner.kind.to_ascii_lowercase(), owner.name()),
        None => "an account that GitHub does not name".to_owned(),
    };
    let asked = asked.map_or_else(|| "your own account".to_owned(), |login| format!("the organization {login}"));
    Some(format!("it belongs to {owner} and not to {asked}"))
}

/// What Ctrl-C does. A thread of its own hears it, so that it ends a question at the terminal too.
struct CtrlC(Arc<Mutex<Option<&'static str>>>);

impl CtrlC {
    /// It says this and ends the command.
    fn says(words: &'static str) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("Ctrl-C cannot be heard: {error}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let mut pressed = {
            let _context = runtime.enter();
            signal(SignalKind::interrupt()).map_err(failed)?
        };
        let ctrl_c = Self(Arc::new(Mutex::new(Some(words))));
        let said = Arc::clone(&ctrl_c.0);
        std::thread::spawn(move || {
            runtime.block_on(async {
                while pressed.recv().await.is_some() {
                    if let Some(words) = *said.lock().unwrap_or_else(PoisonError::into_inner) {
                        output::note(&format!("{}: {words}", crate::NAME));
                        std::process::exit(1);
                    }
                }
            });
        });
        Ok(ctrl_c)
    }

    fn say(&self, words: &'static str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    /// It does nothing: until the key is kept, this process is the only place where it is.
    fn wait(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What GitHub is to make. There is no `setup_url`: it would stay in the App and send everybody who installs it later
/// to a page that is gone.
fn manifest(arguments: &Arguments, webhook_url: &str, redirect_url: &str) -> Value {
    json!({
        "name": arguments.name.clone().unwrap_or_else(|| usual_name(arguments.organization.as_deref())),
        "description": DESCRIPTION,
        "url": HOMEPAGE,
        // An App whose webhook is not active cannot be given an active one by the API.
        "hook_attributes": {"url": webhook_url, "active": true},
        "redirect_url": redirect_url,
        "public": arguments.public,
        "default_permissions": permissions(arguments),
        "default_events": EVENTS,
    })
}

fn permissions(arguments: &Arguments) -> BTreeMap<&'static str, &'static str> {
    let mut permissions = BTreeMap::from(PERMISSIONS);
    if arguments.agents_push {
        permissions.insert("contents", "write");
    }
    permissions
}

/// Names are taken across the whole of GitHub: one that says the same for everybody is free once.
fn usual_name(organization: Option<&str>) -> String {
    let own = match organization {
        Some(login) => login.to_ascii_lowercase(),
        None => Uuid::new_v4().simple().to_string()[..6].to_owned(),
    };
    let name: String = format!("konduktor-{own}").chars().take(LONGEST_NAME).collect();
    name.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::wrong_owner;

    #[test]
    fn an_app_is_of_the_owner_that_was_asked_for_and_of_nobody_else() {
        let owner = |kind: &str, login: &str| serde_json::from_value(json!({"type": kind, "login": login})).unwrap();
        for (asked, kind, login) in [(None, "User", "ann"), (Some("acme"), "Organization", "Acme")] {
            assert_eq!(wrong_owner(asked, Some(&owner(kind, login))), None);
        }
        for (asked, kind, login, words) in [
            (None, "Organization", "acme", "the organization acme and not to your own account"),
            (None, "Enterprise", "acme", "the enterprise acme and not to your own account"),
            (None, "", "ann", "ann and not to your own account"),
            (Some("acme"), "User", "ann", "the user ann and not to the organization acme"),
        ] {
            assert_eq!(wrong_owner(asked, Some(&owner(kind, login))).unwrap(), format!("it belongs to {words}"));
        }
        for asked in [None, Some("acme")] {
            assert!(wrong_owner(asked, None).unwrap().contains("an account that GitHub does not name"));
        }
    }
}
