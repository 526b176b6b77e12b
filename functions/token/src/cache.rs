//! Memory, then the table, then GitHub: a scope is minted once, however many environments ask for it.

use std::sync::Arc;
use std::time::Duration;

use adapters::Result as TableResult;
use adapters::secrets::AppSecret;
use aws_lc_rs::rand;
use jiff::Timestamp;
use uuid::Uuid;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::entry::Entry;
use crate::failure::{ErrorType, Failure};
use crate::mint::remembered_for;
use crate::request::Ask;
use crate::scope::Scope;
use crate::seal::CacheKey;
use crate::signer::{Signer, same};
use crate::store::{Remembered, Row};
use crate::{App, Response, TokenResponse};

/// A third of the lease: two renewals may be lost before anybody takes over.
const RENEWED_EVERY: Duration = Duration::from_secs(1);

/// A waiter's pauses double from the first to the last, each drawn anew between half of it and all of it. 200 waiters
/// read one item, and a partition gives 3,000 reads a second.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/bp-partition-key-design.html>
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// How many calls of a table that answered before may fail until the rest goes without it. One lost call must not make
/// everybody who waits mint.
const BORNE_FAILURES: u32 = 2;

/// Where a token came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Source {
    Memory,
    Table,
    GitHub,
}

/// One scope under one key, for one request.
struct Wanted<'a> {
    signer: &'a Signer,
    scope: &'a Scope,
    key: CacheKey,
    /// The token must live until then, by GitHub's clock.
    needed: Timestamp,
    clock: Clock,
}

/// Why a scope got no token, and a repository that the installation served before.
struct Refused {
    failure: Failure,
    served: Option<(String, String)>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, served: None }
    }
}

type Obtained = Result<(Arc<Entry>, Source), Refused>;

impl App {
    /// Answers with a token, under the version of the secret that GitHub accepts.
    pub(crate) async fn token(&self, ask: &Ask, clock: Clock, audit: &mut Audit) -> Result<Response, Failure> {
        let known = self.secret.versions(clock.now()).await.map_err(|error| Failure::not_configured(&error))?;
        let Some(first) = self.signers.first(&known) else {
            return Err(Failure::new(ErrorType::NotConfigured, "the secret holds no value yet"));
        };
        let failure = match self.token_under(first, ask, clock, audit).await {
            Err(failure) if failure.error_type == ErrorType::InvalidKey => failure,
            answer => return answer,
        };
        // Each other version once: GitHub refuses everything for a while after repeated bad credentials.
        let refreshed = self.secret.refresh(clock.now()).await.ok().flatten();
        for version in refreshed.as_ref().unwrap_or(&known).iter().filter(|version| !same(version, first)) {
            match self.token_under(version, ask, clock, audit).await {
                Ok(answer) => {
                    tracing::warn!("GitHub accepts another version of the App's secret than the one used so far");
                    self.signers.accept(version);
                    return Ok(answer);
                }
                Err(failure) if failure.error_type == ErrorType::InvalidKey => {}
                Err(failure) => return Err(failure),
            }
        }
        Err(failure)
    }

