//! AWS as the AWS CLI finds it, and what a user does when it refuses.

use std::error::Error;
use std::time::Duration;

use adapters::aws::AwsError;
use adapters::config::Variables;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_lambda::error::{ErrorMetadata, ProvideErrorMetadata, SdkError};
use clap::Args;

use crate::failure::{Failure, chain, deepest};

/// Which account and region to work in; both are found as the AWS CLI finds them.
#[derive(Debug, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct Account {
    /// AWS profile [default: AWS_PROFILE]
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// AWS region [default: AWS_REGION, else the profile's]
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
}

impl Account {
    /// The profile, where a flag names one.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.profile.as_deref()
    }

    /// The region, where a flag names one.
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The SDK's configuration for it.
    ///
    /// An attempt may take as long as the token function may run: a shorter bound would ask again while the first
    /// answer is under way.
    pub(crate) async fn session(&self) -> Result<Session, Failure> {
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(Duration::from_secs(5))
            .operation_attempt_timeout(Duration::from_secs(35))
            .operation_timeout(Duration::from_secs(60))
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            .retry_config(RetryConfig::standard().with_max_attempts(3));
        if let Some(profile) = &self.profile {
            // A profile that is named wins over keys in the environment, as it does for the AWS CLI; the SDK takes the keys.
            // <https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-quickstart.html#cli-configure-quickstart-precedence>
            let of_profile = ProfileFileCredentialsProvider::builder().profile_name(profile).build();
            loader = loader.profile_name(profile).credentials_provider(of_profile);
        }
        if let Some(region) = &self.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let config = loader.load().await;
        let profile = self.profile.clone().or_else(|| Variables::default().optional("AWS_PROFILE"));
        match config.region().cloned() {
            Some(region) => Ok(Session { config, region, profile }),
            None => Err(no_region(profile.as_deref().unwrap_or("default"))),
        }
    }
}

/// What every client is made of.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) config: SdkConfig,
    pub(crate) region: Region,
    profile: Option<String>,
}

fn no_region(profile: &str) -> Failure {
    Failure::new(format!(
        "no AWS region: set AWS_REGION, pass --region, or give the profile {profile} one with \
         `aws configure set region REGION --profile {profile}`"
    ))
}

/// One kind of call, for the messages about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) service: &'static str,
    /// The IAM action.
    pub(crate) action: &'a str,
    /// What it acts on: `the table Tasks`.
    pub(crate) resource: &'a str,
    /// What to do where there is no such thing.
    pub(crate) if_missing: &'static str,
    pub(crate) session: &'a Session,
}

impl Call<'_> {
    /// What went wrong, and what to do about it.
    pub(crate) fn failure<E, R>(&self, error: &SdkError<E, R>) -> Failure
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        self.refused(error, error.as_service_error().map(ProvideErrorMetadata::meta))
    }

    fn refused(&self, error: &(dyn Error + 'static), refusal: Option<&ErrorMetadata>) -> Failure {
        if let Some(error) = credentials_error(error) {
            return self.session.no_credentials(error);
        }
        let Self { service, action, resource, if_missing, session: Session { region, .. } } = self;
        let Some(refusal) = refusal else {
            let cause = deepest(error);
            return Failure::new(format!(
                "{service} in {region} does not answer ({cause}): check the network and the region, and try again"
            ));
        };
        let (code, message) = (refusal.code().unwrap_or("no code"), refusal.message().unwrap_or_default());
        Failure::new(match code {
            "ResourceNotFoundException" => format!("there is no {resource} in {region}: {if_missing}"),
            "AccessDeniedException" | "AccessDenied" => format!(
                "these AWS credentials may not use the {resource}: let their role or user do {action} on it (the \
                 stack's outputs name the policy)"
            ),
            "ExpiredTokenException"
            | "ExpiredToken"
            | "InvalidSignatureException"
            | "SignatureDoesNotMatch"
            | "InvalidClientTokenId"
            | "UnrecognizedClientException" => format!(
                "AWS does not accept these credentials ({code}): sign in again (`aws sso login`), or choose others \
                 with AWS_PROFILE"
            ),
            "ThrottlingException" | "TooManyRequestsException" | "ProvisionedThroughputExceededException" => {
                format!("too many calls of the {resource} at this time: try again in some seconds")
            }
            _ => format!("{service} did not carry out {action} on the {resource} ({code}): {message}"),
        })
    }
}

impl Session {
    /// What went wrong with a table, and what to do about it: the text where there is no such table.
    pub(crate) fn table_failure(&self, error: adapters::Error, if_missing: &'static str) -> Failure {
        let (adapters::Error::Table { table, operation, source }
        | adapters::Error::Unwritable { table, operation, source, .. }) = &error
        else {
            return error.into();
        };
        let Some(said) = source.downcast_ref::<AwsError>() else { return error.into() };
        let (action, resource) = (format!("dynamodb:{operation}"), format!("table {table}"));
        let call = Call { service: "DynamoDB", action: &action, resource: &resource, if_missing, session: self };
        call.refused(said.whole(), said.refusal())
    }

    /// What makes the AWS CLI work in the same account and region.
    pub(crate) fn flags(&self) -> String {
        let profile = self.profile.as_ref().map(|profile| format!(" --profile '{profile}'"));
        format!("--region {}{}", self.region, profile.unwrap_or_default())
    }

    fn no_credentials(&self, error: &CredentialsError) -> Failure {
        let advice = "sign in (`aws sso login` or `aws login`), set AWS_PROFILE, or give this machine a role";
        Failure::new(match (error, &self.profile) {
            (CredentialsError::CredentialsNotLoaded(_), None) => format!("no AWS credentials: {advice}"),
            (CredentialsError::CredentialsNotLoaded(_), Some(profile)) => {
                format!("no AWS credentials in the profile {profile}, if there is such a profile: {advice}")
            }
            (other, _) => format!("the AWS credentials cannot be loaded ({}): {advice}", deepest(other)),
        })
    }
}

fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    chain(error).find_map(|cause| cause.downcast_ref())
}
