//! Memory, then the table, then GitHub: a scope is minted once, however many environments ask for it.
//!
//! Who finds no token takes the scope's lease in the table, mints, and puts the token there; the others wait for it. The races:
//!
//! - Two take the lease at once: the write is conditional, and the one who lost reads again.
//! - The answer to taking it was lost: the lease names its owner, who finds it is his.
//! - The minter dies or is frozen: it renews each second, and a lease that nobody renewed for three seconds is anybody's. One that wakes up
//!   later stores its token all the same: two are minted then, and both are good.
//! - A renewal hangs: it has a time of its own, shorter than the lease, so that the next one is sent.
//! - A clock is ahead: a lease or a refusal that ends further ahead than its writer could have meant is none.
//! - A token is revoked while it is stored: what points to its row is written before the token is handed out, so whoever has it finds the row.
//! - Tokens are revoked again and again by one who shares them: each is given to the one it was minted for and to nobody else.
//! - The table fails in the middle: after two more tries each environment mints for itself, and says so.

use std::sync::Arc;
use std::time::Duration;

use adapters::Result as TableResult;
use adapters::pause::jittered;
use domain::contract::token::ErrorType;
use domain::ids::AccountId;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::clock::Clock;
use crate::directory::Directory;
use crate::entry::{Entry, Source};
use crate::failure::{Failure, is_of_the_app, logged, warn_of};
use crate::gate::Gate;
use crate::memory::Memory;
use crate::mint::Mint;
use crate::seal::CacheKey;
use crate::store::{LEASE, Row, RowKey, Store};
use crate::subject::Subject;

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

/// One scope under one key, for one request.
struct Wanted<'a> {
    subject: Subject<'a>,
    key: CacheKey,
    /// The token must live until then, by GitHub's clock.
    needed: Timestamp,
    clock: Clock,
}

impl Wanted<'_> {
    fn row(&self) -> RowKey {
        RowKey::from(&self.key)
    }
}

/// Why a scope got no token, and the account that the installation was on when there was one.
pub(crate) struct Refused {
    pub(crate) failure: Failure,
    pub(crate) served: Option<AccountId>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, served: None }
    }
}

pub(crate) type Obtained = Result<(Arc<Entry>, Source), Refused>;

/// The cache, as one execution environment uses it.
#[derive(Debug)]
pub(crate) struct Cache {
    gate: Arc<Gate>,
    directory: Arc<Directory>,
    memory: Arc<Memory>,
    mint: Mint,
    store: Store,
}

impl Cache {
    pub(crate) fn new(gate: Arc<Gate>, directory: Arc<Directory>, memory: Arc<Memory>, store: Store) -> Self {
        let mint = Mint::new(Arc::clone(&gate), Arc::clone(&directory), store.clone());
        Self { gate, directory, memory, mint, store }
    }

