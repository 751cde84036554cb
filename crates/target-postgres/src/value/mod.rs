//! From a type and the server's own text of a value to JSON, as the server's `to_json` would write it.
//!
//! Nothing here goes through a float, and nothing here can fail: a text that does not look as its type promises
//! becomes a JSON string. Where the result differs from `to_json`, `docs/values.md` says so.

mod hstore;
mod nested;
mod shape;
mod time;

pub(crate) use shape::{LongNumbers, Shape, Shapes, foreign_elements};

/// Appends the JSON of a value that is not null. Its recursion is no deeper than shapes are made.
pub(crate) fn append_json(out: &mut Vec<u8>, shape: &Shape, text: &str) {
    let start = out.len();
    let written = match shape {
        Shape::Bool => {
            out.extend_from_slice(if text == "t" { b"true" } else { b"false" });
            Some(())
        }
        Shape::Number => number(out, text),
        Shape::Json => {
            compact_json(out, text);
            Some(())
        }
        Shape::Jsonb => {
            // The server writes it on one line.
            out.extend_from_slice(text.as_bytes());
            Some(())
        }
        Shape::Moment => {
            string(out, &time::with_t(text));
            Some(())
        }
        Shape::Vector(element) => {
            nested::vector(out, element, text);
            Some(())
        }
        Shape::Hstore => hstore::object(out, text),
        Shape::Array { element, delimiter } => nested::array(out, element, *delimiter, text),
        Shape::Composite(fields) => nested::composite(out, fields, text),
        Shape::Text => None,
    };
    if written.is_none() {
        out.truncate(start);
        string(out, text);
    }
}

/// Numbers stay as the server wrote them; NaN and the infinities are no JSON numbers.
fn number(out: &mut Vec<u8>, text: &str) -> Option<()> {
    is_json_number(text).then(|| out.extend_from_slice(text.as_bytes()))
}

fn is_json_number(text: &str) -> bool {
    let rest = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match rest.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (rest, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let whole_fits = digits(whole) && (whole.len() == 1 || !whole.starts_with('0'));
    let exponent_fits = exponent.is_none_or(|e| digits(e.strip_prefix(['+', '-']).unwrap_or(e)));
    whole_fits && fraction.is_none_or(digits) && exponent_fits
}

/// The server keeps `json` as it was typed; the line breaks in it must not end a line of the result.
fn compact_json(out: &mut Vec<u8>, text: &str) {
    let mut in_string = false;
    let mut escaped = false;
    for &byte in text.as_bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
        } else if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            continue;
        } else {
            in_string = byte == b'"';
        }
        out.push(byte);
    }
}

