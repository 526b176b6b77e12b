//! Everything that is known about a card: what is stored, what GitHub says, what was delivered.
//!
//! The tables have to be readable. GitHub and the secrets need not be: why something of theirs is missing stands in
//! its place.

use std::collections::BTreeMap;

use adapters::github::pull_request::{Observed, Pull};
use adapters::github::{Client, Error, Installation};
use adapters::secrets::{self, WebhookSecret};
use adapters::table::{Table, text};
use domain::contract::reconcile::Event;
use domain::contract::token::{ErrorType, Level, Repositories, Scope};
use domain::ids::{
    DeliveryGuid, InstallationId, PullRequestKey, PullRequestNumber, RepositoryId, RepositoryName, TaskId,
};
use domain::item::ItemKey;
use domain::kid_tag::{KidTag, Tags};
use domain::protocol::Stored;
use domain::pull_request::PullRequest;
use domain::report::{Facts, Source};
use domain::sync::RepositorySync;
use domain::task::Task;
use serde::de::DeserializeOwned;

use super::deliveries::{self, Deliveries, Delivery};
use crate::failure::Failure;
use crate::github_app::{GitHubApp, once_known, refused};
use crate::output::Progress;
use crate::secret::{CURRENT, ManagedSecret};
use crate::stack::Stack;
use crate::subject::{self, Subject};
use crate::task::{Card, Tasks};
use crate::token_function::{NoToken, TokenFunction};

pub(super) struct Evidence {
    /// The task that was asked about, if one was: a tag may name none, or several.
    pub(super) asked: Option<Tagged>,
    /// The pull request that decides; a task may have none.
    pub(super) pull_request: Option<PullRequestEvidence>,
    pub(super) app: Result<AppSettings, String>,
    pub(super) served: ServedVerdict,
    pub(super) deliveries: Result<Deliveries, String>,
    /// Where GitHub should deliver to.
    pub(super) webhook_url: String,
    pub(super) webhook_secret: String,
    /// What invokes reconcile, up to the payload.
    pub(super) invoke_reconcile: String,
}

/// What is known about one pull request.
pub(super) struct PullRequestEvidence {
    /// Not known where only its id is, and what others wrote into the task is no name.
    pub(super) repository: Option<RepositoryName>,
    pub(super) number: PullRequestNumber,
    pub(super) stored: Option<PullRequest>,
    /// When reconcile reads the repository again.
    pub(super) sync: Option<RepositorySync>,
    /// The App's installation there, if GitHub said which.
    pub(super) installation: Option<Installation>,
    pub(super) observed: Result<Observed, NotShown>,
    /// What is true, as far as anybody says: GitHub's word, else what is stored.
    pub(super) facts: Option<Facts>,
    /// The tags of the facts' title that count, and what each names.
    pub(super) tags: Vec<Tagged>,
    pub(super) tags_not_read: Vec<KidTag>,
    /// The tasks that it is stored as linked to and that no tag of the title names.
    pub(super) linked: Vec<Card>,
}

/// A tag and the tasks that it names, two at most.
pub(super) struct Tagged {
    pub(super) tag: KidTag,
    pub(super) cards: Vec<Card>,
}

/// Why GitHub does not show a pull request.
pub(super) enum NotShown {
    /// Or there is no such repository: GitHub does not tell these apart.
    NotInstalled,
    Suspended,
    NoSuchPullRequest,
    /// It could not be asked; what was in the way.
    NotRead(String),
}

/// The App's settings.
pub(super) struct AppSettings {
    pub(super) settings_url: String,
    pub(super) install_url: String,
    /// Where GitHub delivers to.
    pub(super) hook_url: Option<String>,
}

/// Whether the webhook takes this installation's events.
pub(super) enum ServedVerdict {
    Yes,
    No,
    /// It takes nobody's.
    NotConfigured(String),
    Unread(String),
}

impl Tagged {
    async fn read(tasks: &Tasks, tag: KidTag) -> Result<Self, Failure> {
        let cards = tasks.find(&tag).await?;
        Ok(Self { tag, cards })
    }

    /// As the rules take it.
    pub(super) fn found(&self) -> Vec<(TaskId, Stored)> {
        self.cards.iter().map(|card| (card.task.id.clone(), card.stored())).collect()
    }
}

