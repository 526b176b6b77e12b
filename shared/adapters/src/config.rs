//! Configuration: environment variables, read once at init.
//!
//! A function says in [`read`] what it needs, so that an operator is told of every missing variable in one go and a
//! half-configured function never starts.

use crate::host::ApiUrl;
pub use crate::url::check_https;
use crate::{Error, Result};

/// Reads a program's settings out of the environment, all of them before it says what is missing.
///
/// # Errors
/// Those of [`Variables::finish`].
pub fn read<T>(settings: impl FnOnce(&mut Variables) -> T) -> Result<T> {
    let mut variables = Variables::default();
    let settings = settings(&mut variables);
    variables.finish().map(|()| settings)
}

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

    /// `GITHUB_API_URL`: GitHub's REST API, that of github.com where it is not set.
    pub fn github_api_url(&mut self) -> ApiUrl {
        let url = self.optional("GITHUB_API_URL").map_or_else(|| Ok(ApiUrl::default()), |text| text.parse());
        url.unwrap_or_else(|reason| {
            // `finish` ends the reading, so nobody is asked there.
            self.reject("GITHUB_API_URL", reason);
            ApiUrl::default()
        })
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
