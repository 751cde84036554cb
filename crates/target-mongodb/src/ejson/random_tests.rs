//! Random documents to text and back, compared byte by byte.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{
    Binary, Bson, DateTime, Decimal128, Document, JavaScriptCodeWithScope, RawDocumentBuf, Regex, Timestamp,
};
use domain::request::ExtendedJson;
use proptest::prelude::*;
use serde_json::Value;

use super::read::TYPES;
use super::{WriteError, canonical, document, value};

fn bytes(document: &Document) -> Vec<u8> {
    RawDocumentBuf::try_from(document).unwrap().into_bytes()
}

fn relaxed(document: &Document) -> String {
    let mut out = vec![];
    let raw = RawDocumentBuf::try_from(document).unwrap();
    value(&mut out, bson::raw::RawBsonRef::Document(&raw), ExtendedJson::Relaxed).unwrap();
    String::from_utf8(out).unwrap()
}

/// All of them, but of those that are no number only the usual one: text has one word for all.
fn double() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        any::<i32>().prop_map(f64::from),
        Just(-0.0),
        Just(f64::INFINITY),
        Just(f64::MIN_POSITIVE / 3.0),
    ]
    .prop_map(|number| if number.is_nan() { f64::NAN } else { number })
}

fn decimal() -> impl Strategy<Value = Decimal128> {
    let finite =
        ("-?[0-9]{1,34}", -6176_i32..=6111).prop_map(|(digits, exponent)| format!("{digits}E{exponent}"));
    let special =
        prop_oneof![Just("NaN".to_owned()), Just("Infinity".to_owned()), Just("-Infinity".to_owned())];
    prop_oneof![9 => finite, 1 => special].prop_map(|text| text.parse().unwrap())
}

fn name() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        any::<String>(),
        "[a-c.$]{0,3}",
        Just("__proto__".to_owned()),
        Just("$ref".to_owned()),
        Just("$numberlong".to_owned()),
    ];
    // Inside of a document the names of Extended JSON's types are the types.
    word.prop_map(|name| name.replace('\0', "")).prop_filter("a type", |name| !TYPES.contains(&name.as_str()))
}

fn regex() -> impl Strategy<Value = Bson> {
    (any::<String>(), "i?l?m?s?u?x?").prop_map(|(pattern, options)| {
        let pattern = pattern.replace('\0', "").try_into().unwrap();
        Bson::RegularExpression(Regex { pattern, options: options.try_into().unwrap() })
    })
}

fn pointer() -> impl Strategy<Value = Bson> {
    ("[a-z.é]{1,9}", any::<[u8; 12]>()).prop_map(|(name, id)| {
        let id = ObjectId::from_bytes(id).to_hex();
        Bson::try_from(serde_json::json!({"$dbPointer": {"$ref": name, "$id": {"$oid": id}}})).unwrap()
    })
}

fn scalar() -> impl Strategy<Value = Bson> {
    let binary = (any::<u8>(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(subtype, bytes)| {
        // The vectors of machine learning have a form of their own, of which not all bytes are one.
        let subtype = if subtype == 9 { 0 } else { subtype };
        Bson::Binary(Binary { subtype: BinarySubtype::from(subtype), bytes })
    });
    prop_oneof![
        double().prop_map(Bson::Double),
        any::<String>().prop_map(Bson::String),
        binary,
        Just(Bson::Undefined),
        any::<[u8; 12]>().prop_map(|id| Bson::ObjectId(ObjectId::from_bytes(id))),
        any::<bool>().prop_map(Bson::Boolean),
        any::<i64>().prop_map(|time| Bson::DateTime(DateTime::from_millis(time))),
        (-62_167_219_200_000_i64..300_000_000_000_000)
            .prop_map(|time| Bson::DateTime(DateTime::from_millis(time))),
        Just(Bson::Null),
        regex(),
        pointer(),
        any::<String>().prop_map(Bson::JavaScriptCode),
        any::<String>().prop_map(Bson::Symbol),
        any::<i32>().prop_map(Bson::Int32),
        any::<(u32, u32)>().prop_map(|(time, increment)| Bson::Timestamp(Timestamp { time, increment })),
        any::<i64>().prop_map(Bson::Int64),
        any::<i32>().prop_map(|small| Bson::Int64(i64::from(small))),
        decimal().prop_map(Bson::Decimal128),
        Just(Bson::MinKey),
        Just(Bson::MaxKey),
    ]
}

fn fields(value: impl Strategy<Value = Bson>) -> impl Strategy<Value = Document> {
    prop::collection::vec((name(), value), 0..6).prop_map(|fields| fields.into_iter().collect())
}

fn any_value() -> impl Strategy<Value = Bson> {
    scalar().prop_recursive(6, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Bson::Array),
            fields(inner.clone()).prop_map(Bson::Document),
            (any::<String>(), fields(inner)).prop_map(|(code, scope)| {
                Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope })
            }),
        ]
    })
}

