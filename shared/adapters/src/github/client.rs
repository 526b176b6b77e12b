//! JSON over HTTP with a bearer token: the App's JSON Web Token or an installation token.

use std::sync::OnceLock;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, LINK};
use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use serde_json::Value;

use super::error::is_page;
use super::graphql::{self, Queried, Query};
use super::http::Bearer;
use super::{ApiUrl, Error, Refusal, http};

/// Bounds a listing: 100 pages of 100.
const MOST_PAGES: usize = 100;

/// A client of one GitHub: github.com, a data-residency subdomain or a GitHub Enterprise Server.
#[derive(Debug)]
pub struct Client {
    api_url: ApiUrl,
    http: OnceLock<reqwest::Client>,
}

/// A decoded answer, with what its headers add.
#[derive(Debug)]
pub struct Answer<T> {
    /// The decoded body.
    pub body: T,
    /// GitHub's clock when it answered.
    pub date: Option<Timestamp>,
    /// The next page's URL. <https://docs.github.com/en/rest/using-the-rest-api/using-pagination-in-the-rest-api>
    pub next: Option<String>,
}

impl Client {
    /// A client for this API. Nothing is opened or read yet.
    pub fn new(api_url: ApiUrl) -> Self {
        Self { api_url, http: OnceLock::new() }
    }

    /// The API that it asks.
    pub fn api_url(&self) -> &ApiUrl {
        &self.api_url
    }

    /// Gets a path (`/app`) or a whole URL of this API, as [`Answer::next`] gives it.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get<T: DeserializeOwned>(&self, path: &str, bearer: &dyn Bearer) -> Result<Answer<T>, Error> {
        decode(self.send(Method::GET, self.url(path)?, Some(bearer), None).await?)
    }

    /// Gets one page of a listing that is a JSON array. An element of another shape than expected spoils the others not.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_page<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: &dyn Bearer,
    ) -> Result<Answer<Vec<T>>, Error> {
        let Answer { body, date, next } = self.get::<Vec<Value>>(path, bearer).await?;
        Ok(Answer { body: understood(body), date, next })
    }

    /// Gets every page of a listing, as [`Self::get_page`] does one.
    ///
    /// # Errors
    /// See [`Error`]; [`Error::Unexpected`] for more than 100 pages.
    pub async fn get_all<T: DeserializeOwned>(&self, path: &str, bearer: &dyn Bearer) -> Result<Vec<T>, Error> {
        let mut items = Vec::new();
        let mut next = Some(path.to_owned());
        for _ in 0..MOST_PAGES {
            let Some(path) = next else { return Ok(items) };
            let page = self.get_page::<T>(&path, bearer).await?;
            items.extend(page.body);
            next = page.next;
        }
        Err(Error::Unexpected("a listing of more than 100 pages".into()))
    }

    /// Posts a JSON body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: &dyn Bearer,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        self.write(Method::POST, self.url(path)?, bearer, body).await
    }

    /// Posts nothing, and proves nothing: the path itself holds what is needed.
    ///
    /// # Errors
    /// See [`Error`].
    pub(super) async fn post_unauthenticated<T: DeserializeOwned>(&self, path: &str) -> Result<Answer<T>, Error> {
        decode(self.send(Method::POST, self.url(path)?, None, None).await?)
    }

    /// Patches with a JSON body.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch<T: DeserializeOwned>(
        &self,
        path: &str,
        bearer: &dyn Bearer,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        self.write(Method::PATCH, self.url(path)?, bearer, body).await
    }

    /// Deletes; an answer's body is not looked at.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete(&self, path: &str, bearer: &dyn Bearer) -> Result<(), Error> {
        self.send(Method::DELETE, self.url(path)?, Some(bearer), None).await.map(drop)
    }

    /// Asks GraphQL. What the answer lacks is in [`Queried`], each part with its own reason.
    /// <https://docs.github.com/en/graphql/guides/forming-calls-with-graphql>
    ///
    /// # Errors
    /// See [`Error`]: a limit, which comes with status 200 here, or that there is no part at all.
    pub async fn graphql(&self, bearer: &dyn Bearer, query: &Query) -> Result<Queried, Error> {
        let url = Url::parse(&self.api_url.graphql()).map_err(unexpected)?;
        let body = serde_json::to_vec(query).map_err(unexpected)?;
        let reply = self.send(Method::POST, url, Some(bearer), Some(body)).await?;
        let headers = reply.headers.clone();
        decode::<graphql::Body>(reply)?.body.queried(&headers)
    }

    async fn write<T: DeserializeOwned>(
        &self,
        method: Method,
        url: Url,
        bearer: &dyn Bearer,
        body: &impl Serialize,
    ) -> Result<Answer<T>, Error> {
        let body = serde_json::to_vec(body).map_err(unexpected)?;
        decode(self.send(method, url, Some(bearer), Some(body)).await?)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        bearer: Option<&dyn Bearer>,
        body: Option<Vec<u8>>,
    ) -> Result<http::Reply, Error> {
        let reply = http::send(self.http()?, method, url, bearer, body).await?;
        if reply.status.is_success() {
            Ok(reply)
        } else {
            Err(Error::from_answer(reply.status, &reply.headers, &reply.body))
        }
    }

    fn http(&self) -> Result<&reqwest::Client, Error> {
        match self.http.get() {
            Some(http) => Ok(http),
            None => {
                let http = http::client(self.api_url.as_str())?;
                Ok(self.http.get_or_init(|| http))
            }
        }
    }

    /// A page's URL comes from an answer: were it taken as it is, a token could be sent anywhere.
    fn url(&self, path: &str) -> Result<Url, Error> {
        if path.starts_with('/') {
            return Url::parse(&format!("{}{path}", self.api_url)).map_err(unexpected);
        }
        let (url, base) =
            (Url::parse(path).map_err(unexpected)?, Url::parse(self.api_url.as_str()).map_err(unexpected)?);
        if url.origin() == base.origin() { Ok(url) } else { Err(Error::Unexpected("a page on another host".into())) }
    }
}

