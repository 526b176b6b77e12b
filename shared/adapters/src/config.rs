//! Configuration: environment variables, read once at init.
//!
//! A function asks for what it needs and then calls [`Variables::finish`], so that an operator is told of every
//! missing variable in one go and a half-configured function never starts.

use crate::{Error, Result};

/// GitHub's REST API where `GITHUB_API_URL` is not set.
pub const DEFAULT_GITHUB_API_URL: &str = "https://api.github.com";

/// Reads variables and remembers what was missing or unusable.
#[derive(Debug, Default)]
pub struct Variables {
    missing: Vec<&'static str>,
    invalid: Option<Error>,
}

impl Variables {
    /// The value of `name`, or an empty string and a note that it is missing. An empty variable counts as missing.
    pub fn required(&mut self, name: &'static str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.missing.push(name);
            String::new()
        })
    }

    /// The value of `name`, if it is set to something.
    pub fn optional(&mut self, name: &'static str) -> Option<String> {
        #[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
        std::env::var(name).ok().filter(|value| !value.trim().is_empty())
    }

    /// `GITHUB_API_URL` without a trailing slash: `https://api.github.com`, `https://api.SUBDOMAIN.ghe.com` or
    /// `https://HOST/api/v3`. Plain HTTP is taken for loopback only: the key's JWT travels on this connection.
    pub fn github_api_url(&mut self) -> String {
        let url = self.optional("GITHUB_API_URL").unwrap_or_else(|| DEFAULT_GITHUB_API_URL.into());
        match check_api_url(&url) {
            Ok(url) => url,
            Err(reason) => {
                self.reject("GITHUB_API_URL", reason);
                String::new()
            }
        }
    }

    /// Notes that the value of `name` cannot be used.
    pub fn reject(&mut self, name: &'static str, reason: String) {
        self.invalid.get_or_insert(Error::InvalidVariable { name, reason });
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// [`Error::MissingVariables`] naming all of them, else [`Error::InvalidVariable`] with the first unusable one.
    pub fn finish(self) -> Result<()> {
        if !self.missing.is_empty() {
            return Err(Error::MissingVariables(self.missing));
        }
        self.invalid.map_or(Ok(()), Err)
    }
}

/// The URL in the one form the rest of the code expects, or what is wrong with it.
///
/// # Errors
/// A sentence that says what the URL should look like.
pub fn check_api_url(url: &str) -> Result<String, String> {
    let url = https(url.trim()).map_err(|reason| format!("{reason}, as in {DEFAULT_GITHUB_API_URL}"))?;
    // Hosts are compared, and are the same in any case and with the port that is meant anyway.
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

/// Whether what is sent there can be read on the way: it has to be HTTPS, but for loopback, whose names are those of
/// <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>.
///
/// # Errors
/// A clause that says what the URL has to be.
pub fn check_https(url: &str) -> Result<(), String> {
    https(url).map(drop)
}

/// What is wrong is said without the URL: of one that is misspelt nobody knows which part of it is a password.
fn https(url: &str) -> Result<reqwest::Url, String> {
    let parsed = reqwest::Url::parse(url).map_err(|error| format!("it is not a URL ({error})"))?;
    let host = parsed.host_str().unwrap_or_default();
    let loopback = matches!(host, "127.0.0.1" | "localhost" | "[::1]") || host.ends_with(".localhost");
    if !parsed.username().is_empty() || parsed.password().is_some() {
        return Err("it must not name a user or a password: a URL is shown and logged".to_owned());
    }
    match parsed.scheme() {
        "https" => Ok(parsed),
        "http" if loopback => Ok(parsed),
        _ => Err("it must begin with https://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::{check_api_url, check_https};

    #[test]
    fn a_url_that_is_shown_names_no_user_and_no_password() {
        assert_eq!(check_https("https://github.example.com/api/v3"), Ok(()));
        for (url, said) in [
            ("https://ann@github.example.com", "a password"),
            ("https://ann:pa55@github.example.com", "a password"),
            ("https://:pa55@127.0.0.1/", "a password"),
            ("ann:pa55@github.example.com", "must begin with https://"),
            ("https://ann:pa55@github example.com/", "not a URL"),
        ] {
            let reason = check_https(url).unwrap_err();
            assert!(reason.contains(said) && !reason.contains("pa55"), "{reason}");
        }
    }

    #[test]
    fn one_api_has_one_spelling() {
        for (url, expected) in [
            (" https://API.GitHub.com/ ", "https://api.github.com"),
            ("HTTPS://GHE.Acme.example:443/api/v3/", "https://ghe.acme.example/api/v3"),
            ("https://ghe.acme.example:8443/api/v3", "https://ghe.acme.example:8443/api/v3"),
            ("http://127.0.0.1:4000", "http://127.0.0.1:4000"),
        ] {
            assert_eq!(check_api_url(url).as_deref(), Ok(expected));
        }
    }
}