/// The same JSON, but for doubles: of the smallest the library writes numbers, and of the largest all zeros.
fn same(left: &Value, right: &Value) -> bool {
    let double = |value: &Value| {
        let number = match value {
            Value::Number(number) => number.as_f64().unwrap(),
            Value::Object(fields) if fields.len() == 1 => {
                fields.get("$numberDouble")?.as_str()?.parse().unwrap()
            }
            _ => return None,
        };
        Some(if number.is_nan() { f64::NAN } else { number }.to_bits())
    };
    match (left, right) {
        _ if double(left).is_some() => double(left) == double(right),
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len()
                && left.iter().all(|(name, value)| right.get(name).is_some_and(|other| same(value, other)))
        }
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        _ => left == right,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2_000) })]

    #[test]
    fn documents_come_back_byte_by_byte(given in fields(any_value())) {
        let text = canonical(&given).unwrap();
        let read = document(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
        prop_assert_eq!(bytes(&read), bytes(&given), "{}", text);
    }

    #[test]
    fn canonical_text_is_what_the_library_writes(given in fields(any_value())) {
        let written: Value = serde_json::from_str(&canonical(&given).unwrap()).unwrap();
        let expected = Bson::Document(given).into_canonical_extjson();
        prop_assert!(same(&written, &expected), "{} {}", written, expected);
    }

    #[test]
    fn relaxed_text_is_json_on_one_line_and_reads_as_the_same_values(given in fields(any_value())) {
        let text = relaxed(&given);
        prop_assert!(!text.contains('\n'));
        serde_json::from_str::<Value>(&text).unwrap();
        let again = relaxed(&document(&text).unwrap());
        prop_assert_eq!(again, text);
    }

    #[test]
    fn a_double_in_plain_json_is_the_nearest_one(number in double().prop_filter("a number", |n| n.is_finite())) {
        let read = document(&format!("{{\"v\":{number:?}}}")).unwrap();
        let Some(Bson::Double(read)) = read.get("v") else { panic!("{read:?}") };
        prop_assert_eq!(read.to_bits(), number.to_bits(), "{:?} {:?}", read, number);
    }

    #[test]
    fn doubles_beside_all_sorts_of_strings_are_the_nearest_ones(
        given in prop::collection::vec((any::<String>(), double().prop_filter("a number", |n| n.is_finite()), any::<i64>()), 0..6)
    ) {
        let items: Vec<String> = given
            .iter()
            .map(|(text, double, int)| format!("{{\"-1\\\\\\\"2\":[{},{double:?},{int}]}}", Value::from(text.as_str())))
            .collect();
        let read = document(&format!("{{\"v\":[{}]}}", items.join(", "))).unwrap();
        for (item, (text, double, int)) in read.get_array("v").unwrap().iter().zip(given) {
            let item = item.as_document().unwrap().get_array("-1\\\"2").unwrap();
            prop_assert_eq!(item[0].as_str(), Some(text.as_str()));
            prop_assert_eq!(item[1].as_f64().map(f64::to_bits), Some(double.to_bits()));
            prop_assert_eq!(item[2].as_i64().or(item[2].as_i32().map(i64::from)), Some(int));
        }
    }

    #[test]
    fn any_text_is_survived(text in "[\\[{][\\[\\]{}\":,$a-z0-9\\\\ .eE+-]{0,200}") {
        drop(super::commands(&text));
    }
}

#[test]
fn what_text_cannot_tell_apart_comes_back_as_the_usual_one() {
    let odd = f64::from_bits(0xfff8_0000_0000_0001);
    let given = [("v".to_owned(), Bson::Double(odd))].into_iter().collect();
    let text = canonical(&given).unwrap();
    assert_eq!(text, r#"{"v":{"$numberDouble":"NaN"}}"#);
    assert_eq!(document(&text).unwrap().get_f64("v").unwrap().to_bits(), f64::NAN.to_bits());
}

#[test]
fn dates_of_other_years_than_people_write_are_numbers() {
    let shown = |millis: i64| {
        relaxed(&[("v".to_owned(), Bson::DateTime(DateTime::from_millis(millis)))].into_iter().collect())
    };
    assert_eq!(shown(0), r#"{"v":{"$date":"1970-01-01T00:00:00Z"}}"#);
    assert_eq!(shown(253_402_300_799_999), r#"{"v":{"$date":"9999-12-31T23:59:59.999Z"}}"#);
    for millis in [-1, -62_167_219_200_000, 253_402_300_800_000, i64::MIN, i64::MAX] {
        assert_eq!(shown(millis), format!("{{\"v\":{{\"$date\":{{\"$numberLong\":\"{millis}\"}}}}}}"));
    }
}

#[test]
fn a_hundred_levels_are_read_and_written_and_far_more_are_not() {
    let deep = |levels: usize| {
        (0..levels)
            .fold(Document::new(), |inner, _| [("a".to_owned(), Bson::from(inner))].into_iter().collect())
    };
    for levels in [99, 100, 110] {
        let given = deep(levels);
        let text = canonical(&given).unwrap();
        assert_eq!(bytes(&document(&text).unwrap()), bytes(&given), "{levels}");
        assert_eq!(relaxed(&given), text, "{levels}");
    }
    assert!(matches!(canonical(&deep(200)), Err(WriteError::TooDeep)));
    let text = format!("{}{{}}{}", "{\"a\":".repeat(125), "}".repeat(125));
    assert_eq!(document(&text).unwrap_err().code, "nested_too_deeply");
    let text = format!("{}{{}}{}", "{\"a\":".repeat(100_000), "}".repeat(100_000));
    assert_eq!(document(&text).unwrap_err().code, "extended_json");
}
