//! One secret of Secrets Manager as an operator changes it: version by version, and none in service before it is whole.
//!
//! A new version is written as AWSPENDING, which no function reads, then read back, and only then made AWSCURRENT; AWS
//! makes the version before it AWSPREVIOUS. Interrupted anywhere, the functions go on with what they had.
//! <https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html>

use std::collections::BTreeMap;

use aws_sdk_secretsmanager::Client;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_secretsmanager::operation::get_secret_value::GetSecretValueError;
use secrecy::{ExposeSecret, SecretString};

use crate::aws::{Call, Session};
use crate::failure::Failure;

pub(crate) const CURRENT: &str = "AWSCURRENT";
pub(crate) const PREVIOUS: &str = "AWSPREVIOUS";
const PENDING: &str = "AWSPENDING";

/// Ours: on the version of the webhook secret that GitHub was told last. A rotation that was interrupted in between is
/// found by it; writing yet another version would push the one that GitHub still signs with out of service.
pub(crate) const AT_GITHUB: &str = "GITHUB";

/// Ours: on the version with an App that `create` has made, until an App is in service. GitHub shows a new App's key once,
/// and AWS deletes versions without a label.
pub(crate) const CREATED: &str = "CREATED";

/// The largest value, in bytes. <https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html>
const LARGEST_VALUE: usize = 65_536;

/// Which version carries which staging label.
pub(crate) type Stages = BTreeMap<String, String>;

/// What [`Secret::write`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    New,
    /// The current version says the same: another one would push AWSPREVIOUS out of service.
    Unchanged,
}

/// The version in service as it was looked at. What is decided from it is written in its place and in no other's: of two
/// operators at once one is told, and what the other one did stays.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) value: Option<SecretString>,
    version: Option<String>,
}

impl Current {
    pub(crate) fn says_the_same(&self, other: &Self) -> bool {
        let text = |current: &Self| current.value.as_ref().map(|value| value.expose_secret().to_owned());
        text(self) == text(other)
    }
}

/// A secret by its name or ARN.
#[derive(Debug)]
pub(crate) struct ManagedSecret<'a> {
    client: Client,
    session: &'a Session,
    id: &'a str,
}

impl<'a> ManagedSecret<'a> {
    pub(crate) fn new(session: &'a Session, id: &'a str) -> Self {
        Self { client: Client::new(&session.config), session, id }
    }

    pub(crate) fn id(&self) -> &str {
        self.id
    }

    pub(crate) async fn stages(&self) -> Result<Stages, Failure> {
        let described = self.client.describe_secret().secret_id(self.id).send().await;
        let described = described.map_err(|error| self.failure("secretsmanager:DescribeSecret", &error))?;
        let versions = described.version_ids_to_stages.unwrap_or_default();
        let pairs =
            versions.into_iter().flat_map(|(id, stages)| stages.into_iter().map(move |stage| (stage, id.clone())));
        Ok(pairs.collect())
    }

    /// The version in service.
    pub(crate) async fn current(&self) -> Result<Current, Failure> {
        let found = self.get(CURRENT).await?;
        Ok(match found {
            Some((value, version)) => Current { value: not_empty(value), version: Some(version) },
            None => Current { value: None, version: None },
        })
    }

    /// The value with this label. `None` if there is none, or if it is empty: the template makes a secret without a value.
    pub(crate) async fn at(&self, stage: &str) -> Result<Option<SecretString>, Failure> {
        Ok(self.get(stage).await?.and_then(|(value, _)| not_empty(value)))
    }

