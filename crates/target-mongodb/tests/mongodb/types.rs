//! Every type, in through Extended JSON and out again, compared with what the driver itself writes and reads.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, DateTime, Document, JavaScriptCodeWithScope, RawDocumentBuf, Timestamp, bson, doc};
use domain::request::ExtendedJson;
use serde_json::{Value, json};

use super::harness::Db;

fn typed(json: Value) -> Bson {
    Bson::try_from(json).unwrap()
}

fn numbers() -> Vec<Bson> {
    let doubles = [
        0.0,
        -0.0,
        0.1,
        1.0,
        -1.5,
        1e300,
        5e-324,
        f64::MIN_POSITIVE / 3.0,
        f64::MAX,
        f64::MIN,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e21,
        123_456_789.123_456_79,
    ];
    let longs = [0, 1, -1, i64::from(i32::MAX) + 1, 9_007_199_254_740_993, i64::MIN, i64::MAX];
    let decimals = [
        "1.10",
        "1.1",
        "-0",
        "0E+3",
        "1E+6144",
        "9.999999999999999999999999999999999E+6144",
        "1E-6176",
        "NaN",
        "Infinity",
        "-Infinity",
        "1234567890123456789012345678901234",
        "-12345678901234567890.12345678901234",
        "0.000001",
        "1E-7",
    ];
    let mut all: Vec<Bson> = doubles.map(Bson::Double).into();
    all.extend([0, 1, -1, i32::MIN, i32::MAX].map(Bson::Int32));
    all.extend(longs.map(Bson::Int64));
    all.extend(decimals.map(|text| Bson::Decimal128(text.parse().unwrap())));
    all
}

fn strings() -> Vec<Bson> {
    let texts = [
        "",
        "plain",
        "a\0b",
        "\"quoted\" \\ / \u{8}\u{c}\n\r\t",
        "\u{1}\u{1f}\u{7f}\u{85}\u{2028}\u{2029}",
        "é ß 日本",
        "\u{ffff}\u{10000}\u{1f600}\u{2ffff}\u{e0001}\u{10ffff}",
        "e\u{301}",
        "$where",
        "{\"$oid\": 1}",
    ];
    let mut all: Vec<Bson> = texts.map(|text| Bson::String(text.to_owned())).into();
    all.push(Bson::String("x".repeat(100_000)));
    all.push(Bson::Symbol("a \0 symbol".to_owned()));
    all.push(Bson::JavaScriptCode("function() { return \"x\" }".to_owned()));
    let scope = doc! { "z": 1, "a": { "$where": "data" }, "nothing": Bson::Null };
    all.push(JavaScriptCodeWithScope { code: "f(z)".to_owned(), scope }.into());
    for (pattern, options) in [("^a.*b$", ""), ("a/b\"\\d", "imsx"), ("é", "iu")] {
        all.push(typed(json!({"$regularExpression": {"pattern": pattern, "options": options}})));
    }
    all
}

fn others() -> Vec<Bson> {
    let times = [
        0,
        1,
        -1,
        999,
        1_700_000_000_123,
        -62_167_219_200_000,
        -62_167_219_200_001,
        253_402_300_799_999,
        253_402_300_800_000,
        i64::MIN,
        i64::MAX,
    ];
    let mut all: Vec<Bson> = times.map(|time| Bson::DateTime(DateTime::from_millis(time))).into();
    all.extend([
        Bson::Null,
        Bson::Undefined,
        Bson::MinKey,
        Bson::MaxKey,
        Bson::Boolean(true),
        Bson::Boolean(false),
    ]);
    all.extend([[0; 12], [255; 12], *b"abcdefghijkl"].map(|id| Bson::ObjectId(ObjectId::from_bytes(id))));
    // The server sets one of zeros to the time of the write, but not inside of a document.
    all.push(bson!({ "t": Bson::Timestamp(Timestamp { time: 0, increment: 0 }) }));
    for (time, increment) in [(0, 1), (1, 2), (u32::MAX, u32::MAX)] {
        all.push(Bson::Timestamp(Timestamp { time, increment }));
    }
    all.push(typed(json!({"$dbPointer": {"$ref": "db.users", "$id": {"$oid": "0123456789abcdef01234567"}}})));
    all.push(bson!({ "$ref": "users", "$id": { "nested": 1 }, "$db": "other" }));
    all.push(bson!([]));
    all.push(bson!([1, ["a", [Bson::Null, {}]], { "b": [[]] }]));
    all
}

