//! Text from outside, made safe to show.

/// Makes text from outside safe to show on a terminal: control characters, and those that reorder, hide or break text, are
/// written as `\u{…}`.
pub(crate) fn escaped(text: &str) -> String {
    if !text.contains(commands_terminal) {
        return text.to_owned();
    }
    let escape = |c: char| if commands_terminal(c) { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Whether a terminal would act on a character instead of showing it.
pub(crate) fn commands_terminal(c: char) -> bool {
    // Cc; then Cf, which Unicode calls format characters, and the two separators Zl and Zp.
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'..='\u{891}')
        || matches!(c, '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}')
        || matches!(c, '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}')
        || matches!(c, '\u{e0000}'..='\u{e007f}')
}
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(escaped("layer.3 – été 'ß' \u{5d0} 🧮"), "layer.3 – été 'ß' \u{5d0} 🧮");
        assert_eq!(escaped("a\x1b[31m\u{85}é'; DROP"), "a\\u{1b}[31m\\u{85}é'; DROP");
        for c in "\0\t\n\r\u{7f}\u{9b}\u{61c}\u{200b}\u{200d}\u{200e}\u{2028}\u{2029}\u{202a}\u{202e}\u{2066}\u{2069}\u{feff}".chars() {
            let shown = escaped(&format!("x{c}y"));
            assert!(shown.is_ascii() && shown.len() > 3 && !shown.contains(char::is_control), "{shown:?}");
            // Escaping twice is escaping once.
            assert_eq!(escaped(&shown), shown);
        }
    }
}
