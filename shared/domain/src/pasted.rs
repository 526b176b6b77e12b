//! What surrounds a text that was pasted: blanks, and the marks of no width that web pages, chats and files put there.
//!
//! Nobody sees them, so a refusal for one of them says nothing to whoever looks at what is stored.

/// Whether a character is a blank, or a mark that takes no room: a soft hyphen, a zero-width space or joiner, a word joiner, a byte
/// order mark, a mark of the writing's direction.
/// <https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt> (`Default_Ignorable_Code_Point`)
pub fn is_blank(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// The text without the blanks around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}
