//! Where GitHub is: the rules by which its REST API, its GraphQL API, its pages and its git URLs belong together.
//!
//! github.com and GitHub Enterprise Cloud with data residency have the API at a host of its own, `api.github.com` and
//! `api.SUBDOMAIN.ghe.com`; a GitHub Enterprise Server has everything at one host, and the API below `/api/v3`.

use std::fmt;
use std::str::FromStr;

use crate::url::https;

/// How the REST API's path ends on a GitHub Enterprise Server.
const ENTERPRISE_SERVER: &str = "/api/v3";

/// The base URL of GitHub's REST API, in the one spelling that is compared and stored: without a trailing slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiUrl {
    rest: String,
    protocol: String,
    host: String,
}

impl ApiUrl {
    /// The one of github.com.
    pub const DEFAULT: &str = "https://api.github.com";

    /// What to tell somebody whose URL leads elsewhere.
    pub const HINT: &str = "that of an Enterprise Server ends in /api/v3";

    /// The REST API's base URL.
    pub fn as_str(&self) -> &str {
        &self.rest
    }

    /// The GraphQL endpoint: beside the REST API, not below it, on a GitHub Enterprise Server.
    /// <https://docs.github.com/en/enterprise-server@latest/graphql/guides/forming-calls-with-graphql#the-graphql-endpoint>
    pub fn graphql(&self) -> String {
        match self.rest.strip_suffix(ENTERPRISE_SERVER) {
            Some(host) => format!("{host}/api/graphql"),
            None => format!("{}/graphql", self.rest),
        }
    }

    /// Whether it is a GitHub Enterprise Server's.
    pub fn is_enterprise_server(&self) -> bool {
        self.rest.ends_with(ENTERPRISE_SERVER)
    }

    /// The protocol of the pages and git URLs: HTTPS, but for loopback.
    pub fn protocol(&self) -> &str {
        &self.protocol
    }

    /// The host of the pages and git URLs, with its port where that is not the usual one.
    pub fn web_host(&self) -> &str {
        let hosted = |host: &&str| *host == "github.com" || host.ends_with(".ghe.com");
        self.host.strip_prefix("api.").filter(hosted).unwrap_or(&self.host)
    }
}

impl Default for ApiUrl {
    fn default() -> Self {
        Self { rest: Self::DEFAULT.to_owned(), protocol: "https".to_owned(), host: "api.github.com".to_owned() }
    }
}

impl FromStr for ApiUrl {
    type Err = String;

    /// Takes `https://api.github.com`, `https://api.SUBDOMAIN.ghe.com` or `https://HOST/api/v3`. Plain HTTP is taken for loopback
    /// only: the key's JWT travels on this connection.
    fn from_str(text: &str) -> Result<Self, String> {
        // Hosts are compared, and are the same in any case and with the port that is meant anyway: the parser writes them in one way.
        let url = https(text.trim()).map_err(|reason| format!("{reason}, as in {}", Self::DEFAULT))?;
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        if host.is_empty() {
            return Err(format!("it must name a host, as in {}", Self::DEFAULT));
        }
        Ok(Self { rest: url.as_str().trim_end_matches('/').to_owned(), protocol: url.scheme().to_owned(), host })
    }
}

impl fmt::Display for ApiUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.rest)
    }
}

#[cfg(test)]
mod tests {
    use super::ApiUrl;

    fn api(url: &str) -> ApiUrl {
        url.parse().unwrap()
    }

    #[test]
    fn one_api_has_one_spelling() {
        for (url, expected) in [
            (" https://API.GitHub.com/ ", "https://api.github.com"),
            ("HTTPS://GHE.Acme.example:443/api/v3/", "https://ghe.acme.example/api/v3"),
            ("https://ghe.acme.example:8443/api/v3", "https://ghe.acme.example:8443/api/v3"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ] {
            assert_eq!(api(url).as_str(), expected);
        }
        assert_eq!(api(ApiUrl::DEFAULT), ApiUrl::default());
    }

    #[test]
    fn what_is_not_a_url_of_an_api_says_how_one_looks() {
        for url in [
            "",
            "api.github.com",
            "https://",
            "http://github.acme.example/api/v3",
            "ftp://127.0.0.1",
            "https://a@b.example",
        ] {
            let reason = url.parse::<ApiUrl>().unwrap_err();
            assert!(reason.ends_with(ApiUrl::DEFAULT), "{url}: {reason}");
        }
    }

    #[test]
    fn the_pages_and_graphql_of_an_api_are_where_github_has_them() {
        for (url, protocol, host, graphql) in [
            ("https://api.github.com", "https", "github.com", "https://api.github.com/graphql"),
            ("https://api.acme.ghe.com", "https", "acme.ghe.com", "https://api.acme.ghe.com/graphql"),
            (
                "https://GitHub.acme.example:443/api/v3",
                "https",
                "github.acme.example",
                "https://github.acme.example/api/graphql",
            ),
            (
                "https://api.acme.example:8443/api/v3",
                "https",
                "api.acme.example:8443",
                "https://api.acme.example:8443/api/graphql",
            ),
            ("https://[::1]:8443/api/v3", "https", "[::1]:8443", "https://[::1]:8443/api/graphql"),
            ("http://127.0.0.1:9000", "http", "127.0.0.1:9000", "http://127.0.0.1:9000/graphql"),
        ] {
            let api = api(url);
            assert_eq!((api.protocol(), api.web_host(), api.graphql().as_str()), (protocol, host, graphql));
            assert_eq!(api.is_enterprise_server(), url.ends_with("/api/v3"));
        }
    }
}