fn decode<T: DeserializeOwned>(reply: http::Reply) -> Result<Answer<T>, Error> {
    if is_page(&reply.headers) {
        return Err(Error::NotTheApi(Refusal::new(reply.status.as_u16(), "a page")));
    }
    // An empty answer (204) decodes as null, for `()` and `Option`.
    let body: &[u8] = if reply.body.is_empty() { b"null" } else { &reply.body };
    // serde_json's message may quote what it stumbled over, and that may be a token: only the place is passed on.
    let body = serde_json::from_slice(body).map_err(|error| {
        Error::Unexpected(format!("not the JSON expected (line {}, column {})", error.line(), error.column()).into())
    })?;
    Ok(Answer { body, date: http::date(&reply.headers), next: next_page(&reply.headers) })
}

/// The URL of `rel="next"`, as in `<https://api.github.com/…?page=2>; rel="next", <…>; rel="last"`.
fn next_page(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    links.split(',').find_map(|link| {
        let (url, relation) = link.split_once(';')?;
        let url = url.trim().strip_prefix('<')?.strip_suffix('>')?;
        relation.contains("rel=\"next\"").then(|| url.to_owned())
    })
}

fn unexpected(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Unexpected(Box::new(error))
}

/// The elements of a listing that are of the shape expected: an odd one takes none of the others with it.
pub(super) fn understood<T: DeserializeOwned>(listed: Vec<Value>) -> Vec<T> {
    let all = listed.len();
    let understood: Vec<T> = listed.into_iter().filter_map(|element| serde_json::from_value(element).ok()).collect();
    if understood.len() < all {
        let (odd, of) = (all - understood.len(), std::any::type_name::<T>());
        tracing::warn!(odd, of, "elements of a listing were not understood and are left out");
    }
    understood
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;
    use serde_json::json;

    use super::super::{
        App, HookDelivery, Installation, InstallationRepositories, InstallationToken, pull_request::Pull,
    };
    use super::*;

    /// Reads a body as what it may be.
    fn read<T: DeserializeOwned>(body: &[u8], headers: &HeaderMap) -> Result<Answer<T>, Error> {
        decode(http::Reply { status: StatusCode::OK, headers: headers.clone(), body: body.to_vec() })
    }

    #[test]
    fn a_hostile_answer_is_read_or_refused_without_a_word_of_it() {
        let repository = json!({"id": 7, "name": "app", "full_name": "acme/app", "private": true});
        let answers = [
            json!({"token": "ghs_c4nary", "expires_at": "2026-01-01T00:00:00Z", "permissions": {"contents": "read"},
                "repository_selection": "selected", "repositories": [repository]}),
            json!({"total_count": 2, "repositories": [repository, {"id": "odd"}]}),
            json!([{"id": 7, "account": {"login": "acme", "type": "User"}, "suspended_at": null, "permissions": {}}, null]),
            json!({"id": 7, "number": 1, "title": "Fix", "html_url": "https://github.com/acme/app/pull/1", "state": "open",
                "user": {"login": "octocat"}, "head": {"sha": "a1", "repo": {"id": 7}}, "base": {"ref": "main", "repo": repository},
                "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z", "mergeable": null}),
            json!({"id": 7, "slug": "app", "html_url": "https://github.com/apps/app", "owner": {"login": "acme"}, "client_id": "Iv1.a"}),
            json!([{"id": 7, "guid": "g", "delivered_at": "2026-01-01T00:00:00Z", "status_code": 200, "event": "pull_request"}]),
        ];
        hostile::attack(&answers.map(|answer| answer.to_string()), |input| {
            let headers = HeaderMap::new();
            let refused = [
                read::<InstallationToken>(input, &headers).err(),
                read::<InstallationRepositories>(input, &headers).err(),
                read::<Vec<Value>>(input, &headers).map(|answer| understood::<Installation>(answer.body)).err(),
                read::<Vec<Value>>(input, &headers).map(|answer| understood::<HookDelivery>(answer.body)).err(),
                read::<Pull>(input, &headers).map(|answer| answer.body.observed(None)).err(),
                read::<App>(input, &headers).map(|answer| answer.body.settings_url()).err(),
            ];
            for error in refused.into_iter().flatten() {
                let said = crate::chain::chain(&error);
                assert!(said.len() < 200 && !said.contains("c4nary"), "{said}");
            }
        });
    }

    #[test]
    fn a_hostile_link_leads_nowhere_else() {
        let client = Client::new(ApiUrl::default());
        let links = [
            "<https://api.github.com/app/installations?page=2>; rel=\"next\", <https://api.github.com/x>; rel=\"last\"",
        ];
        hostile::attack(&links, |input| {
            let Ok(value) = reqwest::header::HeaderValue::from_bytes(input) else { return };
            let next = next_page(&HeaderMap::from_iter([(LINK, value)]));
            if let Some(Ok(url)) = next.map(|next| client.url(&next)) {
                assert_eq!(url.origin().ascii_serialization(), "https://api.github.com");
            }
        });
    }
}
