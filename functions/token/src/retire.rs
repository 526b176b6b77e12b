//! Taking a token out of service: revoked by its holder, or reported as rejected.

use adapters::github;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::contract::token::{Answer, ErrorType};
use domain::policy::Profile;
use secrecy::SecretString;

use crate::App;
use crate::audit::Audit;
use crate::clock::Clock;
use crate::entry::sha256;
use crate::failure::{Failure, logged};
use crate::store::RowKey;

impl App {
    /// Revokes a token, at GitHub first: it proves itself, so neither a policy nor a secret has a say in it. Then its copy goes, by
    /// its hash; other environments learn of it within 30 s.
    pub(crate) async fn revoke(
        &self,
        token: &SecretString,
        clock: Clock,
        audit: &mut Audit,
    ) -> Result<Answer, Failure> {
        let sha256 = sha256(token);
        audit.token(&sha256);
        let revoking = tokio::time::timeout(clock.left(), self.github.revoke_installation_access_token(token)).await;
        match revoking {
            // A token that GitHub does not know any more is as revoked as can be.
            Ok(Ok(()) | Err(github::Error::Unauthorized(_))) => {}
            Ok(Err(error)) => return Err(not_revoked(error)),
            Err(_) => {
                return Err(not_revoked(github::Error::Unavailable("the time of this invocation is over".into())));
            }
        }
        let mut dropped = self.memory.drop_token(&sha256);
        match self.drop_copy(&sha256, clock).await {
            Ok(there) => dropped |= there,
            Err(error) => {
                let error = logged(&error);
                tracing::warn!(error, "the cached copy of a revoked token could not be dropped");
            }
        }
        audit.revoked();
        Ok(Answer::Revoked { revoked: true, dropped })
    }

    async fn drop_copy(&self, sha256: &str, clock: Clock) -> adapters::Result<bool> {
        match self.store.pointer(sha256, None).await? {
            Some(key) => self.store.remove(&RowKey::from(&key), sha256, clock.now()).await,
            None => Ok(false),
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
        let now = clock.now() + self.signers.offset();
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
                "no copy of this token, or a fresh one: those are refused for seconds by GitHub itself; or one was \
                dropped in the last 30 s"
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
    let wait = error.wait();
    let cause = Some(logged(&error.into()));
    let failure = match wait {
        Some(wait) => Failure::over_in(ErrorType::RateLimited, "GitHub asks to wait, the token is not revoked", wait),
        None => {
            let message = "GitHub did not revoke the token: try again, or let it end within the hour";
            Failure::new(ErrorType::GitHubUnavailable, message)
        }
    };
    Failure { cause, ..failure }
}
