//! Patterns of repositories, on the path that decides who gets a token.

use super::parse::Form;

/// A pattern of repositories, `owner/name` or `name`: `*` stands for any run of characters but `/`, `?` for one.
#[derive(Debug, Clone)]
pub(super) struct Glob(String);

impl Glob {
    pub(super) fn parse(text: &str, form: Form) -> Result<Self, String> {
        let glob = Self(text.to_ascii_lowercase());
        if form == Form::Old {
            return Ok(glob);
        }
        let plain = |text: &str, also: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c) || also.contains(c))
        };
        let (owner, name) = glob.0.split_once('/').map_or((None, glob.0.as_str()), |(owner, name)| (Some(owner), name));
        if owner.is_some_and(|owner| owner.contains(['*', '?'])) {
            return Err("can match another account: write its owner out".to_owned());
        }
        if !plain(name, "*?") || !owner.is_none_or(|owner| plain(owner, "")) {
            return Err("is no glob of owner/name".to_owned());
        }
        Ok(glob)
    }

    pub(super) fn has_owner(&self) -> bool {
        self.0.contains('/')
    }

    pub(super) fn is_everything(&self) -> bool {
        self.0 == "*"
    }

    pub(super) fn covers(&self, owner: Option<&str>, name: &str, without_owner: bool) -> bool {
        match (self.has_owner(), owner) {
            (false, _) => without_owner && matches(self.0.as_bytes(), name.as_bytes()),
            (true, Some(owner)) => matches(self.0.as_bytes(), format!("{owner}/{name}").as_bytes()),
            (true, None) => false,
        }
    }
}

/// Whether the whole text matches.
///
/// Remembers the last star alone, so that a pattern of many stars costs no more than its length times the text's.
fn matches(glob: &[u8], text: &[u8]) -> bool {
    let (mut g, mut t) = (0, 0);
    let mut star = None;
    while let Some(&byte) = text.get(t) {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, t));
                g += 1;
            }
            Some(&wanted) if wanted == byte || (wanted == b'?' && byte != b'/') => (g, t) = (g + 1, t + 1),
            _ => match star {
                Some((at, from)) if text.get(from) != Some(&b'/') => {
                    star = Some((at, from + 1));
                    (g, t) = (at + 1, from + 1);
                }
                _ => return false,
            },
        }
    }
    glob.get(g..).is_some_and(|rest| rest.iter().all(|&byte| byte == b'*'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::matches;

    proptest! {
        /// The matcher against its definition, tried out by hand.
        #[test]
        fn a_glob_matches_what_its_definition_says(glob in "[ab/*?]{0,8}", text in "[ab/]{0,8}") {
            fn defined(glob: &[u8], text: &[u8]) -> bool {
                match (glob.split_first(), text.split_first()) {
                    (None, None) => true,
                    (Some((b'*', rest)), _) if defined(rest, text) => true,
                    (Some((b'*', _)), Some((byte, rest))) => *byte != b'/' && defined(glob, rest),
                    (Some((wanted, glob)), Some((byte, text))) => {
                        (wanted == byte || (*wanted == b'?' && *byte != b'/')) && defined(glob, text)
                    }
                    _ => false,
                }
            }
            prop_assert_eq!(matches(glob.as_bytes(), text.as_bytes()), defined(glob.as_bytes(), text.as_bytes()));
        }
    }
}