    /// A token that lives for that long at least.
    pub(crate) async fn obtain(&self, subject: Subject<'_>, least: SignedDuration, clock: Clock) -> Obtained {
        let key = subject.signer.cache_key(subject.scope);
        let needed = self.gate.now(clock) + least;
        let wanted = Wanted { subject, key, needed, clock };
        let held = self.memory.get(&key).filter(|held| held.entry.lives_until(needed));
        if let Some(held) = &held
            && held.is_checked(clock.now())
        {
            return Ok((Arc::clone(&held.entry), Source::Memory));
        }
        match (self.store.get(&wanted.row()).await, held) {
            (Ok(row), _) => self.obtain_shared(&wanted, row).await,
            (Err(error), held) => {
                let error = logged(&error);
                tracing::warn!(error, "the table of tokens cannot be read; going on without it");
                match held {
                    Some(held) => {
                        self.memory.keep(key, subject.scope.installation_id, &held.entry, clock.now());
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
        let subject = &wanted.subject;
        let (mut pause, mut failures, mut may_mint) = (FIRST_PAUSE, 0, false);
        loop {
            let found = open(wanted, &row);
            if let Some(entry) = found.as_ref().filter(|entry| entry.lives_until(wanted.needed)) {
                let source = self.known(wanted, entry);
                return Ok((Arc::clone(entry), source));
            }
            self.memory.forget(&wanted.key);
            let now = wanted.clock.now();
            let served = || self.memory.worked(subject.scope.installation_id).or_else(|| found.as_ref()?.account_id);
            if let Some(remembered) = row.failure(now) {
                return Err(Refused { failure: subject.remembered(remembered, now), served: served() });
            }
            if !may_mint {
                // Before the scope gets a row: what is refused for all scopes leaves none.
                self.may_mint(subject, wanted.clock).await.map_err(|failure| Refused { failure, served: served() })?;
                may_mint = true;
            }
            let mut failed = None;
            // Its own lease is there already if only the answer to taking it was lost.
            if !row.is_leased(now) || row.is_owned_by(&owner) {
                match self.store.take_lease(&wanted.row(), &owner, &row, now).await {
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
                let contested = row.is_contested(now).then(contested);
                return Err(contested.unwrap_or_else(|| subject.failure(ErrorType::Busy, None)).into());
            }
            tokio::time::sleep(jittered(pause)).await;
            pause = (pause * 2).min(LAST_PAUSE);
            match self.store.get(&wanted.row()).await {
                Ok(read) => row = read,
                Err(error) => failed = Some(error),
            }
            if let Some(error) = failed {
                failures += 1;
                let error = logged(&error);
                tracing::warn!(error, failures, "the table of tokens did not answer");
                if failures > BORNE_FAILURES {
                    return self.without_table(wanted).await;
                }
            }
        }
    }

    /// Whether nothing stands against a mint in any scope: of the App, of its key, of the installation.
    async fn may_mint(&self, subject: &Subject<'_>, clock: Clock) -> Result<(), Failure> {
        let (app, installation) =
            (subject.signer.app_row(), subject.signer.installation_row(subject.scope.installation_id));
        let (app, installation) = tokio::join!(self.store.get(&app), self.store.get(&installation));
        let now = clock.now();
        let refused = app.ok().and_then(|row| row.refused(subject.signer.fingerprint(), now));
        let refused = refused.or_else(|| installation.ok()?.failure(now));
        match refused {
            Some(remembered) => Err(subject.remembered(remembered, now)),
            None => self.directory.check_installation(subject, clock).await,
        }
    }

    /// Keeps what the table has; a copy that memory had already is a memory hit that was checked.
    fn known(&self, wanted: &Wanted<'_>, entry: &Arc<Entry>) -> Source {
        let held = self.memory.get(&wanted.key);
        self.keep(wanted, entry);
        match held {
            Some(held) if held.entry.sha256() == entry.sha256() => Source::Memory,
            _ => Source::Table,
        }
    }

    fn keep(&self, wanted: &Wanted<'_>, entry: &Arc<Entry>) {
        self.memory.keep(wanted.key, wanted.subject.scope.installation_id, entry, wanted.clock.now());
    }

    /// Mints while renewing the lease. Whichever way it ends, the renewal ends with it.
    async fn mint_leased(&self, wanted: &Wanted<'_>, owner: &str, seen: &Row) -> Result<(Arc<Entry>, Source), Failure> {
        let minted = tokio::select! {
            biased;
            minted = self.mint_and_share(wanted, owner, seen) => minted,
            () = self.renew(wanted, owner) => Err(wanted.subject.failure(ErrorType::GitHubUnavailable, None)),
        };
        match minted {
            Ok(entry) => Ok((entry, Source::GitHub)),
            Err(failure) => {
                let of_the_scope = (!is_of_the_app(failure.error_type)).then(|| failure.remembered(wanted.clock.now()));
                warn_of(self.store.release(&wanted.row(), owner, of_the_scope).await);
                Err(failure)
            }
        }
    }

    async fn mint_and_share(&self, wanted: &Wanted<'_>, owner: &str, seen: &Row) -> Result<Arc<Entry>, Failure> {
        let entry = Arc::new(self.mint.token(&wanted.subject, wanted.clock).await?);
        if !seen.is_contested(wanted.clock.now()) {
            self.keep(wanted, &entry);
        }
        // A table that hangs must not take with it what GitHub has given.
        match tokio::time::timeout(wanted.clock.left(), self.share(wanted, owner, &entry, seen)).await {
            Ok(shared) => warn_of(shared),
            Err(_) => tracing::warn!("the table of tokens did not answer in time; a token may not be shared"),
        }
        Ok(entry)
    }

    /// Puts a token into the table before anybody is given it, and nothing that could not be found there: who has it may revoke it, and
    /// then its copy must go.
    ///
    /// Whoever revokes again and again gets at nobody's token but its own: while tokens of the scope are contested, each is for whoever minted
    /// it. Their lease is left to end by itself, so that there is one in its time and the others wait no longer than that for their turn.
    async fn share(&self, wanted: &Wanted<'_>, owner: &str, entry: &Entry, seen: &Row) -> TableResult<()> {
        let pointed = self.store.point(entry, &wanted.key, &wanted.subject.scope.profile).await;
        match pointed {
            _ if seen.is_contested(wanted.clock.now()) => pointed,
            Ok(()) => self.put(wanted, entry, seen).await,
            Err(error) => {
                warn_of(self.store.release(&wanted.row(), owner, None).await);
                Err(error)
            }
        }
    }

    /// Renews the lease for as long as this is polled; ends only with the invocation's time.
    async fn renew(&self, wanted: &Wanted<'_>, owner: &str) {
        while !wanted.clock.left().is_zero() {
            tokio::time::sleep(RENEWED_EVERY).await;
            warn_of(self.store.renew(&wanted.row(), owner, wanted.clock.now()).await);
        }
    }

    async fn put(&self, wanted: &Wanted<'_>, entry: &Entry, seen: &Row) -> TableResult<()> {
        let seal = &wanted.subject.signer.seal;
        let sealed = entry.to_json().ok().and_then(|plain| seal.seal(&wanted.key, &plain).ok());
        match sealed {
            Some(sealed) => self.store.put(&wanted.row(), entry, sealed, seen).await,
            None => {
                tracing::error!("a token could not be encrypted; it is not shared");
                Ok(())
            }
        }
    }

    async fn without_table(&self, wanted: &Wanted<'_>) -> Obtained {
        match self.mint.token(&wanted.subject, wanted.clock).await {
            Ok(entry) => {
                let entry = Arc::new(entry);
                self.keep(wanted, &entry);
                Ok((entry, Source::GitHub))
            }
            Err(failure) => {
                let served = self.memory.worked(wanted.subject.scope.installation_id);
                Err(Refused { failure, served })
            }
        }
    }
}

fn contested() -> Failure {
    let message = "tokens of this scope are revoked again and again, and one caller at a time gets a new one";
    Failure::over_in(ErrorType::RateLimited, message, LEASE.unsigned_abs())
}

/// The row's token. One that does not open (another key's, tampered with, moved here) is as good as none.
fn open(wanted: &Wanted<'_>, row: &Row) -> Option<Arc<Entry>> {
    let sealed = row.sealed()?;
    let signer = wanted.subject.signer;
    let entry = signer.seal.open(&wanted.key, &sealed).and_then(|plain| Entry::from_json(&plain));
    if entry.is_none() {
        let (cache_key, fingerprint) = (wanted.key.hex(), signer.fingerprint());
        tracing::warn!(cache_key, fingerprint, "an item of the table of tokens does not decrypt; minting anew");
    }
    entry.map(Arc::new)
}
