//! The deployed stack: what the template's outputs and parameters say of it.

use std::collections::BTreeMap;

use adapters::github::ApiUrl;
use aws_sdk_cloudformation::Client;
use aws_sdk_cloudformation::error::ProvideErrorMetadata;
use aws_sdk_cloudformation::types::Stack as Described;
use clap::Args;
use domain::policy::Profile;
use serde::Deserialize;

use crate::api_url;
use crate::aws::{Account, Call, Session};
use crate::failure::Failure;

/// What `infra/samconfig.toml` calls the stack.
pub(crate) const DEFAULT_STACK: &str = "konduktor-github-app";

const IF_MISSING: &str = "deploy it with `make deploy`, name it with --stack, or choose the region and the account it is \
                          in with --region and --profile";

/// Which stack, where it is not the usual one.
#[derive(Debug, Args)]
pub(crate) struct Name {
    /// The CloudFormation stack
    #[arg(long, value_name = "NAME", default_value = DEFAULT_STACK)]
    stack: String,
    /// GitHub's REST API, where it is not the one that the stack was deployed with
    #[arg(long, value_name = "URL")]
    github_api_url: Option<String>,
}

/// A stack that is there, with everything that its outputs name.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) session: Session,
    pub(crate) name: String,
    /// The AWS account that it is in.
    pub(crate) account: String,
    /// CloudFormation's word for the state it is in, such as `UPDATE_COMPLETE`.
    pub(crate) status: String,
    pub(crate) webhook_url: String,
    pub(crate) webhook_function: String,
    pub(crate) reconcile_function: String,
    pub(crate) token_function: String,
    /// The token function as people invoke it, by its alias: stacks of before have none.
    pub(crate) inspect_tokens: Option<String>,
    /// The TokenPolicy that it was deployed with.
    pub(crate) token_policy: Option<String>,
    pub(crate) tasks_table: String,
    pub(crate) pull_requests_table: String,
    pub(crate) tokens_table: String,
    /// The name or ARN of the secret that GitHub signs deliveries with.
    pub(crate) webhook_secret: String,
    /// The name or ARN of the secret with the App's id and private key.
    pub(crate) app_secret: String,
    /// The command that makes git ask for tokens.
    pub(crate) git_credential_helper: String,
    pub(crate) github_api_url: ApiUrl,
}

/// A stack's name or ARN, as CloudFormation takes it.
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/APIReference/API_CreateStack.html>
fn valid_name(text: &str) -> Result<(), String> {
    let name = match text.strip_prefix("arn:").and_then(|arn| arn.split_once(":stack/")) {
        Some((_, path)) => path.split('/').next().unwrap_or_default(),
        None => text,
    };
    let fits = name.len() <= 128
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    fits.then_some(()).ok_or_else(|| "a stack's name is a letter, then letters, digits and hyphens".to_owned())
}

impl Name {
    /// A stack that is asked about AWS alone.
    pub(crate) fn of(stack: &str) -> Self {
        Self { stack: stack.to_owned(), github_api_url: None }
    }
}

impl Stack {
    /// The token function as this command's user invokes it.
    pub(crate) fn tokens(&self) -> &str {
        self.inspect_tokens.as_deref().unwrap_or(&self.token_function)
    }

    /// The token function as reconcile invokes it.
    pub(crate) fn tokens_of_reconcile(&self) -> String {
        match &self.inspect_tokens {
            Some(_) => format!("{}:{}", self.token_function, Profile::RECONCILE),
            None => self.token_function.clone(),
        }
    }

    /// Looks the stack up.
    pub(crate) async fn find(name: &Name, account: &Account) -> Result<Self, Failure> {
        valid_name(&name.stack).map_err(|reason| Failure::new(format!("--stack: {reason}")))?;
        let flag = name.github_api_url.as_deref().map(api_url::given).transpose()?;
        let session = account.session().await?;
        let described = describe(&name.stack, &session).await?;
        let status = described.stack_status().map_or("an unknown state", |status| status.as_str()).to_owned();
        // `arn:aws:cloudformation:REGION:ACCOUNT:stack/NAME/ID`.
        let account =
            described.stack_id().and_then(|id| id.split(':').nth(4)).unwrap_or("an unknown account").to_owned();
        let mut outputs: BTreeMap<String, String> = described
            .outputs
            .unwrap_or_default()
            .into_iter()
            .filter_map(|output| Some((output.output_key?, output.output_value?)))
            .collect();
        let parameters = described.parameters.unwrap_or_default();
        let deployed = |key: &str| {
            let found = parameters.iter().find(|parameter| parameter.parameter_key() == Some(key));
            found.and_then(|parameter| parameter.parameter_value.clone())
        };
        let github_api_url = match (flag, deployed("GitHubApiUrl")) {
            (Some(flag), _) => flag,
            (None, Some(deployed)) => deployed
                .parse()
                .map_err(|reason| Failure::new(format!("the stack's GitHubApiUrl cannot be used: {reason}")))?,
            (None, None) => ApiUrl::default(),
        };
        let inspect_tokens = outputs.remove("InspectTokens");
        let mut output = |key: &str| {
            outputs.remove(key).ok_or_else(|| {
                let next = after(&status, &name.stack);
                Failure::new(format!("the stack {} is in {status} and has no output {key}: {next}", name.stack))
            })
        };
        Ok(Self {
            webhook_url: output("WebhookUrl")?,
            webhook_function: output("WebhookFunction")?,
            reconcile_function: output("ReconcileFunction")?,
            token_function: output("TokenFunction")?,
            inspect_tokens,
            token_policy: deployed("TokenPolicy"),
            tasks_table: output("TasksTable")?,
            pull_requests_table: output("PullRequestsTable")?,
            tokens_table: output("TokensTable")?,
            webhook_secret: output("WebhookSecret")?,
            app_secret: output("AppSecret")?,
            git_credential_helper: output("GitCredentialHelper")?,
            github_api_url,
            name: name.stack.clone(),
            account,
            status,
            session,
        })
    }
}