    /// Signer and scope of an ask under a version of the secret.
    pub(crate) fn scope(
        &self,
        version: &Arc<AppSecret>,
        ask: &Ask,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<(Arc<Signer>, Scope), Failure> {
        let signer = self.signers.signer(version, self.github.base_url())?;
        let installation_id = ask.installation_id.or(signer.installation_id).ok_or_else(|| {
            let message = "no installation: store its installation_id in the App's secret, or name one in the request";
            Failure::new(ErrorType::NotConfigured, message)
        })?;
        let installation_id = self.memory.moved(installation_id, clock.now()).unwrap_or(installation_id);
        let scope = self.policy.bound(ask, installation_id)?;
        audit.scope(&scope);
        Ok((signer, scope))
    }

    async fn token_under(
        &self,
        version: &Arc<AppSecret>,
        ask: &Ask,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Response, Failure> {
        let (signer, mut scope) = self.scope(version, ask, clock, audit)?;
        let mut obtained = self.obtain(&signer, &scope, ask, clock).await;
        if let Err(Refused { failure, served: Some(served) }) = &obtained
            && failure.error_type == ErrorType::InstallationNotFound
            && let Some(id) = self.rediscover(&signer, &scope, served, clock).await
        {
            tracing::warn!(old = scope.installation_id, new = id, "the App was reinstalled; store the new id");
            let moved = self.policy.bound(ask, id)?;
            self.memory.set_moved(scope.installation_id, id, clock.now());
            scope = moved;
            audit.scope(&scope);
            obtained = self.obtain(&signer, &scope, ask, clock).await;
        }
        let (entry, source) = obtained.map_err(|refused| refused.failure)?;
        if ask.owner.is_some() && ask.owner != entry.owner {
            let id = scope.installation_id;
            let message = format!("installation {id} is of another account than the repositories were named with");
            return Err(Failure::invalid_request(message));
        }
        audit.answered(&entry, source);
        Ok(Response::Token(TokenResponse::new(&scope, &entry, source)))
    }

    async fn obtain(&self, signer: &Signer, scope: &Scope, ask: &Ask, clock: Clock) -> Obtained {
        let key = signer.cache_key(scope)?;
        let needed = clock.now() + self.signers.offset() + ask.min_ttl;
        let wanted = Wanted { signer, scope, key, needed, clock };
        let held = self.memory.get(&key).filter(|held| held.entry.lives_until(needed));
        if let Some(held) = &held
            && held.is_checked(clock.now())
        {
            return Ok((Arc::clone(&held.entry), Source::Memory));
        }
        match (self.store.get(&key).await, held) {
            (Ok(row), _) => self.obtain_shared(&wanted, row).await,
            (Err(error), held) => {
                let error = error.chain();
                tracing::warn!(error, "the table of tokens cannot be read; going on without it");
                match held {
                    Some(held) => {
                        self.memory.keep(key, scope.installation_id, &held.entry, clock.now());
                        Ok((held.entry, Source::Memory))
                    }
                    None => self.without_table(&wanted).await,
                }
            }
        }
    }

    /// Finds the token in the table, waits for it, or mints it.
    async fn obtain_shared(&self, wanted: &Wanted<'_>, mut row: Row) -> Obtained {
        let owner = Uuid::new_v4().to_string();
        let (mut pause, mut failures) = (FIRST_PAUSE, 0);
        loop {
            let found = open(wanted, &row);
            if let Some(entry) = found.as_ref().filter(|entry| entry.lives_until(wanted.needed)) {
                let source = self.known(wanted, entry);
                return Ok((Arc::clone(entry), source));
            }
            self.memory.drop(&wanted.key);
            let now = wanted.clock.now();
            let served = || self.memory.worked(wanted.scope.installation_id).or_else(|| found.as_ref()?.repository());
            if let Some(remembered) = row.failure(now) {
                return Err(Refused { failure: remembered.failure(wanted.scope, now), served: served() });
            }
            let mut failed = None;
            // Its own lease is there already if only the answer to taking it was lost.
            if !row.is_leased(now) || row.is_owned_by(&owner) {
                match self.store.take_lease(&wanted.key, &owner, &row, now).await {
                    Ok(true) => {
                        let minted = self.mint_leased(wanted, &owner, &row).await;
                        return minted.map_err(|failure| Refused { failure, served: served() });
                    }
                    // Somebody else took it, or has stored a token: the next read tells.
                    Ok(false) => {}
                    Err(error) => failed = Some(error),
                }
            }
            if wanted.clock.left() < LAST_PAUSE {
                return Err(waited_too_long(wanted.scope).into());
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LAST_PAUSE);
            match self.store.get(&wanted.key).await {
                Ok(read) => row = read,
                Err(error) => failed = Some(error),
            }
            if let Some(error) = failed {
                failures += 1;
                let error = error.chain();
                tracing::warn!(error, failures, "the table of tokens did not answer");
                if failures > BORNE_FAILURES {
                    return self.without_table(wanted).await;
                }
            }
        }
    }

    /// Keeps what the table has; a copy that memory had already is a memory hit that was checked.
    fn known(&self, wanted: &Wanted<'_>, entry: &Arc<Entry>) -> Source {
        let held = self.memory.get(&wanted.key);
        self.memory.keep(wanted.key, wanted.scope.installation_id, entry, wanted.clock.now());
        match held {
            Some(held) if held.entry.sha256() == entry.sha256() => Source::Memory,
            _ => Source::Table,
        }
    }

    /// Mints while renewing the lease. Whichever way it ends, the renewal ends with it.
    async fn mint_leased(&self, wanted: &Wanted<'_>, owner: &str, seen: &Row) -> Result<(Arc<Entry>, Source), Failure> {
        let minted = tokio::select! {
            biased;
            minted = self.mint_and_share(wanted, seen) => minted,
            () = self.renew(wanted, owner) => Err(waited_too_long(wanted.scope)),
        };
        match minted {
            Ok(entry) => Ok((entry, Source::GitHub)),
            Err(failure) => {
                let until = wanted.clock.now() + remembered_for(&failure);
                let remembered = Remembered { error_type: failure.error_type, until };
                warn_of(self.store.release(&wanted.key, owner, Some(remembered)).await);
                Err(failure)
            }
        }
    }

    async fn mint_and_share(&self, wanted: &Wanted<'_>, seen: &Row) -> Result<Arc<Entry>, Failure> {
        let entry = Arc::new(self.mint(wanted.signer, wanted.scope, wanted.clock).await?);
        self.memory.keep(wanted.key, wanted.scope.installation_id, &entry, wanted.clock.now());
        warn_of(self.put(wanted, &entry, seen).await);
        Ok(entry)
    }

    /// Renews the lease for as long as this is polled; ends only with the invocation's time.
    async fn renew(&self, wanted: &Wanted<'_>, owner: &str) {
        while !wanted.clock.left().is_zero() {
            tokio::time::sleep(RENEWED_EVERY).await;
            warn_of(self.store.renew(&wanted.key, owner, wanted.clock.now()).await);
        }
    }

    async fn put(&self, wanted: &Wanted<'_>, entry: &Entry, seen: &Row) -> TableResult<()> {
        let sealed = entry.to_json().ok().and_then(|plain| wanted.signer.seal.seal(&wanted.key, &plain).ok());
        match sealed {
            Some(sealed) => self.store.put(&wanted.key, entry, sealed, seen).await,
            None => {
                tracing::error!("a token could not be encrypted; it is not shared");
                Ok(())
            }
        }
    }

    async fn without_table(&self, wanted: &Wanted<'_>) -> Obtained {
        match self.mint(wanted.signer, wanted.scope, wanted.clock).await {
            Ok(entry) => {
                let entry = Arc::new(entry);
                self.memory.keep(wanted.key, wanted.scope.installation_id, &entry, wanted.clock.now());
                Ok((entry, Source::GitHub))
            }
            Err(failure) => Err(Refused { failure, served: self.memory.worked(wanted.scope.installation_id) }),
        }
    }
}

impl Remembered {
    fn failure(self, scope: &Scope, now: Timestamp) -> Failure {
        let left = Duration::try_from(self.until.duration_since(now)).unwrap_or_default();
        let failure = Failure::of_scope(self.error_type, scope, Some(Duration::from_secs(left.as_secs() + 1)));
        Failure { cause: Some("remembered from an earlier try".into()), ..failure }
    }
}

/// The row's token. One that does not open (another key's, tampered with, moved here) is as good as none.
fn open(wanted: &Wanted<'_>, row: &Row) -> Option<Arc<Entry>> {
    let sealed = row.sealed()?;
    let entry = wanted.signer.seal.open(&wanted.key, &sealed).and_then(|plain| Entry::from_json(&plain));
    if entry.is_none() {
        let (cache_key, fingerprint) = (wanted.key.hex(), wanted.signer.fingerprint());
        tracing::warn!(cache_key, fingerprint, "an item of the table of tokens does not decrypt; minting anew");
    }
    entry.map(Arc::new)
}

fn waited_too_long(scope: &Scope) -> Failure {
    let failure = Failure::of_scope(ErrorType::GitHubUnavailable, scope, None);
    Failure { cause: Some("the time of this invocation is over".into()), ..failure }
}

fn warn_of(result: TableResult<()>) {
    if let Err(error) = result {
        let error = error.chain();
        tracing::warn!(error, "the table of tokens cannot be written; other environments will mint for themselves");
    }
}

/// Between half of the pause and all of it, so that waiters who began together do not ask together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    let drawn = rand::fill(&mut byte).map_or(0, |()| u32::from(byte[0]));
    pause / 2 + pause / 2 * drawn / 255
}
