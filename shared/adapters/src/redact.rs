//! Keeps tokens out of what is logged or shown, whoever's words it is in.

/// What GitHub's tokens begin with. <https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/>
const PREFIXES: [&str; 6] = ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"];

/// What a JSON Web Token begins with: `{"` in base64.
const JWT: &str = "eyJ";

/// No token is shorter behind its prefix; words that begin alike are.
const LEAST: usize = 36;

/// What a key in PEM begins and ends with.
const PEM: (&str, &str) = ("-----BEGIN ", "-----END ");

/// The text with every token of GitHub's, old shape or new, every JSON Web Token and every key in PEM replaced by its prefix and `[redacted]`.
/// <https://github.blog/changelog/2026-04-24-notice-about-upcoming-new-format-for-github-app-installation-tokens/>
pub fn redact(text: &str) -> String {
    let mut parts = text.split(PEM.0);
    let mut clean = tokens_redacted(parts.next().unwrap_or_default());
    for part in parts {
        clean.extend([PEM.0, "[redacted]"]);
        // One that is cut off has no end.
        clean.push_str(&part.split_once(PEM.1).map_or_else(String::new, |(_, behind)| tokens_redacted(behind)));
    }
    clean
}

fn tokens_redacted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        // A token is the end of a run of the characters that tokens have. Each run is looked at once, whatever stands in it.
        let (run, behind) = rest.split_at(rest.find(|c| !is_part(c)).unwrap_or(rest.len()));
        match token(run) {
            Some((before, prefix)) => clean.extend([before, prefix, "[redacted]"]),
            None => clean.push_str(run),
        }
        let next = behind.find(is_part).unwrap_or(behind.len());
        clean.push_str(&behind[..next]);
        rest = &behind[next..];
    }
    clean
}

fn is_part(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// The first token of a run: what stands before it, and its prefix.
fn token(run: &str) -> Option<(&str, &'static str)> {
    let first = |prefix: &'static str| {
        // If the first of a prefix is too short for a token, or has too few dots behind it, all are.
        let (before, behind) = run.split_once(prefix)?;
        // Any word may begin with these three letters: a JSON Web Token has two dots as well.
        let is_token = behind.len() >= LEAST && (prefix != JWT || behind.matches('.').count() >= 2);
        is_token.then_some((before, prefix))
    };
    PREFIXES.into_iter().chain([JWT]).filter_map(first).min_by_key(|(before, _)| before.len())
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
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\\n{body}\\n-----END RSA PRIVATE KEY-----");
        assert_eq!(redact(&format!("a {key} b")), "a -----BEGIN [redacted]RSA PRIVATE KEY----- b");
        assert_eq!(
            redact(&format!("{key}{}", &key[..40])),
            "-----BEGIN [redacted]RSA PRIVATE KEY----------BEGIN [redacted]"
        );
    }

    /// What it was before runs were looked at as a whole: slower, and the definition.
    fn defined(text: &str) -> String {
        let mut clean = String::new();
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let prefix = PREFIXES.into_iter().chain([JWT]).find(|prefix| rest.starts_with(prefix));
            let found = prefix.and_then(|prefix| {
                let behind = &rest[prefix.len()..];
                let behind = &behind[..behind.find(|c| !is_part(c)).unwrap_or(behind.len())];
                let is_token = behind.len() >= LEAST && (prefix != JWT || behind.matches('.').count() >= 2);
                is_token.then_some((prefix, prefix.len() + behind.len()))
            });
            let (shown, length) = found.map_or((&rest[..c.len_utf8()], c.len_utf8()), |found| found);
            clean.extend([shown, if found.is_some() { "[redacted]" } else { "" }]);
            rest = &rest[length..];
        }
        clean
    }

    #[test]
    fn hostile_text_is_redacted_as_its_definition_says() {
        let body = "a1B2".repeat(9);
        let jwt = format!("eyJ{body}.eyJ{body}.{body}");
        let texts = [format!("said ghs_{body}, {jwt} é"), format!("eyJ.eyJ{body}.ghp_{body}"), format!("x{jwt}\n-_")];
        hostile::attack(&texts, |input| {
            let text = String::from_utf8_lossy(input);
            // The definition takes the square of the length.
            let text: String = text.chars().take(2000).collect();
            assert_eq!(tokens_redacted(&text), defined(&text));
        });
    }
}