fn binaries() -> Vec<Bson> {
    let subtypes = (0..=8).chain(128..=255).map(BinarySubtype::from);
    let contents = [vec![], vec![0], (0..=255).collect::<Vec<u8>>(), vec![7; 16]];
    let all =
        subtypes.flat_map(|subtype| contents.clone().map(|bytes| Bson::Binary(Binary { subtype, bytes })));
    // A vector: its kind, its padding, its elements.
    let vector = Binary { subtype: BinarySubtype::from(9), bytes: vec![0x27, 0, 1, 2, 3, 4, 0, 0, 128, 63] };
    all.chain([Bson::Binary(vector)]).collect()
}

fn documents() -> Vec<Bson> {
    let mut deep = bson!("the bottom");
    for level in 0..98 {
        deep = if level % 3 == 0 { bson!([deep]) } else { bson!({ "d": deep }) };
    }
    let names = doc! {
        "z": 1, "a": 2, "": "no name", "a.b": 3, "$x": 4, "$inc": { "a": 1 }, "__proto__": 5, "é\u{1f600}\n\"": 6, "10": 7,
        "9": 8, ".": 9, "$": 10, " ": 11, "constructor": 12,
    };
    let many: Document = (0..1_000).rev().map(|n| (format!("f{n}"), Bson::Int32(n))).collect();
    vec![bson!({}), deep, Bson::Document(names), Bson::Document(many)]
}

fn rows(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str::<[Value; 1]>(line).unwrap()[0].clone()).collect()
}

/// What the rows hold, each as it would be submitted.
fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(|line| line.strip_prefix('[').unwrap().strip_suffix(']').unwrap()).collect()
}

