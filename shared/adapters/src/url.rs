//! What a URL has to be before anything is sent there.

/// Whether what is sent there can be read on the way: it has to be HTTPS, but for loopback, whose names are those of
/// <https://www.rfc-editor.org/rfc/rfc6761#section-6.3>.
///
/// # Errors
/// A clause that says what the URL has to be.
pub fn check_https(url: &str) -> Result<(), String> {
    https(url).map(drop)
}

/// What is wrong is said without the URL: of one that is misspelt nobody knows which part of it is a password.
pub(crate) fn https(url: &str) -> Result<reqwest::Url, String> {
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
    use super::check_https;

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
}