/// A JSON string with exactly the escapes of PostgreSQL's `escape_json`.
fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&bytes[copied..at]);
        copied = at + 1;
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            0x08 => out.extend_from_slice(b"\\b"),
            0x0c => out.extend_from_slice(b"\\f"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => out.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&bytes[copied..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use tokio_postgres::types::{Kind, Type};

    use super::*;

    fn json(ty: &Type, text: &str) -> String {
        let mut out = Vec::new();
        append_json(&mut out, &Shapes::new(&HashMap::new(), LongNumbers::Bare).of(ty), text);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_are_bare_unless_json_has_no_word_for_them() {
        assert_eq!(
            json(&Type::NUMERIC, "123456789012345678901234567890.00"),
            "123456789012345678901234567890.00"
        );
        assert_eq!(json(&Type::FLOAT8, "-1e-07"), "-1e-07");
        assert_eq!(json(&Type::FLOAT8, "-0"), "-0");
        for odd in ["NaN", "Infinity", "-Infinity"] {
            assert_eq!(json(&Type::NUMERIC, odd), format!("\"{odd}\""));
        }
        assert_eq!(json(&Type::OID, "7"), "\"7\"");
        assert_eq!(json(&Type::MONEY, "$1.00"), "\"$1.00\"");
    }

    #[test]
    fn json_loses_its_blanks_and_keeps_its_numbers() {
        let text = "{ \"a b\" :\n [1.10, 1e400,\t\"x\\\" \\\\\" , \"\\n \"]\r\n}";
        assert_eq!(json(&Type::JSON, text), "{\"a b\":[1.10,1e400,\"x\\\" \\\\\",\"\\n \"]}");
    }

    #[test]
    fn strings_escape_as_the_server_does() {
        assert_eq!(
            json(&Type::TEXT, "a\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é"),
            "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\u{7f}é\""
        );
    }

    #[test]
    fn times_get_a_t_and_a_full_offset() {
        for (text, expected) in [
            ("2024-01-02 03:04:05.678+00", "2024-01-02T03:04:05.678+00:00"),
            ("2024-01-02 03:04:05-03:30", "2024-01-02T03:04:05-03:30"),
            ("0044-03-15 00:00:00+00 BC", "0044-03-15T00:00:00+00:00 BC"),
            ("12024-01-02 03:04:05+00:53:28", "12024-01-02T03:04:05+00:53:28"),
            ("infinity", "infinity"),
            ("Tue Jan 02 03:04:05 2024 UTC", "Tue Jan 02 03:04:05 2024 UTC"),
        ] {
            assert_eq!(json(&Type::TIMESTAMPTZ, text), format!("\"{expected}\""));
        }
        assert_eq!(json(&Type::TIMESTAMP, "2024-01-02 03:04:05"), "\"2024-01-02T03:04:05\"");
        assert_eq!(json(&Type::DATE, "0044-03-15 BC"), "\"0044-03-15 BC\"");
    }

    #[test]
    fn arrays_of_any_shape() {
        assert_eq!(json(&Type::INT4_ARRAY, "{1,NULL,3}"), "[1,null,3]");
        assert_eq!(json(&Type::INT4_ARRAY, "{}"), "[]");
        assert_eq!(json(&Type::INT4_ARRAY, "[0:1][2:3]={{1,2},{3,4}}"), "[[1,2],[3,4]]");
        assert_eq!(
            json(&Type::TEXT_ARRAY, r#"{"a,\"b\\",NULL,"NULL",c d,""}"#),
            r#"["a,\"b\\",null,"NULL","c d",""]"#
        );
        assert_eq!(json(&Type::BOX_ARRAY, "{(1,1),(0,0);(3,3),(2,2)}"), r#"["(1,1),(0,0)","(3,3),(2,2)"]"#);
        assert_eq!(json(&Type::OID_VECTOR, "1 2"), r#"["1","2"]"#);
        assert_eq!(json(&Type::INT2_VECTOR, "1 2"), "[1,2]");
        assert_eq!(json(&Type::INT2_VECTOR, ""), "[]");
        for malformed in ["{1", "1", "{1}}", "{\"", "{1}x", "[1:2"] {
            assert_eq!(json(&Type::INT4_ARRAY, malformed), serde_json::to_string(malformed).unwrap());
        }
    }

    #[test]
    fn composites_become_objects() {
        let field = |name: &str, ty: Type| tokio_postgres::types::Field::new(name.to_owned(), ty);
        let of = |oid, fields: Vec<_>| {
            Type::new("c".to_owned(), oid, Kind::Composite(fields), "public".to_owned())
        };
        let inner = of(100_000, vec![field("x", Type::INT4), field("y", Type::TEXT)]);
        let outer = of(
            100_001,
            vec![field("a", Type::BOOL), field("b\"", inner.clone()), field("c", Type::TEXT_ARRAY)],
        );
        assert_eq!(json(&inner, r#"(1,"a ""b"" \\ c")"#), r#"{"x":1,"y":"a \"b\" \\ c"}"#);
        assert_eq!(json(&inner, "(,)"), r#"{"x":null,"y":null}"#);
        assert_eq!(json(&inner, r#"(1,"")"#), r#"{"x":1,"y":""}"#);
        assert_eq!(
            json(&outer, r#"(t,"(1,""x y"")","{a,NULL}")"#),
            r#"{"a":true,"b\"":{"x":1,"y":"x y"},"c":["a",null]}"#
        );
        assert_eq!(json(&of(100_002, vec![]), "()"), "{}");
        assert_eq!(json(&of(100_002, vec![field("x", Type::INT4)]), "()"), r#"{"x":null}"#);
        for malformed in ["(1)", "(1,2,3)", "1", "(1,2", "(1,\"2)"] {
            assert_eq!(json(&inner, malformed), serde_json::to_string(malformed).unwrap());
        }
    }

    #[test]
    fn hstore_becomes_an_object() {
        let hstore = Type::new("hstore".to_owned(), 100_000, Kind::Simple, "public".to_owned());
        let array =
            Type::new("_hstore".to_owned(), 100_001, Kind::Array(hstore.clone()), "public".to_owned());
        assert_eq!(json(&hstore, ""), "{}");
        assert_eq!(
            json(&hstore, r#""a"=>"1", "b\"\\"=>NULL, ""=>"NULL""#),
            r#"{"a": "1", "b\"\\": null, "": "NULL"}"#
        );
        assert_eq!(json(&array, r#"{"\"a\"=>\"1\"",NULL,""}"#), r#"[{"a": "1"},null,{}]"#);
        for malformed in ["a", r#""a""#, r#""a"=>"#, r#""a"=>"1", "#, r#""a"=>"1" "#, r#""a"=>"1","b"=>"2""#]
        {
            assert_eq!(json(&hstore, malformed), serde_json::to_string(malformed).unwrap());
        }
    }

    #[test]
    fn records_without_a_type_are_text() {
        assert_eq!(json(&Type::RECORD, "(1,a)"), "\"(1,a)\"");
        assert_eq!(json(&Type::RECORD_ARRAY, r#"{"(1,a)",NULL}"#), r#"["(1,a)",null]"#);
        assert_eq!(json(&Type::ANYARRAY, "{1,2}"), "\"{1,2}\"");
    }

    proptest! {
        #[test]
        fn every_value_is_one_line_of_json(text in r#"[-{}()\[\]:=>,;"\\ a-z0-9NULé\n]{0,40}"#) {
            let pair = Type::new("p".to_owned(), 100_000, Kind::Composite(vec![
                tokio_postgres::types::Field::new("x".to_owned(), Type::TEXT_ARRAY),
                tokio_postgres::types::Field::new("y".to_owned(), Type::INT4),
            ]), "public".to_owned());
            let hstore = Type::new("hstore".to_owned(), 100_001, Kind::Simple, "public".to_owned());
            for ty in [hstore, Type::TEXT, Type::INT4, Type::TEXT_ARRAY, Type::BOX_ARRAY, Type::TIMESTAMPTZ, Type::OID_VECTOR, pair] {
                let found = json(&ty, &text);
                prop_assert!(!found.contains('\n'));
                prop_assert!(serde_json::from_str::<serde_json::Value>(&found).is_ok(), "{} {} {}", ty, text, found);
            }
        }
    }
}
