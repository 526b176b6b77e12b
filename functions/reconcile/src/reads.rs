//! Reads of one thing of GitHub's: a pull request, the name of a repository, whether an author may write.

use adapters::github::graphql;
use adapters::github::pull_request::Observed;
use domain::ids::{InstallationId, PullRequestNumber, RepositoryId, RepositoryName};
use domain::pull_request::{Snapshot, State};
use domain::report::Source;

use crate::github::{self, Failure};
use crate::run::Run;

/// Reads one pull request alone, and if it is merged its title at the merge.
pub(crate) async fn read_one(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    repository: &RepositoryName,
    number: PullRequestNumber,
) -> Result<Observed, Failure> {
    let mut seen = run.ask(installation, &github::pull(repository, number)).await?.body.observed(installation);
    if seen.facts.snapshot.state == State::Merged {
        let title_at_merge = title_of_merge(run, installation, &seen.facts.snapshot).await?;
        seen.facts.source = Source::Api { title_at_merge };
    }
    Ok(seen)
}

/// The title that a merged pull request was merged with. `None`: GitHub does not tell, and that it is merged is known all the same.
async fn title_of_merge(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    merged: &Snapshot,
) -> Result<Option<String>, Failure> {
    let asked = run.ask(installation, &graphql::title_of_merge(&merged.repository, merged.number)).await;
    match asked.and_then(|answer| answer.title_of_merge().map_err(|refused| Failure::of(&refused, run.now()))) {
        Err(failure) if !failure.is_wide() => {
            tracing::warn!(said = failure.said(), "GitHub does not tell which title was merged");
            Ok(None)
        }
        title => title,
    }
}

/// The same of a repository that may have another name by now, or whose name may be another one's.
pub(crate) async fn one_of(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
    repository: &RepositoryName,
    number: PullRequestNumber,
) -> Result<Observed, Failure> {
    match read_one(run, installation, repository, number).await {
        Ok(seen) if seen.facts.snapshot.repository_id == id => Ok(seen),
        Err(failure) if !matches!(failure, Failure::Gone(_)) => Err(failure),
        // A name that is gone, or another repository's.
        answer => {
            let failure = answer.err().unwrap_or_else(|| not_this(repository));
            match name_of(run, installation, id).await? {
                name if name == *repository => Err(failure),
                name => read_one(run, installation, &name, number).await,
            }
        }
    }
}

/// What a repository is called now.
pub(crate) async fn name_of(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
) -> Result<RepositoryName, Failure> {
    Ok(run.ask(installation, &github::repository(id)).await?.body.full_name)
}

/// The name that a repository has by now, where GraphQL says that there is none of the known one. If REST shows it under that very name, it is not
/// gone, and what said so cannot serve it now.
pub(crate) async fn new_name(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    id: RepositoryId,
    known: &RepositoryName,
    failure: Failure,
) -> Result<RepositoryName, Failure> {
    let name = name_of(run, installation, id).await?;
    if name == *known { Err(Failure::Unavailable(failure.said().to_owned())) } else { Ok(name) }
}

/// That a name leads to another repository.
pub(crate) fn not_this(repository: &RepositoryName) -> Failure {
    Failure::Gone(format!("{repository} is another repository"))
}

/// Asks whether the author of a fork may write to the repository.
pub(crate) async fn may_write(
    run: &Run<'_>,
    installation: Option<InstallationId>,
    about: &Snapshot,
) -> Result<bool, Failure> {
    match run.ask(installation, &github::permission(&about.repository, &about.author)).await {
        Ok(answer) => Ok(answer.body.may_write()),
        // The repository is there, so it is the account that is not, or that GitHub hides: nobody can give it a right.
        Err(failure @ Failure::Gone(_)) => match name_of(run, installation, about.repository_id).await? {
            name if name == about.repository => Ok(false),
            _ => Err(failure),
        },
        Err(failure) => Err(failure),
    }
}