/// CloudFormation's states in groups, each with what to do: `infra/deploy` reads the same.
const STATES: &str = include_str!("../../states.json");

#[derive(Deserialize)]
struct Kind {
    states: Vec<String>,
    next: String,
}

/// What to do with a stack in this state, where it is not as it should be.
///
/// <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/view-stack-events.html>
pub(crate) fn after(status: &str, name: &str) -> String {
    let events = format!("`aws cloudformation describe-stack-events --stack-name {name}`");
    let next = next(status).unwrap_or_else(|| "see it in CloudFormation's console".to_owned());
    next.replace("{events}", &events).replace("{name}", name)
}

fn next(status: &str) -> Option<String> {
    let kinds: BTreeMap<String, Kind> = serde_json::from_str(STATES).ok()?;
    kinds.into_values().find(|kind| kind.states.iter().any(|state| state == status)).map(|kind| kind.next)
}

async fn describe(name: &str, session: &Session) -> Result<Described, Failure> {
    let answer = Client::new(&session.config).describe_stacks().stack_name(name).send().await;
    let found = answer.map_err(|error| {
        // CloudFormation has no error of its own for a stack that is not there, and nothing else is wrong with a name of the right form.
        if error.code() == Some("ValidationError") {
            return no_stack(name, session);
        }
        let call = Call {
            service: "CloudFormation",
            action: "cloudformation:DescribeStacks",
            resource: &format!("stack {name}"),
            if_missing: IF_MISSING,
            session,
        };
        call.failure(&error)
    })?;
    found.stacks.unwrap_or_default().into_iter().next().ok_or_else(|| no_stack(name, session))
}

fn no_stack(name: &str, session: &Session) -> Failure {
    Failure::new(format!("there is no stack {name} in {}: {IF_MISSING}", session.region))
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudformation::types::StackStatus;

    use super::{after, next, valid_name};

    #[test]
    fn a_stack_that_cannot_be_updated_is_not_sent_to_a_deploy_that_cannot_work() {
        for status in ["CREATE_FAILED", "ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "DELETE_FAILED"] {
            let next = after(status, "acme");
            let (destroy, deploy) = (next.find("`make destroy`"), next.find("`make deploy`"));
            assert!(destroy.is_some() && destroy < deploy, "{status}: {next}");
        }
        for (status, word) in
            [("UPDATE_ROLLBACK_FAILED", "continue-update-rollback"), ("UPDATE_FAILED", "rollback-stack")]
        {
            let next = after(status, "acme");
            assert!(next.contains(&format!(" {word} --stack-name acme`")), "{status}: {next}");
        }
        for status in ["DELETE_IN_PROGRESS", "UPDATE_ROLLBACK_IN_PROGRESS", "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS"] {
            let next = after(status, "acme");
            assert!(next.contains("wait until") && !next.contains("make"), "{status}: {next}");
        }
        // Nobody carries the change set out, and a deploy begins anew.
        let next = after("REVIEW_IN_PROGRESS", "acme");
        assert!(next.contains("`make deploy`") && !next.contains("wait"), "{next}");
    }

    #[test]
    fn a_name_that_cloudformation_would_refuse_is_refused_before_it_is_asked() {
        let arn = "arn:aws:cloudformation:eu-west-1:123456789012:stack/acme-1/0a1b2c3d-0000-0000-0000-000000000000";
        for name in ["konduktor-github-app", "A", arn] {
            assert_eq!(valid_name(name), Ok(()));
        }
        for name in [
            "",
            "1acme",
            "acme_app",
            "acme app",
            "arn:aws:cloudformation:eu-west-1:123456789012:stack/",
            &"a".repeat(129),
        ] {
            assert!(valid_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn every_state_that_cloudformation_has_is_known() {
        let unknown: Vec<_> = StackStatus::values().iter().filter(|status| next(status).is_none()).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
