//! The App's one way to GitHub, shared by all its scopes and environments.
//!
//! A limit, a key that GitHub does not know, a wrong App ID: what is met in one scope holds for all, and GitHub refuses everything
//! for a while when it is asked again and again. So each call as the App passes here. Where nothing is known one call goes ahead
//! and the others wait for what becomes of it. Each success lets twice as many go at once; a refusal of the App closes the way
//! until it is over. A key's refusal is kept by its fingerprint: another version's key is not held up by it.
//!
//! Without the table the way is open: then each environment knows what it met itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use adapters::github::app::AppBearer;
use adapters::github::{self, Client};
use adapters::pause::jittered;
use domain::contract::token::ErrorType;
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

use crate::clock::Clock;
use crate::failure::{Failure, is_of_the_app, logged, warn_of};
use crate::signer::Signer;
use crate::store::{Remembered, Row, RowKey, Store, is_ahead};
use crate::subject::Subject;

/// Shorter than a call takes: most who wait do so for the first one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(400);

/// A third of the lease: two renewals may be lost before somebody else goes ahead.
const RENEWED_EVERY: Duration = Duration::from_secs(1);

/// With the lease's own time five seconds: GitHub mints in less than one.
const RENEWALS: usize = 2;

/// What a caller is let through by, and the row as it was then.
enum Pass {
    Credit(Row),
    Lease(String, Row),
    /// The table does not answer.
    Open,
}

/// The way, as one execution environment knows it.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) github: Client,
    store: Store,
    /// GitHub's clock minus ours.
    offset_seconds: AtomicI64,
    /// What holds for an App, or for one key of it, in all its scopes: for when the table cannot be asked.
    refused: Mutex<HashMap<(RowKey, String), Remembered>>,
}

impl Gate {
    pub(crate) fn new(github: Client, store: Store) -> Self {
        Self { github, store, offset_seconds: AtomicI64::new(0), refused: Mutex::default() }
    }

    /// The time by GitHub's clock.
    pub(crate) fn now(&self, clock: Clock) -> Timestamp {
        clock.now() + self.offset()
    }

    pub(crate) fn correct(&self, offset: SignedDuration) {
        self.offset_seconds.store(offset.as_secs(), Ordering::Relaxed);
    }