    async fn get(&self, stage: &str) -> Result<Option<(SecretString, String)>, Failure> {
        let answer = self.client.get_secret_value().secret_id(self.id).version_stage(stage).send().await;
        let found = match answer {
            Ok(found) => found,
            Err(error) => match error.as_service_error() {
                // The same error for a secret that is not there and for one without this version.
                Some(GetSecretValueError::ResourceNotFoundException(_))
                    if !self.stages().await?.contains_key(stage) =>
                {
                    return Ok(None);
                }
                _ => return Err(self.failure("secretsmanager:GetSecretValue", &error)),
            },
        };
        // The AWS CLI stores bytes where it was given a file of them; the functions read those too. What is no text is not the same as
        // nothing: it is said to be wrong wherever it is read.
        let bytes = found.secret_binary.map(|bytes| String::from_utf8_lossy(bytes.as_ref()).into_owned());
        let value = SecretString::from(found.secret_string.or(bytes).unwrap_or_default());
        Ok(Some((value, found.version_id.unwrap_or_default())))
    }

    /// Puts a value into service in place of the version that was looked at, if it does not say the same. Gives the version that
    /// is in service then.
    pub(crate) async fn write(&self, value: &SecretString, over: &Current) -> Result<(Written, String), Failure> {
        self.check_size(value)?;
        let same = over.value.as_ref().is_some_and(|current| current.expose_secret() == value.expose_secret());
        if let (true, Some(version)) = (same, &over.version) {
            let stages = self.stages().await?;
            if stages.get(CURRENT) != Some(version) {
                return Err(self.changed());
            }
            // Of a run that was interrupted.
            if let Some(pending) = stages.get(PENDING) {
                self.no_longer_pending(pending).await?;
            }
            return Ok((Written::Unchanged, version.clone()));
        }
        let version = self.put(value, PENDING).await?;
        self.read_back(&version, value).await?;
        let placed = self.put_into_service(&version, over).await;
        let settled = self.no_longer_pending(&version).await;
        placed.and(settled).map(|()| (Written::New, version))
    }

    /// Takes AWSPENDING off a version. Where another run has taken it for its own meanwhile, there is nothing left to do, and what was
    /// put into service is.
    async fn no_longer_pending(&self, version: &str) -> Result<(), Failure> {
        if self.stages().await?.get(PENDING).is_none_or(|holder| holder != version) {
            return Ok(());
        }
        match self.move_stage(PENDING, Some(version.to_owned()), None).await {
            Err(_) if self.stages().await?.get(PENDING).is_none_or(|holder| holder != version) => Ok(()),
            done => done,
        }
    }

    async fn put_into_service(&self, version: &str, over: &Current) -> Result<(), Failure> {
        let holder = self.stages().await?.remove(CURRENT);
        if holder.as_deref() == Some(version) {
            // AWS makes a secret's first version current by itself.
            return Ok(());
        }
        if holder != over.version {
            return Err(self.changed());
        }
        match self.move_stage(CURRENT, holder, Some(version.to_owned())).await {
            Ok(()) => Ok(()),
            // AWS moves the label from the version that is named and from no other, and its answer may be lost.
            Err(failure) => match self.stages().await?.get(CURRENT) {
                Some(holder) if holder == version => Ok(()),
                holder if holder != over.version.as_ref() => Err(self.changed()),
                _ => Err(failure),
            },
        }
    }

    /// Refuses to go on with a version that another one has replaced meanwhile.
    pub(crate) async fn check_in_service(&self, version: &str) -> Result<(), Failure> {
        match self.stages().await?.get(CURRENT) {
            Some(current) if current == version => Ok(()),
            _ => Err(Failure::new(format!(
                "somebody else changed the secret {} at the same time: their version is in use, and this run told GitHub \
                 nothing. Run this again, unless they tell GitHub themselves",
                self.id
            ))),
        }
    }

    fn changed(&self) -> Failure {
        Failure::new(format!(
            "somebody else changed the secret {} at the same time: their version is in use, and nothing of this \
             run is in it. If that is not what you want, run this again",
            self.id
        ))
    }

    /// Proves that values can be written, with one that says what is there already. A secret that is empty gets a blank
    /// one, which counts as empty: AWS makes a secret's first version current whatever it is written as, and after this
    /// [`Self::keep`] does not write the first.
    pub(crate) async fn try_writing(&self) -> Result<(), Failure> {
        let value = self.at(CURRENT).await?.unwrap_or_else(|| " ".into());
        self.put(&value, PENDING).await?;
        self.unlabel(PENDING).await.map(drop)
    }

