//! Keeps tokens out of what is logged or shown, whoever's words it is in.

/// What GitHub's tokens begin with. <https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>
const PREFIXES: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

/// What a JSON Web Token begins with: `{"` in base64.
const JWT: &str = "eyJ";

/// No token is shorter behind its prefix; words that begin alike are.
const LEAST: usize = 36;

/// The text with every token of GitHub's, old shape or new, and every JSON Web Token replaced by its prefix and `[redacted]`.
/// <https://github.blog/changelog/2026-04-24-notice-about-upcoming-new-format-for-github-app-installation-tokens/>
pub fn redact(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        match token(rest) {
            Some((prefix, length)) => {
                clean.push_str(prefix);
                clean.push_str("[redacted]");
                rest = &rest[length..];
            }
            None => {
                clean.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    clean
}

/// Prefix and length of the token that the text begins with.
fn token(text: &str) -> Option<(&'static str, usize)> {
    let prefix = PREFIXES.into_iter().chain([JWT]).find(|prefix| text.starts_with(prefix))?;
    let behind = &text[prefix.len()..];
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let length = behind.find(|c| !is_part(c)).unwrap_or(behind.len());
    // Any word may begin with these three letters: a JSON Web Token has two dots as well.
    let is_token = length >= LEAST && (prefix != JWT || behind[..length].matches('.').count() >= 2);
    is_token.then_some((prefix, prefix.len() + length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_token_is_taken_out_and_nothing_else() {
        let body = "a1B2".repeat(9);
        for prefix in PREFIXES {
            assert_eq!(redact(&format!("x={prefix}{body}, y")), format!("x={prefix}[redacted], y"));
            assert_eq!(redact(&format!("{prefix}{}", &body[1..])), format!("{prefix}{}", &body[1..]));
        }
        let jwt = format!("eyJ{body}.eyJ{body}.{body}-_");
        assert_eq!(redact(&format!("Bearer {jwt}\n")), "Bearer eyJ[redacted]\n");
        assert_eq!(redact(&format!("ghs_12345_{jwt} é")), "ghs_[redacted] é");
        assert_eq!(redact(&format!("eyJ{body}")), format!("eyJ{body}"));
        assert_eq!(redact("ghs_ and github_pat_ begin tokens"), "ghs_ and github_pat_ begin tokens");
    }
}
