//! Shows a stranger's text so that it cannot lie about itself (ATTACKS A09).
//!
//! A prompt's texts come from a backend and often from whoever filled in its form. A line break, a character that turns
//! the writing direction or one without any width can make `1000.00 to Mallory` read as something else. Such characters
//! are shown as escapes; nothing is ever cut off. Letters that only look alike (Cyrillic `а`) are left as they are.

use std::fmt::Write;

/// Whether `c` acts on the text around it instead of showing as itself.
pub fn is_deceptive(c: char) -> bool {
    c.is_control()
        || (c != ' ' && c.is_whitespace())
        || matches!(c,
            // Without width, or without ink: soft hyphen, joiners, fillers, blank Braille, variation selectors.
            '\u{00ad}' | '\u{034f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2065}' | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}' | '\u{ffa0}' | '\u{13430}'..='\u{1345f}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            // Writing direction.
            | '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{206f}'
            // Line ends that not every terminal knows, annotations, tags.
            | '\u{2028}' | '\u{2029}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` on one line, with every deceptive character as `\u{…}`, and the backslash doubled so that an escape cannot be
/// forged. Of several spaces in a row all but the first are escaped, and so are leading and trailing ones: padding shows.
///
/// ```
/// use bloonio_authenticator::text::visible;
/// assert_eq!(visible("ACME Corp"), "ACME Corp");
/// assert_eq!(visible("10\u{202e}00"), r"10\u{202e}00");
/// ```
pub fn visible(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut shown = String::with_capacity(text.len());
    let mut after_space = true;
    for (i, c) in text.chars().enumerate() {
        let padding = c == ' ' && (after_space || i == last);
        after_space = c == ' ';
        match c {
            '\\' => shown.push_str(r"\\"),
            '\n' => shown.push_str(r"\n"),
            '\r' => shown.push_str(r"\r"),
            '\t' => shown.push_str(r"\t"),
            // Writing to a `String` cannot fail.
            c if padding || is_deceptive(c) => drop(write!(shown, r"\u{{{:x}}}", u32::from(c))),
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case::plain("ACME Corp, 1.000,00 €", "ACME Corp, 1.000,00 €")]
    #[case::letters_of_all_scripts("Größe 株式会社 Ελλάς שלום", "Größe 株式会社 Ελλάς שלום")]
    #[case::line_break("ACME\nTo: Mallory", r"ACME\nTo: Mallory")]
    #[case::carriage_return("Mallory\rACME", r"Mallory\rACME")]
    #[case::tab("a\tb", r"a\tb")]
    #[case::nul("a\0b", r"a\u{0}b")]
    #[case::terminal_escape("\x1b[2Jgone", r"\u{1b}[2Jgone")]
    #[case::delete("a\x7fb", r"a\u{7f}b")]
    #[case::c1_control("a\u{9b}2Jb", r"a\u{9b}2Jb")]
    #[case::next_line("a\u{85}b", r"a\u{85}b")]
    #[case::right_to_left_override("\u{202e}0001\u{202c} USD", r"\u{202e}0001\u{202c} USD")]
    #[case::isolates("\u{2066}a\u{2069}", r"\u{2066}a\u{2069}")]
    #[case::direction_marks("a\u{200e}b\u{200f}c\u{61c}", r"a\u{200e}b\u{200f}c\u{61c}")]
    #[case::zero_width("AC\u{200b}ME\u{200d}\u{feff}\u{2060}", r"AC\u{200b}ME\u{200d}\u{feff}\u{2060}")]
    #[case::soft_hyphen("AC\u{ad}ME", r"AC\u{ad}ME")]
    #[case::hangul_filler("a\u{3164}b\u{115f}", r"a\u{3164}b\u{115f}")]
    #[case::variation_selectors("a\u{fe0f}\u{e0100}", r"a\u{fe0f}\u{e0100}")]
    #[case::tags("a\u{e0041}", r"a\u{e0041}")]
    #[case::line_separators("a\u{2028}b\u{2029}c", r"a\u{2028}b\u{2029}c")]
    #[case::no_break_space("a\u{a0}b\u{3000}c", r"a\u{a0}b\u{3000}c")]
    #[case::padding("ACME   Mallory", r"ACME \u{20}\u{20}Mallory")]
    #[case::edges(" ACME ", r"\u{20}ACME\u{20}")]
    #[case::forged_escape(r"a\u{202e}", r"a\\u{202e}")]
    #[case::empty("", "")]
    fn a09_text_cannot_lie_about_itself(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(visible(text), shown);
    }

    #[test]
    fn a09_nothing_is_cut_off() {
        let long = "x".repeat(4096);
        assert_eq!(visible(&long), long);
    }

    proptest! {
        #[test]
        fn a09_shown_text_has_nothing_deceptive_and_differs_for_different_texts(a: String, b: String) {
            prop_assert!(!visible(&a).chars().any(is_deceptive));
            prop_assert_eq!(a == b, visible(&a) == visible(&b));
        }
    }
}