async fn keep(db: &Db, collection: &str, documents: &[&str]) {
    for some in documents.chunks(50) {
        let text = format!(r#"{{"insert": "{collection}", "documents": [{}]}}"#, some.join(","));
        let outcome = db.run(&text).await;
        assert_eq!(outcome.report().statements[0].affected, Some(some.len() as u64));
    }
}

/// These values come in, are kept, come out in both formats and come in again, and are the same in every byte.
async fn are_unchanged(values: Vec<Bson>) {
    let db = Db::new().await;
    let document = |(n, value): (usize, Bson)| doc! { "_id": i32::try_from(n).unwrap(), "v": value };
    let given: Vec<Document> = values.into_iter().enumerate().map(document).collect();
    let expected: Vec<RawDocumentBuf> =
        given.iter().map(|one| RawDocumentBuf::try_from(one).unwrap()).collect();
    db.database().collection::<RawDocumentBuf>("by_driver").insert_many(&expected).await.unwrap();
    let mut formats = vec![];
    for format in [ExtendedJson::Canonical, ExtendedJson::Relaxed] {
        let find = r#"{"find": "by_driver", "sort": {"_id": 1}}"#;
        let outcome = db.run_as(find, |order| order.extended_json = format).await;
        outcome.report();
        formats.push(outcome.lines);
    }
    for (collection, lines) in ["by_canonical", "by_relaxed"].into_iter().zip(&formats) {
        keep(&db, collection, &texts(lines)).await;
    }
    let kept = db.raw("by_canonical").await;
    for (n, (kept, expected)) in kept.iter().zip(&expected).enumerate() {
        assert_eq!(kept.as_bytes(), expected.as_bytes(), "{:?}", given[n]);
    }
    assert_eq!(kept.len(), expected.len());
    assert_eq!(kept, db.raw("by_driver").await);
    // What is read anew from the relaxed format is shown as the same.
    let again = db.run(r#"{"find": "by_relaxed", "sort": {"_id": 1}}"#).await;
    again.report();
    assert_eq!(again.lines, formats[1]);
    // The library's own words for them, wherever it keeps to the specification.
    for (n, given) in given.into_iter().enumerate() {
        if matches!(given.get("v"), Some(Bson::Double(_) | Bson::DateTime(_))) {
            continue;
        }
        let given = Bson::Document(given);
        assert_eq!(rows(&formats[0])[n], given.clone().into_canonical_extjson());
        assert_eq!(rows(&formats[1])[n], given.into_relaxed_extjson());
    }
}

#[tokio::test]
async fn numbers_are_unchanged() {
    are_unchanged(numbers()).await;
}

#[tokio::test]
async fn texts_code_and_patterns_are_unchanged() {
    are_unchanged(strings()).await;
}

#[tokio::test]
async fn dates_ids_and_what_is_rare_are_unchanged() {
    are_unchanged(others()).await;
}

#[tokio::test]
async fn binary_data_of_every_subtype_is_unchanged() {
    are_unchanged(binaries()).await;
}

#[tokio::test]
async fn documents_of_any_shape_are_unchanged() {
    are_unchanged(documents()).await;
}

#[tokio::test]
async fn values_that_other_commands_give_are_unchanged() {
    let db = Db::new().await;
    let mut values = numbers();
    values.extend(strings());
    values.extend(others());
    // `distinct` takes an array apart, and knows no second value that is equal.
    values.retain(|value| !matches!(value, Bson::Array(_) | Bson::Undefined));
    let run = async |text: &str| {
        let outcome = db.run_as(text, |order| order.extended_json = ExtendedJson::Canonical).await;
        outcome.report();
        outcome.lines
    };
    for value in values {
        db.database().collection::<Document>("one").drop().await.unwrap();
        db.insert("one", vec![doc! { "_id": 1, "v": value.clone() }]).await;
        let found = run(r#"{"find": "one"}"#).await;
        for text in [
            r#"{"findAndModify": "one", "query": {"_id": 1}, "update": {"$set": {"seen": true}}}"#,
            r#"{"aggregate": "one", "pipeline": [{"$project": {"v": 1}}], "cursor": {}}"#,
        ] {
            assert_eq!(run(text).await, found, "{text} {value:?}");
        }
        let distinct = run(r#"{"distinct": "one", "key": "v"}"#).await;
        assert_eq!(
            format!(r#"{{"_id":{{"$numberInt":"1"}},"v":{}}}"#, texts(&distinct)[0]),
            texts(&found)[0]
        );
    }
}

#[tokio::test]
async fn names_with_dots_and_dollars_are_written_by_updates_too() {
    let db = Db::new().await;
    db.insert("c", vec![doc! { "_id": 1 }, doc! { "_id": 2 }]).await;
    let set = r#"{"update": "c", "updates": [{"q": {"_id": 1}, "u": [{"$replaceWith":
        {"$setField": {"field": {"$literal": "$price"}, "input": {"$setField": {"field": "a.b", "input": "$$ROOT", "value": 1}}, "value": 2}}}]}]}"#;
    db.run(set).await.report();
    let replace = r#"{"update": "c", "updates": [{"q": {"_id": 2}, "u": {"_id": 2, "a.b": {"$c": 1}, "d": {"$date.x": 1}}}]}"#;
    db.run(replace).await.report();
    let kept = db.raw("c").await;
    let expected = [
        doc! { "_id": 1, "a.b": 1, "$price": 2 },
        doc! { "_id": 2, "a.b": { "$c": 1 }, "d": { "$date.x": 1 } },
    ];
    assert_eq!(kept, expected.map(|one| RawDocumentBuf::try_from(&one).unwrap()));
    assert_eq!(
        db.run(r#"{"find": "c", "filter": {"_id": 1}}"#).await.lines,
        [r#"[{"_id":1,"a.b":1,"$price":2}]"#]
    );
}

#[tokio::test]
async fn relaxed_text_is_what_people_write() {
    let db = Db::new().await;
    let values = doc! {
        "_id": 1, "long": i64::MAX, "double": 1.0, "small": 5e-324, "date": DateTime::from_millis(1_700_000_000_123),
        "old": DateTime::from_millis(-1), "far": DateTime::from_millis(253_402_300_800_000), "nan": f64::NAN,
    };
    db.insert("c", vec![values]).await;
    let expected = concat!(
        r#"[{"_id":1,"long":9223372036854775807,"double":1.0,"small":5e-324,"date":{"$date":"2023-11-14T22:13:20.123Z"},"#,
        r#""old":{"$date":{"$numberLong":"-1"}},"far":{"$date":{"$numberLong":"253402300800000"}},"#,
        r#""nan":{"$numberDouble":"NaN"}}]"#
    );
    assert_eq!(db.run(r#"{"find": "c"}"#).await.lines, [expected]);
}

/// Only a client that writes BSON by itself can make these.
#[tokio::test]
async fn a_document_that_no_text_can_show_is_an_error_that_says_so() {
    let db = Db::new().await;
    let mut bytes = RawDocumentBuf::try_from(&doc! { "_id": 1, "s": "xx" }).unwrap().into_bytes();
    let at = bytes.windows(2).position(|two| two == b"xx").unwrap();
    bytes[at] = 0xff;
    let broken = RawDocumentBuf::from_bytes(bytes).unwrap();
    db.database().collection::<RawDocumentBuf>("c").insert_one(broken).await.unwrap();
    let outcome = db.run(r#"{"find": "c"}"#).await;
    let error = outcome.database_error();
    assert!(error.message.ends_with('.') && error.code == "Unreadable", "{error:?}");
    let mut deep = bson!(1);
    for _ in 0..150 {
        deep = bson!({ "d": deep });
    }
    db.insert("deep", vec![doc! { "_id": 1, "d": deep }]).await;
    let outcome = db.run(r#"{"find": "deep"}"#).await;
    assert!(outcome.database_error().message.contains("more than 120 levels"), "{:?}", outcome.result);
}