    /// Keeps a value under a label that no function reads.
    pub(crate) async fn keep(&self, value: &SecretString, stage: &str) -> Result<(), Failure> {
        self.check_size(value)?;
        let version = self.put(value, stage).await?;
        self.read_back(&version, value).await
    }

    async fn put(&self, value: &SecretString, stage: &str) -> Result<String, Failure> {
        let put = self.client.put_secret_value().secret_id(self.id).secret_string(value.expose_secret());
        let answer = put.version_stages(stage).send().await;
        let put = answer.map_err(|error| self.failure("secretsmanager:PutSecretValue", &error))?;
        Ok(put.version_id.unwrap_or_default())
    }

    /// Refuses what Secrets Manager would refuse, before anything else is done about it.
    pub(crate) fn check_size(&self, value: &SecretString) -> Result<(), Failure> {
        let bytes = value.expose_secret().len();
        if bytes > LARGEST_VALUE {
            return Err(Failure::new(format!(
                "the secret {} would be {bytes} bytes and Secrets Manager takes {LARGEST_VALUE}: look at what was given, \
                 a key is under 4,000",
                self.id
            )));
        }
        Ok(())
    }

    async fn read_back(&self, version: &str, value: &SecretString) -> Result<(), Failure> {
        let answer = self.client.get_secret_value().secret_id(self.id).version_id(version).send().await;
        let found = answer.map_err(|error| self.failure("secretsmanager:GetSecretValue", &error))?;
        if found.secret_string.is_some_and(|found| found == value.expose_secret()) {
            return Ok(());
        }
        Err(Failure::new(format!(
            "the secret {} was read back differently from what was written, and was not put into service: try again",
            self.id
        )))
    }

    /// Takes a label off the version that was seen to have it, and off no other; says whether there was one.
    pub(crate) async fn take_off(&self, stage: &str, seen: &Stages) -> Result<bool, Failure> {
        let Some(holder) = seen.get(stage) else { return Ok(false) };
        match self.move_stage(stage, Some(holder.clone()), None).await {
            Ok(()) => Ok(true),
            Err(failure) => match self.stages().await?.get(stage) {
                None => Ok(true),
                Some(other) if other != holder => Err(self.changed()),
                Some(_) => Err(failure),
            },
        }
    }

    /// Moves a label to a version from wherever it is.
    pub(crate) async fn label(&self, stage: &str, version: &str) -> Result<(), Failure> {
        let holder = self.stages().await?.remove(stage);
        if holder.as_deref() == Some(version) {
            return Ok(());
        }
        self.move_stage(stage, holder, Some(version.to_owned())).await
    }

    /// Takes a label off; says whether it was there.
    pub(crate) async fn unlabel(&self, stage: &str) -> Result<bool, Failure> {
        let Some(holder) = self.stages().await?.remove(stage) else { return Ok(false) };
        self.move_stage(stage, Some(holder), None).await.map(|()| true)
    }

    async fn move_stage(&self, stage: &str, from: Option<String>, to: Option<String>) -> Result<(), Failure> {
        let answer = self
            .client
            .update_secret_version_stage()
            .secret_id(self.id)
            .version_stage(stage)
            .set_remove_from_version_id(from)
            .set_move_to_version_id(to)
            .send()
            .await;
        answer.map(drop).map_err(|error| self.failure("secretsmanager:UpdateSecretVersionStage", &error))
    }

    fn failure<E, R>(&self, action: &'static str, error: &SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        let call = Call {
            service: "Secrets Manager",
            action,
            resource: &format!("secret {}", self.id),
            if_missing: "deploy the stack again with `make deploy`",
            session: self.session,
        };
        call.failure(error)
    }
}

/// The template makes a secret without a value, and [`Secret::try_writing`] one with a blank.
fn not_empty(value: SecretString) -> Option<SecretString> {
    (!value.expose_secret().trim().is_empty()).then_some(value)
}
