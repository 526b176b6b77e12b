//! When each of many repositories was last touched, and where its branches are.

use domain::ids::{RepositoryId, RepositoryName};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Queried, Query, nothing};
use crate::github::Error;

const TOUCHED: &str = include_str!("touched.graphql");

/// A repository that is asked about, and the branches of it whose tips are wanted.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// `owner/name`.
    pub repository: &'a RepositoryName,
    /// Branches, without `refs/heads/`.
    pub branches: &'a [String],
}

/// When a pull request of a repository was last touched.
#[derive(Debug)]
pub struct Touched {
    /// Whose it is. A name may be another repository's by now: this tells.
    pub repository_id: RepositoryId,
    /// Its name now.
    pub repository: RepositoryName,
    /// When; `None`: it has no pull requests.
    pub newest: Option<Timestamp>,
    /// The tips of the branches asked for, in their order: the commit, or `None` where there is no such branch. An error is
    /// about that one alone.
    pub tips: Vec<Result<Option<String>, Error>>,
}

/// Asks about all of these in one query.
pub fn last_touched(asked: &[Asked<'_>]) -> Query {
    let mut declared = String::new();
    let mut fields = String::new();
    let mut variables = Map::new();
    for (at, Asked { repository, branches }) in asked.iter().enumerate() {
        let (owner, name) = (repository.owner(), repository.name());
        declared.push_str(&format!("$o{at}:String!,$n{at}:String!,"));
        variables.insert(format!("o{at}"), json!(owner));
        variables.insert(format!("n{at}"), json!(name));
        fields.push_str(&format!("r{at}:repository(owner:$o{at},name:$n{at}){{...Touched"));
        for (branch_at, branch) in branches.iter().enumerate() {
            declared.push_str(&format!("$b{at}_{branch_at}:String!,"));
            variables.insert(format!("b{at}_{branch_at}"), json!(format!("refs/heads/{branch}")));
            fields.push_str(&format!(" b{branch_at}:ref(qualifiedName:$b{at}_{branch_at}){{target{{oid}}}}"));
        }
        fields.push_str("}\n");
    }
    let text = format!("query({declared}){{{fields}}}\n{TOUCHED}");
    Query { text: text.into(), variables: Value::Object(variables) }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Repository {
    database_id: RepositoryId,
    name_with_owner: RepositoryName,
    pull_requests: LastTouched,
}

#[derive(Deserialize)]
struct LastTouched {
    /// One that GitHub does not show is null.
    nodes: Vec<Option<Updated>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Updated {
    updated_at: Timestamp,
}

impl Queried {
    /// What [`last_touched`] asked, in its order: each repository, or why just that one is missing.
    pub fn touched(&self, asked: &[Asked<'_>]) -> Vec<Result<Touched, Error>> {
        asked.iter().enumerate().map(|(at, asked)| self.touched_at(&format!("r{at}"), asked.branches)).collect()
    }

    fn touched_at(&self, alias: &String, branches: &[String]) -> Result<Touched, Error> {
        let value = self.field(alias)?;
        let repository = Repository::deserialize(value).map_err(|_| self.why(&[alias]).unwrap_or_else(nothing))?;
        let tips = (0..branches.len()).map(|at| {
            let branch = format!("b{at}");
            match self.blamed(&[alias, &branch]) {
                Some(error) => Err(error),
                None => Ok(value[&branch]["target"]["oid"].as_str().map(ToOwned::to_owned)),
            }
        });
        Ok(Touched {
            tips: tips.collect(),
            repository_id: repository.database_id,
            repository: repository.name_with_owner,
            // Of one that is not shown nobody knows when it was touched: since the last time, maybe.
            newest: repository
                .pull_requests
                .nodes
                .first()
                .map(|node| node.as_ref().map_or(Timestamp::MAX, |node| node.updated_at)),
        })
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderMap;

    use super::super::Body;
    use super::*;

    #[test]
    fn a_repository_that_is_refused_stops_none_of_the_others() {
        let branches = ["main".to_owned(), "gone".to_owned(), "closed".to_owned()];
        let names = ["acme/secret", "acme/app", "acme/missing"].map(|name| name.parse().unwrap());
        let asked = [
            Asked { repository: &names[0], branches: &[] },
            Asked { repository: &names[1], branches: &branches },
            Asked { repository: &names[2], branches: &[] },
        ];
        let body = json!({
            "data": {
                "r0": null,
                "r1": {
                    "databaseId": 7, "nameWithOwner": "acme/app", "pullRequests": {"nodes": []},
                    "b0": {"target": {"oid": "abc"}}, "b1": null, "b2": null
                },
                "r2": null
            },
            "errors": [
                {"type": "FORBIDDEN", "path": ["r0"], "message": "Resource protected by organization SAML enforcement. …"},
                {"type": "FORBIDDEN", "path": ["r1", "b2"], "message": "Resource not accessible by integration"},
                {"type": "NOT_FOUND", "path": ["r2"], "message": "Could not resolve to a Repository"}
            ]
        });
        let body: Body = serde_json::from_value(body).unwrap();
        let touched = body.queried(&HeaderMap::new()).unwrap().touched(&asked);
        assert!(matches!(touched[0], Err(Error::Barred { .. })), "{touched:?}");
        assert!(matches!(touched[2], Err(Error::NotFound(_))), "{touched:?}");
        let app = touched[1].as_ref().unwrap();
        assert_eq!((app.repository_id, app.newest), (RepositoryId(7), None));
        assert!(matches!(app.tips.as_slice(), [Ok(Some(tip)), Ok(None), Err(Error::NotAccessible(_))] if tip == "abc"));
    }
}
