//! What surrounds a text that was pasted: blanks, and the marks of no width that web pages, chats and files put there.
//!
//! Nobody sees them, so a refusal for one of them says nothing to whoever looks at what is stored.

/// Whether a character is a blank, or one that takes no room.
pub fn is_blank(c: char) -> bool {
    c.is_whitespace() || is_invisible(c)
}

/// Unicode's Default_Ignorable_Code_Point. <https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt>
pub(crate) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{00AD}' | '\u{034F}' | '\u{061C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}' | '\u{180B}'..='\u{180F}'
        | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}'
        | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}')
}

/// The text without the blanks around it.
pub fn trimmed(text: &str) -> &str {
    text.trim_matches(is_blank)
}
