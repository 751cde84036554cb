//! Every constructor and literal of the shell, and what it is in canonical Extended JSON, to the bit.

use super::runner;
use crate::harness::evaluate_on;

async fn are(table: &[(&str, &str)]) {
    let runner = runner();
    for (text, expected) in table {
        let commands = evaluate_on(&runner, &format!("db.u.find({{ v: {text} }})")).await;
        assert_eq!(commands, Ok(vec![format!(r#"{{"find":"u","filter":{{"v":{expected}}}}}"#)]), "{text}");
    }
}

#[tokio::test]
async fn numbers_keep_their_types() {
    are(&[
        ("0", r#"{"$numberInt":"0"}"#),
        ("2147483647", r#"{"$numberInt":"2147483647"}"#),
        ("-2147483648", r#"{"$numberInt":"-2147483648"}"#),
        ("2147483648", r#"{"$numberDouble":"2147483648.0"}"#),
        ("-0", r#"{"$numberDouble":"-0.0"}"#),
        ("1.0", r#"{"$numberInt":"1"}"#),
        ("0.1", r#"{"$numberDouble":"0.1"}"#),
        ("1e300", r#"{"$numberDouble":"1e+300"}"#),
        ("5e-324", r#"{"$numberDouble":"5e-324"}"#),
        ("NaN", r#"{"$numberDouble":"NaN"}"#),
        ("-Infinity", r#"{"$numberDouble":"-Infinity"}"#),
        ("9007199254740993n", r#"{"$numberLong":"9007199254740993"}"#),
        ("NumberInt(5)", r#"{"$numberInt":"5"}"#),
        ("NumberInt('-7')", r#"{"$numberInt":"-7"}"#),
        ("new Int32(5)", r#"{"$numberInt":"5"}"#),
        ("NumberLong('9223372036854775807')", r#"{"$numberLong":"9223372036854775807"}"#),
        ("NumberLong('-9223372036854775808')", r#"{"$numberLong":"-9223372036854775808"}"#),
        ("NumberLong(9007199254740991)", r#"{"$numberLong":"9007199254740991"}"#),
        ("NumberLong()", r#"{"$numberLong":"0"}"#),
        ("Long('12')", r#"{"$numberLong":"12"}"#),
        ("new Long(1, 2)", r#"{"$numberLong":"8589934593"}"#),
        ("Long.fromString('9007199254740993')", r#"{"$numberLong":"9007199254740993"}"#),
        ("Double(1)", r#"{"$numberDouble":"1.0"}"#),
        ("new Double(-0)", r#"{"$numberDouble":"-0.0"}"#),
        ("NumberDecimal('1.10')", r#"{"$numberDecimal":"1.10"}"#),
        ("Decimal128('-1E-6176')", r#"{"$numberDecimal":"-1E-6176"}"#),
        (
            "NumberDecimal('9.999999999999999999999999999999999E+6144')",
            r#"{"$numberDecimal":"9.999999999999999999999999999999999E+6144"}"#,
        ),
        ("NumberDecimal('NaN')", r#"{"$numberDecimal":"NaN"}"#),
        ("NumberDecimal(0.5)", r#"{"$numberDecimal":"0.5"}"#),
    ])
    .await;
}

#[tokio::test]
async fn dates_keep_their_moments() {
    are(&[
        ("ISODate('2020-02-29T12:30:15.250Z')", r#"{"$date":{"$numberLong":"1582979415250"}}"#),
        ("ISODate('2020-02-29')", r#"{"$date":{"$numberLong":"1582934400000"}}"#),
        ("ISODate('20200229T123015Z')", r#"{"$date":{"$numberLong":"1582979415000"}}"#),
        ("ISODate('2020-02-29T12')", r#"{"$date":{"$numberLong":"1582977600000"}}"#),
        ("ISODate('2020-02-29 12:30')", r#"{"$date":{"$numberLong":"1582979400000"}}"#),
        ("ISODate('2020-02-29T12:30:15.1234567+05:30')", r#"{"$date":{"$numberLong":"1582959615123"}}"#),
        ("ISODate('2020-02-29T12:30:15-08')", r#"{"$date":{"$numberLong":"1583008215000"}}"#),
        ("new ISODate('1969-12-31T23:59:59.999Z')", r#"{"$date":{"$numberLong":"-1"}}"#),
        ("ISODate('0001-01-01')", r#"{"$date":{"$numberLong":"-62135596800000"}}"#),
        ("ISODate('+010000-01-01T00:00:00Z')", r#"{"$date":{"$numberLong":"253402300800000"}}"#),
        ("new Date(8640000000000000)", r#"{"$date":{"$numberLong":"8640000000000000"}}"#),
        ("new Date('2020-02-29')", r#"{"$date":{"$numberLong":"1582934400000"}}"#),
        ("Timestamp(1, 2)", r#"{"$timestamp":{"t":1,"i":2}}"#),
        ("Timestamp({ t: 4294967295, i: 1 })", r#"{"$timestamp":{"t":4294967295,"i":1}}"#),
        ("new Timestamp()", r#"{"$timestamp":{"t":0,"i":0}}"#),
    ])
    .await;
}

#[tokio::test]
async fn bytes_and_ids_keep_their_bits() {
    let uuid = "00112233-4455-6677-8899-aabbccddeeff";
    are(&[
        ("ObjectId('507F1F77bcf86cd799439011')", r#"{"$oid":"507f1f77bcf86cd799439011"}"#),
        ("new ObjectId('507f1f77bcf86cd799439011')", r#"{"$oid":"507f1f77bcf86cd799439011"}"#),
        (
            "ObjectId.createFromHexString('507f1f77bcf86cd799439011')",
            r#"{"$oid":"507f1f77bcf86cd799439011"}"#,
        ),
        (&format!("UUID('{uuid}')"), r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#),
        (
            "UUID('00112233445566778899AABBCCDDEEFF')",
            r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"04"}}"#,
        ),
        ("BinData(0, '')", r#"{"$binary":{"base64":"","subType":"00"}}"#),
        ("BinData(0, '/wA=')", r#"{"$binary":{"base64":"/wA=","subType":"00"}}"#),
        ("BinData(2, '/wA=')", r#"{"$binary":{"base64":"/wA=","subType":"02"}}"#),
        (
            "new BinData(3, 'ABEiM0RVZneImaq7zN3u/w==')",
            r#"{"$binary":{"base64":"ABEiM0RVZneImaq7zN3u/w==","subType":"03"}}"#,
        ),
        ("BinData(9, 'AwA=')", r#"{"$binary":{"base64":"AwA=","subType":"09"}}"#),
        ("BinData(255, 'AQ==')", r#"{"$binary":{"base64":"AQ==","subType":"ff"}}"#),
        ("HexData(128, '00ff')", r#"{"$binary":{"base64":"AP8=","subType":"80"}}"#),
        (
            "MD5('d41d8cd98f00b204e9800998ecf8427e')",
            r#"{"$binary":{"base64":"1B2M2Y8AsgTpgAmY7PhCfg==","subType":"05"}}"#,
        ),
        ("new Uint8Array([1, 255])", r#"{"$binary":{"base64":"Af8=","subType":"00"}}"#),
        ("new Uint8Array([1, 255]).buffer", r#"{"$binary":{"base64":"Af8=","subType":"00"}}"#),
        ("new Binary([1, 255], 6)", r#"{"$binary":{"base64":"Af8=","subType":"06"}}"#),
    ])
    .await;
}

#[tokio::test]
async fn the_other_types_are_themselves() {
    are(&[
        ("null", "null"),
        ("true", "true"),
        ("'é\\u2028\"\\n\\0'", "\"é\u{2028}\\\"\\n\\u0000\""),
        ("'\\u{1f600}'", "\"\u{1f600}\""),
        ("/^a\\/b$/im", r#"{"$regularExpression":{"pattern":"^a\\/b$","options":"im"}}"#),
        ("new RegExp('', 's')", r#"{"$regularExpression":{"pattern":"(?:)","options":"s"}}"#),
        ("BSONRegExp('a#b', 'xi')", r#"{"$regularExpression":{"pattern":"a#b","options":"ix"}}"#),
        ("MinKey", r#"{"$minKey":1}"#),
        ("MinKey()", r#"{"$minKey":1}"#),
        ("new MinKey()", r#"{"$minKey":1}"#),
        ("MaxKey", r#"{"$maxKey":1}"#),
        ("new MaxKey", r#"{"$maxKey":1}"#),
        ("Code('return 1')", r#"{"$code":"return 1"}"#),
        ("Code(function f() { return 1 })", r#"{"$code":"function f() { return 1 }"}"#),
        ("new Code('x', { x: [1, { y: 2 }] })", r#"{"$code":"x","$scope":{"x":[{"$numberInt":"1"},{"y":{"$numberInt":"2"}}]}}"#),
        ("BSONSymbol('s')", r#"{"$symbol":"s"}"#),
        ("DBRef('c', ObjectId('507f1f77bcf86cd799439011'))", r#"{"$ref":"c","$id":{"$oid":"507f1f77bcf86cd799439011"}}"#),
        ("new DBRef('c', 1, 'd')", r#"{"$ref":"c","$id":{"$numberInt":"1"},"$db":"d"}"#),
        ("EJSON.parse('{\"$numberLong\":\"9007199254740993\"}', { relaxed: false })", r#"{"$numberLong":"9007199254740993"}"#),
        ("[]", "[]"),
        ("[1, [2, []], {}]", r#"[{"$numberInt":"1"},[{"$numberInt":"2"},[]],{}]"#),
        ("new Map([['b', 1], ['a', 2], ['1', 3]])", r#"{"b":{"$numberInt":"1"},"a":{"$numberInt":"2"},"1":{"$numberInt":"3"}}"#),
        ("new (class { constructor() { this.a = 1 } get b() { return 2 } })", r#"{"a":{"$numberInt":"1"}}"#),
        ("{ 'a.b': 1, $c: 2, '': 3, 'd e': 4 }", r#"{"a.b":{"$numberInt":"1"},"$c":{"$numberInt":"2"},"":{"$numberInt":"3"},"d e":{"$numberInt":"4"}}"#),
    ])
    .await;
}

#[tokio::test]
async fn documents_nested_a_hundred_deep_stay_whole() {
    let (open, close) = ("{ a: [".repeat(50), "] }".repeat(50));
    let text = format!("db.u.insertOne({{ _id: 1, v: {open}7{close} }})");
    let [command]: [String; 1] = evaluate_on(&runner(), &text).await.unwrap().try_into().unwrap();
    let expected = ["{\"a\":[".repeat(50), r#"{"$numberInt":"7"}"#.to_owned(), "]}".repeat(50)].concat();
    assert_eq!(
        command,
        format!(r#"{{"insert":"u","documents":[{{"_id":{{"$numberInt":"1"}},"v":{expected}}}]}}"#)
    );
}
