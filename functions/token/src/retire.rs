//! Taking a token out of service: revoked by its holder, or reported as rejected.

use std::sync::Arc;

use adapters::github;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::contract::token::{Answer, ErrorType};
use domain::policy::Profile;
use secrecy::SecretString;

use crate::audit::Audit;
use crate::clock::Clock;
use crate::entry::sha256;
use crate::failure::{Failure, is_of_the_app, logged, type_of};
use crate::gate::Gate;
use crate::memory::Memory;
use crate::seal::CacheKey;
use crate::signer::Signers;
use crate::store::{Row, RowKey, Store, TRIED_WITHIN};

/// What takes tokens out of service.
#[derive(Debug)]
pub(crate) struct Retire {
    pub(crate) signers: Arc<Signers>,
    pub(crate) gate: Arc<Gate>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) store: Store,
}

impl Retire {
    /// Revokes a token, at GitHub first: it proves itself, so neither a policy nor a secret has a say in it. Then its copy goes, by
    /// its hash; other environments learn of it within 30 s. Of tokens that are not known here, or no more, GitHub is told a few a
    /// minute: it refuses everything for a while after many bad credentials, and anybody can make those up.
    pub(crate) async fn revoke(
        &self,
        token: &SecretString,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Answer, Failure> {
        let sha256 = sha256(token);
        audit.token(&sha256);
        let pointer = self.store.pointer(&sha256, None).await;
        if let Ok(None) = pointer {
            self.may_try(clock).await?;
        }
        match clock.bound(self.gate.github.revoke_installation_access_token(token)).await {
            // A token that GitHub does not know any more is as revoked as can be.
            Ok(()) | Err(github::Error::Unauthorized(_)) => {}
            Err(error) => {
                let failure = not_revoked(error);
                self.note_for_app(&failure, clock).await;
                return Err(failure);
            }
        }
        let mut dropped = self.memory.drop_token(&sha256);
        match self.drop_copy(pointer, &sha256, clock).await {
            Ok(there) => dropped |= there,
            Err(error) => {
                let error = logged(&error);
                tracing::warn!(error, "the cached copy of a revoked token could not be dropped");
            }
        }
        audit.revoked();
        Ok(Answer::Revoked { revoked: true, dropped })
    }

    async fn may_try(&self, clock: Clock) -> Result<(), Failure> {
        let row = RowKey::shared("tries", &self.gate.github.api_url().as_str());
        // Without the table the way to GitHub is open.
        if self.store.may_try(&row, clock.now()).await.unwrap_or(true) {
            return Ok(());
        }
        let message = "too many unknown tokens were sent for revocation, so this one is not revoked";
        Err(Failure::over_in(ErrorType::RateLimited, message, TRIED_WITHIN.unsigned_abs()))
    }

    async fn drop_copy(
        &self,
        pointer: adapters::Result<Option<CacheKey>>,
        sha256: &str,
        clock: Clock,
    ) -> adapters::Result<bool> {
        let Some(key) = pointer? else { return Ok(false) };
        let dropped = self.store.remove(&RowKey::from(&key), sha256, clock.now()).await?;
        // From here on the token is as unknown as one that is made up: revoked again and again it is a bad credential each time.
        self.store.unpoint(sha256).await?;
        Ok(dropped)
    }

    /// A limit or a lock-out that was met here holds for the App as well.
    async fn note_for_app(&self, failure: &Failure, clock: Clock) {
        if !is_of_the_app(failure.error_type) {
            return;
        }
        let Ok(known) = self.signers.versions(clock).await else { return };
        let Some(version) = self.signers.first(&known) else { return };
        let signer = self.signers.signer(version);
        if let Ok(signer) = signer {
            self.gate.close_way(&signer, None, failure, &Row::default(), clock.now()).await;
        }
    }

    /// Drops the copy of a token that a client reports as rejected. Only a client of the profile that has the copy: its hash alone
    /// proves nothing.
    pub(crate) async fn invalidate(
        &self,
        sha256: &[u8; 32],
        profile: &Profile,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Answer, Failure> {
        let sha256 = BASE64_STANDARD.encode(sha256);
        audit.token(&sha256);
        // Somebody may have revoked it elsewhere; whether the table still has it costs one read, however false the report is.
        self.memory.doubt_token(&sha256);
        let now = self.gate.now(clock);
        let dropped = match self.store.pointer(&sha256, Some(profile)).await {
            Ok(Some(key)) => self.store.invalidate(&RowKey::from(&key), &sha256, now).await,
            Ok(None) => Ok(false),
            Err(error) => Err(error),
        };
        let reason = match dropped {
            Ok(true) => {
                self.memory.drop_token(&sha256);
                audit.invalidated();
                return Ok(Answer::Invalidated { invalidated: true, reason: None });
            }
            Ok(false) => {
                "nothing was dropped: this token is not cached, or it is so new that GitHub may reject it for some \
                seconds, or another was dropped in the last 30 s"
            }
            Err(error) => {
                let error = logged(&error);
                tracing::warn!(error, "a rejected token could not be dropped");
                "the table of tokens cannot be reached; try again"
            }
        };
        Ok(Answer::Invalidated { invalidated: false, reason: Some(reason) })
    }
}

fn not_revoked(error: github::Error) -> Failure {
    let (error_type, wait) = (type_of(&error), error.wait());
    let cause = Some(logged(&error.into()));
    let failure = match (error_type, wait) {
        (_, Some(wait)) => Failure::over_in(error_type, "GitHub asks to wait, the token is not revoked", wait),
        (ErrorType::GitHubUnavailable, None) => {
            Failure::new(error_type, "GitHub did not revoke the token: try again, or let it end within the hour")
        }
        (_, None) => Failure::new(
            error_type,
            "GitHub refuses to revoke the token, in words that this function's log has under this request's id: it ends \
             within the hour",
        ),
    };
    Failure { cause, ..failure }
}