impl PullRequestEvidence {
    pub(super) fn name(&self) -> String {
        format!("{}#{}", self.repository.as_ref().map_or("", RepositoryName::as_str), self.number)
    }

    pub(super) fn page(&self) -> Option<&str> {
        self.facts.as_ref().map(|facts| facts.snapshot.url.as_str())
    }

    pub(super) fn key(&self) -> Option<PullRequestKey> {
        self.repository_id().map(|id| PullRequestKey::new(id, self.number))
    }

    pub(super) fn repository_id(&self) -> Option<RepositoryId> {
        self.facts.as_ref().map(|facts| facts.snapshot.repository_id)
    }

    /// What GitHub's facts would change of what is stored.
    pub(super) fn differences(&self) -> Vec<&'static str> {
        let (Some(known), Some(facts)) = (&self.stored, &self.facts) else { return Vec::new() };
        let (known, facts) = (&known.snapshot, &facts.snapshot);
        let differs = [
            ("its state", known.state != facts.state),
            ("its title", known.title != facts.title),
            ("its head", known.head_sha != facts.head_sha),
            ("its base", known.base != facts.base),
        ];
        differs.into_iter().filter(|(_, differs)| *differs).map(|(what, _)| what).collect()
    }

    pub(super) fn installation_id(&self) -> Option<InstallationId> {
        let stored = || self.stored.as_ref()?.snapshot.installation_id;
        self.installation.as_ref().map(|installation| installation.id).or_else(stored)
    }
}

impl Evidence {
    /// Makes reconcile look at the pull request at once.
    pub(super) fn reconcile_command(&self) -> Option<String> {
        let pull_request = self.pull_request.as_ref()?;
        let (repository, number) = (pull_request.repository.clone()?, pull_request.number);
        let event = Event::PullRequest { repository, number, installation_id: pull_request.installation_id() };
        Some(format!("{} --payload '{}' /dev/stdout", self.invoke_reconcile, event.to_json()))
    }

    /// The newest delivery that told more than is stored and was not taken, nor delivered again since.
    pub(super) fn failed_delivery(&self) -> Option<&Delivery> {
        let deliveries = &self.deliveries.as_ref().ok()?.about;
        let known = self.pull_request.as_ref()?.stored.as_ref().map(|stored| stored.snapshot.updated_at);
        let taken = |guid: &DeliveryGuid| deliveries.iter().any(|other| other.guid == *guid && other.is_ok());
        deliveries.iter().find(|delivery| {
            !delivery.is_ok() && known.is_none_or(|known| delivery.updated_at > known) && !taken(&delivery.guid)
        })
    }
}

/// Reads all of it.
pub(super) async fn gather(stack: &Stack, subject: &Subject, progress: Progress) -> Result<Evidence, Failure> {
    let tasks = Tasks::new(stack.session.clone(), stack.tasks_table.clone());
    let asked = match subject {
        Subject::Task(tag) => Some(Tagged::read(&tasks, tag.clone()).await?),
        Subject::PullRequest { .. } => None,
    };
    let github = GitHubApp::of(stack, progress).await;
    let reader = Reader {
        stack,
        tasks,
        github,
        pull_requests: Table::new(aws_sdk_dynamodb::Client::new(&stack.session.config), &stack.pull_requests_table),
        token_function: TokenFunction::new(stack.session.clone(), stack.tokens().to_owned(), "explain"),
        client: Client::new(stack.github_api_url.clone()),
    };
    progress.say("Asking GitHub...");
    let (pull_request, deliveries) = match (subject, asked.as_ref().map(|asked| &asked.cards[..])) {
        (Subject::PullRequest { repository, number }, _) => {
            let pull_request = reader.named(repository, *number).await?;
            let deliveries = reader.deliveries_about(&pull_request).await;
            (Some(pull_request), deliveries)
        }
        (_, Some([card])) => match reader.current(&card.task).await? {
            Some(pull_request) => {
                let deliveries = reader.deliveries_about(&pull_request).await;
                (Some(pull_request), deliveries)
            }
            None => reader.delivered_for(&card.task).await?,
        },
        _ => (None, Err("no one pull request is concerned".to_owned())),
    };
    Ok(Evidence {
        served: reader.served(pull_request.as_ref().and_then(PullRequestEvidence::installation_id)).await,
        app: reader.app_settings().await,
        asked,
        pull_request,
        deliveries,
        webhook_url: stack.webhook_url.clone(),
        webhook_secret: stack.webhook_secret.clone(),
        invoke_reconcile: format!(
            "aws lambda invoke --function-name {} {} --cli-binary-format raw-in-base64-out",
            stack.reconcile_function,
            stack.session.flags()
        ),
    })
}

