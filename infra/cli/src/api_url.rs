//! Which GitHub a command asks, where it is told so by its user.

use adapters::config::{self, Variables};
use adapters::github::ApiUrl;

use crate::failure::Failure;

/// Reads the flag `--github-api-url`. Were it clap that reads it, a URL with a password would be repeated on the terminal.
pub(crate) fn given(flag: &str) -> Result<ApiUrl, Failure> {
    flag.parse().map_err(|reason| Failure::new(format!("--github-api-url: {reason}")))
}

/// The flag's, else that of `GITHUB_API_URL`.
pub(crate) fn given_or_configured(flag: Option<&str>) -> Result<ApiUrl, Failure> {
    if let Some(url) = flag {
        return given(url);
    }
    Ok(config::read(Variables::github_api_url)?)
}
