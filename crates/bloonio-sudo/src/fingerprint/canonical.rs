//! A JSON body in the one form that all its spellings share (RFC 8785), where it has one.
//!
//! What is ambiguous has none and is refused: a key given twice, text that is no UTF-8, half a surrogate pair, and a number
//! that a double cannot hold, because a handler that reads it otherwise would run another request than was approved.

use serde_json::Value;

use crate::policy::FieldError;
use crate::request::RequestView;

/// The canonical bytes of `view`'s body; `None` for an empty one.
///
/// # Errors
/// [`FieldError::NotJson`], or [`FieldError::Invalid`] for a number that does not survive.
pub(super) fn canonical(view: &RequestView<'_>) -> Result<Option<Vec<u8>>, FieldError> {
    if view.body().is_empty() {
        return Ok(None);
    }
    let value: &Value = view.json()?;
    let text = std::str::from_utf8(view.body()).map_err(|_| FieldError::NotJson)?;
    if let Some(number) = numbers(text).find(|number| !survives(number)) {
        return Err(FieldError::invalid_at("", format!("{number} is no number that a double holds: send it as text")));
    }
    serde_json_canonicalizer::to_vec(value).map(Some).map_err(|_| FieldError::NotJson)
}

/// Every number in a valid JSON text, as written.
fn numbers(json: &str) -> impl Iterator<Item = &str> {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            let start = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit())?;
            rest = &rest[start..];
            if rest.starts_with('"') {
                rest = after_string(rest);
                continue;
            }
            let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            let end = rest.find(|c: char| !is_part(c)).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            rest = after;
            return Some(number);
        }
    })
}

/// What follows the string that `json` begins with.
fn after_string(json: &str) -> &str {
    let mut escaped = false;
    for (at, byte) in json.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return &json[at + 1..],
            _ => {}
        }
    }
    ""
}

/// Whether the double nearest to a number is written as the same number. Minus zero is not: its canonical form is zero.
fn survives(number: &str) -> bool {
    let Ok(double) = number.parse::<f64>() else { return false };
    let same = || decimal(number) == decimal(&format!("{double:e}"));
    double.is_finite() && (number.starts_with('-') == (double < 0.0)) && same()
}

/// A number's significant digits, and the power of ten of the first of them; the sign aside.
fn decimal(number: &str) -> Option<(String, i64)> {
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits: String = whole.chars().chain(fraction.chars()).filter(char::is_ascii_digit).collect();
    let whole = whole.trim_start_matches('-').len();
    let leading = digits.len() - digits.trim_start_matches('0').len();
    let significant = digits.trim_matches('0').to_owned();
    if significant.is_empty() {
        return Some((significant, 0));
    }
    let exponent: i64 = exponent.parse().ok()?;
    let before_point = i64::try_from(whole).ok()?.checked_sub(i64::try_from(leading).ok()?)?;
    Some((significant, exponent.checked_add(before_point)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    fn form(body: &str) -> Result<Option<String>, FieldError> {
        let view = RequestView::new("POST", "/", None, &|_: &str| Vec::new()).with_body(body.as_bytes());
        canonical(&view).map(|bytes| bytes.map(|bytes| String::from_utf8(bytes).unwrap()))
    }

    #[rstest]
    #[case("", None)]
    #[case(r#"{"b":1.0,"a":"x"}"#, Some(r#"{"a":"x","b":1}"#))]
    #[case("{ \"a\" : \"x\",\n\"b\" : 10e-1 }", Some(r#"{"a":"x","b":1}"#))]
    #[case(r#"{"b":[1,{"d":0.10,"c":-1E2}],"a":"\u0041\/"}"#, Some(r#"{"a":"A/","b":[1,{"c":-100,"d":0.1}]}"#))]
    #[case(r#"["3\"4\\",9007199254740992]"#, Some(r#"["3\"4\\",9007199254740992]"#))]
    #[case("0.000", Some("0"))]
    #[case("5e-324", Some("5e-324"))]
    fn spellings_of_one_request_have_one_form(#[case] body: &str, #[case] expected: Option<&str>) {
        assert_eq!(form(body).unwrap().as_deref(), expected);
    }

    #[rstest]
    #[case::doubled_key(r#"{"a":1,"a":1}"#)]
    #[case::nested_doubled_key(r#"{"x":[{"a":1,"b":2,"a":3}]}"#)]
    #[case::escaped_doubled_key(r#"{"a":1,"\u0061":1}"#)]
    #[case::lone_surrogate(r#""\ud800""#)]
    #[case::too_long("9007199254740993")]
    #[case::too_precise("0.1000000000000000000001")]
    #[case::too_large("1e400")]
    #[case::too_small("1e-400")]
    #[case::minus_zero("-0")]
    #[case::minus_zero_in_an_array("[1,-0.0]")]
    #[case::byte_order_mark("\u{feff}{}")]
    #[case::not_json("{")]
    #[case::two_values("{} {}")]
    fn what_readers_may_read_differently_is_refused(#[case] body: &str) {
        assert!(form(body).is_err(), "{body}");
    }

    #[test]
    fn text_that_is_no_utf_8_is_refused() {
        let view = RequestView::new("POST", "/", None, &|_: &str| Vec::new()).with_body(b"{\"a\":\"\xff\"}");
        assert!(canonical(&view).is_err());
    }

    proptest! {
        #[test]
        fn every_double_survives_in_its_shortest_form(double in any::<f64>().prop_filter("JSON has no others", |d| d.is_finite())) {
            let minus_zero = double == 0.0 && double.is_sign_negative();
            prop_assert_eq!(survives(&format!("{double:e}")), !minus_zero);
            prop_assert_eq!(survives(&format!("{double}")), !minus_zero);
        }

        #[test]
        fn numbers_in_strings_are_none(text in "\\PC{0,12}", number in any::<u32>()) {
            let json = serde_json::json!([text, number]).to_string();
            prop_assert_eq!(numbers(&json).collect::<Vec<_>>(), [number.to_string()]);
        }

        #[test]
        fn members_may_come_in_any_order(a in any::<u32>(), b in "\\PC{0,8}") {
            let b = serde_json::json!(b);
            let forms = [form(&format!("{{\"a\":{a},\"b\":{b}}}")), form(&format!("{{ \"b\" :{b}, \"a\":{a}.0 }}"))];
            let [first, second] = forms.map(Result::unwrap);
            prop_assert_eq!(first, second);
        }
    }
}