struct Reader<'a> {
    stack: &'a Stack,
    tasks: Tasks,
    github: Result<GitHubApp, Failure>,
    pull_requests: Table,
    token_function: TokenFunction,
    client: Client,
}

/// What GitHub says of a pull request.
struct Shown {
    installation: Option<Installation>,
    observed: Result<Observed, NotShown>,
}

/// What the table of pull requests holds about one.
#[derive(Default)]
struct Items {
    stored: Option<PullRequest>,
    sync: Option<RepositorySync>,
}

impl Items {
    /// The repository's name when last heard.
    fn repository(&self) -> Option<RepositoryName> {
        let listed = self.sync.as_ref().map(|sync| &sync.repository);
        listed.or_else(|| self.stored.as_ref().map(|stored| &stored.snapshot.repository)).cloned()
    }

    fn installation_id(&self) -> Option<InstallationId> {
        self.stored.as_ref()?.snapshot.installation_id
    }
}

impl Reader<'_> {
    /// A pull request that was named: what its repository's id is, GitHub knows, or a task that is linked to it.
    async fn named(
        &self,
        repository: &RepositoryName,
        number: PullRequestNumber,
    ) -> Result<PullRequestEvidence, Failure> {
        let seen = self.see(Some(repository), number, None).await;
        let id = match &seen.observed {
            Ok(observed) => Some(observed.facts.snapshot.repository_id),
            Err(_) => self.linked_page(repository, number).await?,
        };
        let items = match id {
            Some(id) => self.items(id, number).await?,
            None => Items::default(),
        };
        match items.repository() {
            // It has another name by now, which GitHub gives a token for.
            Some(name) if seen.observed.is_err() && !name.is(repository.as_str()) => {
                let seen = self.see(Some(&name), number, items.installation_id()).await;
                self.put_together(Some(name), number, items, seen).await
            }
            _ => self.put_together(Some(repository.clone()), number, items, seen).await,
        }
    }

    /// The current pull request of a task.
    async fn current(&self, task: &Task) -> Result<Option<PullRequestEvidence>, Failure> {
        let Some((id, number)) = task.pull_request.as_ref().and_then(|key| key.parts()) else { return Ok(None) };
        let linked = task.pull_request.as_ref().and_then(|key| task.pull_requests.get(key));
        let page = linked.and_then(|linked| subject::parse(&linked.url).ok());
        let name = match page {
            Some(Subject::PullRequest { repository, .. }) => Some(repository),
            _ => task.repository.as_ref().and_then(|name| name.parse().ok()),
        };
        self.keyed(id, number, name).await.map(Some)
    }

    async fn keyed(
        &self,
        id: RepositoryId,
        number: PullRequestNumber,
        name: Option<RepositoryName>,
    ) -> Result<PullRequestEvidence, Failure> {
        let items = self.items(id, number).await?;
        let name = items.repository().or(name);
        let seen = self.see(name.as_ref(), number, items.installation_id()).await;
        self.put_together(name, number, items, seen).await
    }

    /// For a task that no pull request is linked to: one that was delivered and names it.
    async fn delivered_for(
        &self,
        task: &Task,
    ) -> Result<(Option<PullRequestEvidence>, Result<Deliveries, String>), Failure> {
        let bound = task.repository_id;
        let names_it = |delivery: &Delivery| Tags::of(&delivery.title).name(&task.id);
        let mut deliveries = self.deliveries(bound, names_it).await;
        let newest = deliveries.as_ref().ok().and_then(|found| found.about.first());
        let Some((id, number)) = newest.map(|newest| (newest.repository_id, newest.number)) else {
            return Ok((None, deliveries));
        };
        let name = newest.map(|newest| newest.repository.clone());
        if let Ok(found) = &mut deliveries {
            found.about.retain(|delivery| (delivery.repository_id, delivery.number) == (id, number));
        }
        Ok((Some(self.keyed(id, number, name).await?), deliveries))
    }

    async fn put_together(
        &self,
        repository: Option<RepositoryName>,
        number: PullRequestNumber,
        Items { stored, sync }: Items,
        Shown { installation, observed }: Shown,
    ) -> Result<PullRequestEvidence, Failure> {
        // GitHub follows an old name.
        let repository = observed.as_ref().map_or(repository, |seen| Some(seen.facts.snapshot.repository.clone()));
        let facts = match (&observed, &stored) {
            // A read may come from a replica that is behind.
            (Ok(seen), stored)
                if stored.as_ref().is_none_or(|known| seen.facts.snapshot.updated_at >= known.snapshot.updated_at) =>
            {
                Some(seen.facts.clone())
            }
            (_, stored) => stored.as_ref().map(as_facts),
        };
        let said = facts.as_ref().map(|facts| Tags::of(&facts.snapshot.title)).unwrap_or_default();
        let tags_not_read = said.not_read;
        let mut tags = Vec::with_capacity(said.named.len());
        for tag in said.named {
            tags.push(Tagged::read(&self.tasks, tag).await?);
        }
        let mut linked = Vec::new();
        let links = stored.iter().flat_map(|stored| &stored.task_ids);
        let untagged = links.filter(|id| !tags.iter().any(|tagged| tagged.tag.names(id)));
        for whole in untagged.filter_map(|id| KidTag::parse(id.as_str())) {
            linked.extend(self.tasks.find(&whole).await?);
        }
        Ok(PullRequestEvidence {
            repository,
            number,
            stored,
            sync,
            installation,
            observed,
            facts,
            tags,
            tags_not_read,
            linked,
        })
    }

    async fn see(
        &self,
        repository: Option<&RepositoryName>,
        number: PullRequestNumber,
        known: Option<InstallationId>,
    ) -> Shown {
        let Some(repository) = repository else {
            return Shown { installation: None, observed: Err(NotShown::NotInstalled) };
        };
        let installation = match &self.github {
            Ok(github) => github.installation_of(repository).await.map_err(|failure| failure.to_string()),
            // The token function may know one all the same.
            Err(_) => {
                return Shown { installation: None, observed: self.observe(repository, number, known).await };
            }
        };
        let (installation, observed) = match installation {
            Err(reason) => (None, Err(NotShown::NotRead(reason))),
            Ok(None) => (None, Err(NotShown::NotInstalled)),
            Ok(Some(found)) if found.suspended_at.is_some() => (Some(found), Err(NotShown::Suspended)),
            Ok(Some(found)) => {
                let observed = self.observe(repository, number, Some(found.id)).await;
                (Some(found), observed)
            }
        };
        Shown { installation, observed }
    }

    async fn observe(
        &self,
        repository: &RepositoryName,
        number: PullRequestNumber,
        installation_id: Option<InstallationId>,
    ) -> Result<Observed, NotShown> {
        let read = |name: &str| (name.to_owned(), Level::Read);
        let repositories =
            Repositories::new(&[repository.as_str()]).map_err(|invalid| NotShown::NotRead(invalid.to_string()))?;
        let scope = Scope {
            repositories: Some(repositories),
            permissions: Some(BTreeMap::from([read("metadata"), read("pull_requests")])),
            installation_id,
            min_ttl_seconds: None,
        };
        let token = self.token_function.token(&scope).await.map_err(|refusal| match refusal {
            NoToken::Refused(said) if said.error_type == ErrorType::InstallationNotFound => NotShown::NotInstalled,
            NoToken::Refused(said) if said.error_type == ErrorType::InstallationSuspended => NotShown::Suspended,
            refusal => NotShown::NotRead(Failure::from(refusal).to_string()),
        })?;
        let path = format!("/repos/{repository}/pulls/{number}");
        let pull = once_known(async || self.client.get::<Pull>(&path, &token.token.token).await).await;
        match pull {
            Ok(answer) => Ok(answer.body.observed(installation_id)),
            Err(Error::NotFound(_)) => Err(NotShown::NoSuchPullRequest),
            Err(Error::InstallationSuspended(_)) => Err(NotShown::Suspended),
            Err(error) => {
                let failure = refused("show the pull request", self.client.api_url(), &error);
                Err(NotShown::NotRead(failure.to_string()))
            }
        }
    }

    /// The repository's id, from a task that is linked to this page.
    async fn linked_page(
        &self,
        repository: &RepositoryName,
        number: PullRequestNumber,
    ) -> Result<Option<RepositoryId>, Failure> {
        let end = format!("/{repository}/pull/{number}").to_ascii_lowercase();
        let (cards, _) = self.tasks.all().await?;
        let mut links = cards.iter().flat_map(|card| &card.task.pull_requests);
        let found = links.find(|(_, linked)| linked.url.to_ascii_lowercase().ends_with(&end));
        Ok(found.and_then(|(key, _)| key.parts()).map(|(id, _)| id))
    }

    async fn items(&self, id: RepositoryId, number: PullRequestNumber) -> Result<Items, Failure> {
        let (stored, item) = (self.item(ItemKey::pull_request(id, number)), self.item(ItemKey::repository(id)));
        let (stored, sync) = tokio::try_join!(stored, item)?;
        Ok(Items { stored, sync })
    }

    async fn item<T: DeserializeOwned>(&self, ItemKey { partition, item }: ItemKey) -> Result<Option<T>, Failure> {
        let key = [("repository_id", &partition), ("item", &item)];
        let key = key.map(|(name, value)| (name.to_owned(), text(value)));
        let found =
            self.pull_requests.get(key.into()).await.map_err(|error| {
                self.stack.session.table_failure(error, "deploy the stack again with `make deploy`")
            })?;
        found.map(serde_dynamo::from_item).transpose().map_err(|error| {
            Failure::new(format!(
                "the item {partition} {item} of the table {} is not of the documented shape: {error}",
                self.pull_requests.name()
            ))
        })
    }

    async fn deliveries_about(&self, pull_request: &PullRequestEvidence) -> Result<Deliveries, String> {
        let id = pull_request.repository_id();
        let of_repository = |delivery: &Delivery| match id {
            Some(id) => delivery.repository_id == id,
            None => pull_request.repository.as_ref().is_some_and(|name| delivery.repository.is(name.as_str())),
        };
        self.deliveries(id, |delivery| delivery.number == pull_request.number && of_repository(delivery)).await
    }

    async fn deliveries(
        &self,
        repository: Option<RepositoryId>,
        wanted: impl Fn(&Delivery) -> bool,
    ) -> Result<Deliveries, String> {
        let github = self.github.as_ref().map_err(ToString::to_string)?;
        deliveries::look(github, repository, wanted).await.map_err(|failure| failure.to_string())
    }

    async fn app_settings(&self) -> Result<AppSettings, String> {
        let github = self.github.as_ref().map_err(ToString::to_string)?;
        let hook = github.hook_config().await.map_err(|failure| failure.to_string())?;
        Ok(AppSettings {
            settings_url: github.app.settings_url(),
            install_url: github.app.install_url(),
            hook_url: hook.url,
        })
    }

    async fn served(&self, installation: Option<InstallationId>) -> ServedVerdict {
        let secret = ManagedSecret::new(&self.stack.session, &self.stack.webhook_secret);
        let value = match secret.at(CURRENT).await {
            Ok(value) => value.unwrap_or_default(),
            Err(failure) => return ServedVerdict::Unread(failure.to_string()),
        };
        match (secrets::parse::<WebhookSecret>(&value), installation) {
            (Err(reason), _) => ServedVerdict::NotConfigured(reason),
            (Ok(WebhookSecret { installations: Some(served), .. }), Some(id)) if !served.contains(&id) => {
                ServedVerdict::No
            }
            _ => ServedVerdict::Yes,
        }
    }
}

/// What is stored, as if GitHub had just said so.
fn as_facts(stored: &PullRequest) -> Facts {
    let title_at_merge = stored.is_merge_known().then(|| stored.snapshot.title.clone());
    Facts { snapshot: stored.snapshot.clone(), source: Source::Api { title_at_merge } }
}