    pub(crate) fn bearer<'a>(&self, signer: &'a Signer, clock: Clock) -> AppBearer<'a> {
        signer.bearer(clock.now(), self.offset())
    }

    fn offset(&self) -> SignedDuration {
        SignedDuration::from_secs(self.offset_seconds.load(Ordering::Relaxed))
    }

    /// Makes a call as the App once it may be made, for as long as the invocation lasts, and notes what became of it. The call is told
    /// whether it had to wait: then somebody else went ahead, and may have found what it asks for.
    pub(crate) async fn at_github<T>(
        &self,
        subject: &Subject<'_>,
        clock: Clock,
        call: impl AsyncFnOnce(bool) -> Result<T, github::Error>,
    ) -> Result<T, Failure> {
        let (pass, waited) = self.enter(subject, clock).await?;
        let call = clock.bound(call(waited));
        let answer = match &pass {
            Pass::Lease(owner, _) => tokio::select! {
                biased;
                answer = call => answer,
                never = self.keep_way(subject, owner, clock) => match never {},
            },
            Pass::Credit(_) | Pass::Open => call.await,
        };
        match answer {
            Ok(answer) => {
                self.leave(subject, pass, true, clock.now()).await;
                Ok(answer)
            }
            Err(error) => {
                // Whatever its words, a 401 is about the App's own credentials, and repeated ones get everything refused.
                let of_the_app = matches!(error, github::Error::Unauthorized(_));
                let failure = subject.refused(error);
                self.note(subject, pass, &failure, of_the_app, clock.now()).await;
                Err(failure)
            }
        }
    }

    async fn enter(&self, subject: &Subject<'_>, clock: Clock) -> Result<(Pass, bool), Failure> {
        let (app, fingerprint) = (subject.signer.app_row(), subject.signer.fingerprint());
        if let Some(remembered) = self.refused_here(&app, fingerprint, clock.now()) {
            return Err(subject.remembered(remembered, clock.now()));
        }
        let owner = Uuid::new_v4().to_string();
        let (mut pause, mut waited) = (FIRST_PAUSE, false);
        loop {
            let now = clock.now();
            let Some(row) = warned(self.store.get(&app).await) else { return Ok((Pass::Open, waited)) };
            if let Some(remembered) = row.refused(fingerprint, now) {
                return Err(subject.remembered(remembered, now));
            }
            if row.has_credit(now) {
                match warned(self.store.spend(&app, fingerprint, now).await) {
                    Some(true) => return Ok((Pass::Credit(row), waited)),
                    Some(false) => {}
                    None => return Ok((Pass::Open, waited)),
                }
            } else if !row.is_leased(now) || row.is_owned_by(&owner) {
                match warned(self.store.take_way(&app, &owner, fingerprint, now).await) {
                    Some(true) => return Ok((Pass::Lease(owner, row), waited)),
                    Some(false) => {}
                    None => return Ok((Pass::Open, waited)),
                }
            }
            if clock.left() < LAST_PAUSE {
                return Err(subject.failure(ErrorType::Busy, None));
            }
            tokio::time::sleep(jittered(pause)).await;
            (pause, waited) = ((pause * 2).min(LAST_PAUSE), true);
        }
    }

    /// Renews the lease while an answer may be expected. One installation that hangs must not keep the others from theirs: after that the next
    /// call goes ahead beside this one.
    async fn keep_way(&self, subject: &Subject<'_>, owner: &str, clock: Clock) -> std::convert::Infallible {
        for _ in 0..RENEWALS {
            tokio::time::sleep(RENEWED_EVERY).await;
            warn_of(self.store.renew(&subject.signer.app_row(), owner, clock.now()).await);
        }
        std::future::pending().await
    }

    /// Notes a refusal where it holds: for the App, for its key, or not here.
    async fn note(&self, subject: &Subject<'_>, pass: Pass, failure: &Failure, of_the_app: bool, now: Timestamp) {
        let fingerprint = match failure.error_type {
            ErrorType::InvalidKey => Some(subject.signer.fingerprint()),
            error_type if of_the_app || is_of_the_app(error_type) => None,
            // These say nothing of the App's next call.
            ErrorType::GitHubUnavailable | ErrorType::ClockSkew | ErrorType::NotConfigured => {
                return self.leave(subject, pass, false, now).await;
            }
            // GitHub knew the App and its key, and refused this one request.
            _ => return self.leave(subject, pass, true, now).await,
        };
        let seen = match pass {
            Pass::Credit(row) | Pass::Lease(_, row) => row,
            Pass::Open => Row::default(),
        };
        self.close_way(subject.signer, fingerprint, failure, &seen, now).await;
    }

    pub(crate) async fn close_way(
        &self,
        signer: &Signer,
        fingerprint: Option<&str>,
        failure: &Failure,
        seen: &Row,
        now: Timestamp,
    ) {
        let app = signer.app_row();
        let refusal = failure.remembered(now);
        self.set_refused_here(&app, fingerprint, refusal);
        warn_of(self.store.close_way(&app, fingerprint, refusal, seen, now).await);
    }

    async fn leave(&self, subject: &Subject<'_>, pass: Pass, worked: bool, now: Timestamp) {
        let app = subject.signer.app_row();
        match pass {
            Pass::Credit(_) if worked => warn_of(self.store.credit(&app, now).await),
            Pass::Lease(owner, row) => warn_of(self.store.end_way(&app, &owner, &row, worked, now).await),
            Pass::Credit(_) | Pass::Open => {}
        }
    }

    fn refused_here(&self, app: &RowKey, fingerprint: &str, now: Timestamp) -> Option<Remembered> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |fingerprint: &str| refused.get(&(app.clone(), fingerprint.to_owned())).copied();
        [of(""), of(fingerprint)].into_iter().flatten().find(|remembered| is_ahead(remembered.until, now))
    }

    /// Remembers a refusal of the App, or of one key of it, unless one stands for longer.
    fn set_refused_here(&self, app: &RowKey, fingerprint: Option<&str>, remembered: Remembered) {
        let key = (app.clone(), fingerprint.unwrap_or_default().to_owned());
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let known = refused.entry(key).or_insert(remembered);
        if known.until < remembered.until {
            *known = remembered;
        }
    }
}

/// What the table answered, or a warning.
fn warned<T>(answer: adapters::Result<T>) -> Option<T> {
    answer
        .map_err(|error| {
            let error = logged(&error);
            tracing::warn!(error, "the table of tokens did not answer; GitHub is asked without it");
        })
        .ok()
}
