//! What one word of etcd's configuration file stands for: by the rules of etcd's YAML reader, not by ours.
//!
//! etcd reads its file as YAML 1.1 has it: `yes` is true, `010` is 8, `8_000` is 8000. The private copy that
//! it gets from us must not turn any of them into text.
//!
//! Source: `sigs.k8s.io/yaml`, whose reader is `gopkg.in/yaml.v2`, `resolve.go` and `decode.go`, `scalar`;
//! compared with etcd 3.4.23 and 3.5.16.

use saphyr::{ScalarStyle, Tag};
use serde_json::Value;

use crate::text::shorten;

/// What YAML's own tags begin with.
const TAGS: &str = "tag:yaml.org,2002:";

/// The value of a word: what stands in quotes, or has a tag of somebody's own, is text.
pub fn value(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, String> {
    let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
    let tag = match tag.as_deref() {
        None if style == ScalarStyle::Plain => return resolved(text),
        None => return Ok(text.into()),
        Some(tag) => tag.strip_prefix(TAGS),
    };
    let value = match tag {
        None | Some("str") => return Ok(text.into()),
        Some("bool" | "int" | "float" | "null") => resolved(text)?,
        Some(tag) => {
            let tag = shorten(tag);
            return Err(format!("it uses the tag !!{tag}: write the value out"));
        }
    };
    let fits = match (&value, tag) {
        (Value::Bool(_), Some("bool")) | (Value::Null, Some("null")) => true,
        (Value::Number(_), Some("float")) => true,
        (Value::Number(number), Some("int")) => !number.is_f64(),
        _ => false,
    };
    match fits {
        true => Ok(value),
        false => Err(format!(
            "{:?} is no !!{}",
            shorten(text),
            tag.expect("it was matched above")
        )),
    }
}

fn resolved(text: &str) -> Result<Value, String> {
    Ok(match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            true.into()
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            false.into()
        }
        ".nan" | ".NaN" | ".NAN" => return Err(format!("{text} is no number that etcd takes")),
        _ if matches!(
            text.strip_prefix(['+', '-']).unwrap_or(text),
            ".inf" | ".Inf" | ".INF"
        ) =>
        {
            return Err(format!("{text} is no number that etcd takes"));
        }
        _ => number(text).unwrap_or_else(|| text.into()),
    })
}

/// A number, if it begins as one: underscores are nothing then.
fn number(text: &str) -> Option<Value> {
    let plain = match text.as_bytes().first()? {
        b'0'..=b'9' | b'+' | b'-' => text.replace('_', ""),
        b'.' => text.to_string(),
        _ => return None,
    };
    if let Some(whole) = whole(&plain) {
        return Some(whole);
    }
    let is_float = plain.contains(|c: char| c.is_ascii_digit())
        && (plain.bytes()).all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b));
    // What is too large for a float is infinite here, and text there.
    let float = plain.parse::<f64>().ok().filter(|float| float.is_finite());
    float.filter(|_| is_float).map(Value::from)
}

/// Go's `strconv.ParseInt` with base 0, then `ParseUint`.
fn whole(plain: &str) -> Option<Value> {
    let (negative, digits) = match plain.as_bytes().first()? {
        b'-' => (true, &plain[1..]),
        b'+' => (false, &plain[1..]),
        _ => (false, plain),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, &digits[2..]),
        [b'0', b'o' | b'O', ..] => (8, &digits[2..]),
        [b'0', b'b' | b'B', ..] => (2, &digits[2..]),
        [b'0', _, ..] => (8, &digits[1..]),
        _ => (10, digits),
    };
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    match i64::from_str_radix(&format!("{sign}{digits}"), radix) {
        Ok(number) => Some(number.into()),
        Err(_) if plain.starts_with(['+', '-']) => None,
        Err(_) => u64::from_str_radix(digits, radix).ok().map(Value::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn plain(text: &str) -> Value {
        value(text, ScalarStyle::Plain, None).unwrap()
    }

    #[test]
    fn words_for_true_and_false_are_those_of_etcd() {
        for word in ["y", "yes", "on", "true"] {
            let title = format!("{}{}", word[..1].to_uppercase(), &word[1..]);
            for word in [word, &title, &word.to_uppercase()] {
                assert_eq!(plain(word), json!(true), "{word}");
                let quoted = value(word, ScalarStyle::DoubleQuoted, None).unwrap();
                assert_eq!(quoted, json!(word));
            }
        }
        for word in ["n", "No", "OFF", "false"] {
            assert_eq!(plain(word), json!(false), "{word}");
        }
        for word in ["yEs", "t", "f", "oui"] {
            assert_eq!(plain(word), json!(word));
        }
    }

    #[test]
    fn numbers_are_those_of_etcd() {
        for (text, number) in [
            ("8_589_934_592", json!(8_589_934_592_u64)),
            ("0x_10", json!(16)),
            ("017", json!(15)),
            ("0o17", json!(15)),
            ("-0b11", json!(-3)),
            ("+1", json!(1)),
            ("1_", json!(1)),
            ("0", json!(0)),
            ("08", json!(8.0)),
            ("1.", json!(1.0)),
            ("-.5", json!(-0.5)),
            ("1_0e2", json!(1000.0)),
            ("18446744073709551615", json!(u64::MAX)),
            ("99999999999999999999", json!(1e20)),
        ] {
            assert_eq!(plain(text), number, "{text}");
        }
        for text in [
            "_1",
            "0b12",
            "0xZ",
            "0x",
            "0x+1",
            "0x1p4",
            "1e",
            "1e400",
            ".",
            "+",
            "--1",
            "1:2",
            "190:20:30",
            "2020-01-01",
            ".1_0",
            "infinity",
            "-inf",
            "+nan",
            "10.0.0.1",
        ] {
            assert_eq!(plain(text), json!(text));
        }
        for text in [".inf", "-.Inf", ".nan"] {
            assert!(value(text, ScalarStyle::Plain, None).is_err(), "{text}");
        }
    }

    #[test]
    fn a_huge_word_is_named_by_its_beginning() {
        let tag = Tag {
            handle: TAGS.into(),
            suffix: "int".into(),
        };
        let why = value(&"x".repeat(1 << 20), ScalarStyle::Plain, Some(&tag)).unwrap_err();
        assert!(why.len() < 300, "{why}");
    }

    #[test]
    fn a_tag_decides_as_for_etcd() {
        let tagged = |tag: &str, text| {
            let (handle, suffix) = match tag.strip_prefix("!!") {
                Some(suffix) => (TAGS, suffix),
                None => ("!", &tag[1..]),
            };
            let tag = Tag {
                handle: handle.to_string(),
                suffix: suffix.to_string(),
            };
            value(text, ScalarStyle::DoubleQuoted, Some(&tag))
        };
        assert_eq!(tagged("!!bool", "yes"), Ok(json!(true)));
        assert_eq!(tagged("!!int", "5"), Ok(json!(5)));
        assert_eq!(tagged("!!str", "5"), Ok(json!("5")));
        assert_eq!(tagged("!ours", "5"), Ok(json!("5")));
        for (tag, text) in [
            ("!!bool", "1"),
            ("!!int", "yes"),
            ("!!int", "1.5"),
            ("!!binary", ""),
        ] {
            assert!(tagged(tag, text).is_err(), "{tag} {text}");
        }
    }
}
