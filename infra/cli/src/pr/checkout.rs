//! What git says about the folder that the command runs in: the branch, and where it is pushed to.

use domain::ids::RepositoryName;

use crate::failure::Failure;
use crate::git::git;

/// A branch, and the repository that it is pushed to.
#[derive(Debug)]
pub(super) struct Checkout {
    /// The branch's name there.
    pub(super) branch: String,
    /// The commit at hand.
    pub(super) commit: String,
    /// Where it is pushed to, as git has it.
    url: String,
    remote: String,
}

impl Checkout {
    /// The one of this folder.
    pub(super) fn here() -> Result<Self, Failure> {
        git(&["rev-parse", "--git-dir"])?.ok_or_else(|| {
            Failure::new("this folder is not a clone of a repository: go to one, or pass --repository and --head")
        })?;
        let commit = git(&["rev-parse", "--verify", "--quiet", "HEAD"])?
            .ok_or_else(|| Failure::new("nothing is committed here: commit, push, and try again"))?;
        let local = git(&["symbolic-ref", "--quiet", "--short", "HEAD"])?.ok_or_else(|| {
            Failure::new("no branch is checked out here: `git switch -c NAME` makes one, or pass --head")
        })?;
        let remote = match push_remote(&local)? {
            Some(remote) => remote,
            None => "origin".to_owned(),
        };
        let url = git(&["remote", "get-url", "--push", &remote])?.ok_or_else(|| {
            Failure::new(format!(
                "the remote {remote} of this clone has no URL: add it, or pass --repository and --head"
            ))
        })?;
        // Fails while the branch was never pushed: it will have its own name then.
        let pushed = git(&["rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{push}"])?;
        let branch = pushed.and_then(|pushed| Some(pushed.strip_prefix(&format!("{remote}/"))?.to_owned()));
        Ok(Self { branch: branch.unwrap_or(local), commit, url, remote })
    }

    /// The repository on GitHub that it is pushed to.
    pub(super) fn repository(&self, host: &str) -> Result<RepositoryName, Failure> {
        let found = parse(&self.url);
        match found {
            Some((at, repository)) if at.eq_ignore_ascii_case(host) => Ok(repository),
            _ => Err(Failure::new(format!(
                "the remote {} is not a repository at {host}: pass --repository OWNER/NAME",
                self.remote
            ))),
        }
    }

    /// Whether a commit has everything that is committed here. One that is not known here was pushed from elsewhere.
    pub(super) fn is_in(&self, commit: &str) -> Result<bool, Failure> {
        Ok(commit == self.commit || git(&["merge-base", "--is-ancestor", &self.commit, commit])?.is_some())
    }
}

fn push_remote(branch: &str) -> Result<Option<String>, Failure> {
    for name in [&format!("branch.{branch}.pushRemote"), "remote.pushDefault", &format!("branch.{branch}.remote")] {
        if let Some(remote) = git(&["config", "--get", name])? {
            return Ok(Some(remote));
        }
    }
    Ok(None)
}

/// Host and `owner/name` of a remote's URL. The host has its port where the URL is HTTP's.
fn parse(url: &str) -> Option<(String, RepositoryName)> {
    let (at, path, http) = match url.split_once("://") {
        Some((scheme, rest)) => {
            let (at, path) = rest.split_once('/')?;
            (at, path, scheme.starts_with("http"))
        }
        // `git@github.com:acme/app.git`, as scp writes it.
        None => {
            let (at, path) = url.split_once(':')?;
            (at, path, false)
        }
    };
    let host = at.rsplit_once('@').map_or(at, |(_, host)| host);
    let host = if http { host.strip_suffix(":443").unwrap_or(host) } else { host.split(':').next()? };
    let path = path.trim_matches('/');
    let name = path.strip_suffix(".git").unwrap_or(path);
    name.parse().ok().map(|name| (host.to_owned(), name))
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn a_remote_is_read_in_every_form_that_git_takes() {
        for url in [
            "https://github.com/acme/app.git",
            "https://github.com/acme/app",
            "https://x-access-token@github.com/acme/app.git/",
            "https://github.com:443/acme/app",
            "ssh://git@github.com/acme/app.git",
            "ssh://git@github.com:22/acme/app.git",
            "git@github.com:acme/app.git",
            "github.com:/acme/app",
        ] {
            assert_eq!(parse(url), Some(("github.com".to_owned(), "acme/app".parse().unwrap())), "{url:?}");
        }
        assert_eq!(
            parse("http://127.0.0.1:8080/acme/app.git").map(|(host, _)| host).as_deref(),
            Some("127.0.0.1:8080")
        );
        for url in
            ["/srv/git/app.git", "../app", "file:///srv/acme/app.git", "https://github.com/acme", "https://h/a/../b"]
        {
            let found = parse(url);
            assert!(found.as_ref().is_none_or(|(host, _)| host.is_empty()), "{url:?}: {found:?}");
        }
    }
}
