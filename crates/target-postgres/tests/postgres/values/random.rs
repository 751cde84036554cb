//! Random values of random types.

use std::ops::Range;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::super::harness::Db;
use super::{AT_A_TIME, difference, literal, typed};

/// A value in the texts of PostgreSQL's input functions, with what is needed to name its type.
#[derive(Clone, Debug)]
enum Made {
    Plain {
        ty: &'static str,
        text: String,
    },
    /// A list of elements, or several rows of the same elements.
    Array {
        ty: &'static str,
        lower: i32,
        rows: Option<usize>,
        elements: Vec<Option<String>>,
    },
    /// The type is made in the request itself.
    Composite(Vec<(String, Option<Made>)>),
    /// An array of one composite value and a null.
    Copies(Vec<(String, Option<Made>)>, usize),
}

/// What a server's input functions take as it is between double quotes.
fn in_array(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn in_record(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\"\""))
}

fn array_text(lower: i32, rows: Option<usize>, elements: &[Option<String>], delimiter: &str) -> String {
    let written: Vec<String> = elements
        .iter()
        .map(|e| e.as_ref().map_or_else(|| "NULL".to_owned(), |text| in_array(text)))
        .collect();
    let upper = |count: usize| lower + i32::try_from(count).unwrap() - 1;
    match rows {
        _ if written.is_empty() => "{}".to_owned(),
        Some(rows) => {
            let row = format!("{{{}}}", written.join(delimiter));
            let all = vec![row; rows].join(delimiter);
            format!("[{lower}:{}][{lower}:{}]={{{all}}}", upper(rows), upper(written.len()))
        }
        None => format!("[{lower}:{}]={{{}}}", upper(written.len()), written.join(delimiter)),
    }
}

impl Made {
    /// The type's name and the value's text. Types that have to be made first are added to the statements.
    fn write(&self, statements: &mut Vec<String>) -> (String, String) {
        match self {
            Self::Plain { ty, text } => ((*ty).to_owned(), text.clone()),
            Self::Array { ty, lower, rows, elements } => {
                let delimiter = match *ty {
                    "box" => ";",
                    "colon" => ":",
                    _ => ",",
                };
                (format!("{ty}[]"), array_text(*lower, *rows, elements, delimiter))
            }
            Self::Copies(fields, copies) => {
                let (name, text) = Self::Composite(fields.clone()).write(statements);
                let mut elements = vec![Some(text); *copies];
                elements.push(None);
                (format!("{name}[]"), array_text(1, None, &elements, ","))
            }
            Self::Composite(fields) => {
                let mut columns = Vec::new();
                let mut values = Vec::new();
                for (at, (name, field)) in fields.iter().enumerate() {
                    let (ty, text) = match field {
                        Some(field) => {
                            let (ty, text) = field.write(statements);
                            (ty, Some(text))
                        }
                        None => ("text".to_owned(), None),
                    };
                    // Two columns cannot have one name.
                    columns.push(format!("\"{}{at}\" {ty}", name.replace('"', "\"\"")));
                    values.push(text.map_or_else(String::new, |text| in_record(&text)));
                }
                // With `json` in its name, for the blanks that may be in one of the fields.
                let name = format!("pg_temp.json{}", statements.len());
                statements.push(format!("CREATE TYPE {name} AS ({})", columns.join(", ")));
                (name, format!("({})", values.join(",")))
            }
        }
    }
}

fn number_between(least: i64, most: i64) -> impl Strategy<Value = String> {
    (least..=most).prop_map(|n| n.to_string())
}

/// Everything but NUL, which no value can hold. Characters that mean something somewhere are more likely.
fn any_text() -> impl Strategy<Value = String> + Clone {
    let special = prop::sample::select(r#"{}()[]",;:\'=> /n*$&|!"#.chars().collect::<Vec<_>>());
    let any = any::<char>().prop_filter("no NUL", |c| *c != '\0');
    prop::collection::vec(
        prop_oneof![3 => special, 1 => any, 1 => prop::sample::select(vec!['\n', '\t', '\r', 'N', '\u{1}'])],
        0..20,
    )
    .prop_map(|chars| chars.into_iter().collect())
}

fn digits(most: usize) -> impl Strategy<Value = String> {
    prop::collection::vec(b'0'..=b'9', 1..=most).prop_map(|digits| String::from_utf8(digits).unwrap())
}

fn numeric() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (any::<bool>(), digits(40), digits(40)).prop_map(|(minus, whole, fraction)| {
            format!("{}{whole}.{fraction}", if minus { "-" } else { "" })
        }),
        1 => digits(1_000),
        1 => prop::sample::select(vec!["NaN".to_owned(), "Infinity".to_owned(), "-Infinity".to_owned()]),
    ]
}

fn day() -> impl Strategy<Value = String> {
    (1..=9_999_u32, 1..=12_u32, 1..=28_u32, 0..8_u32, any::<bool>()).prop_map(
        |(year, month, day, far, bc)| {
            // The server's own range ends earlier before Christ.
            let year = if bc {
                year % 4_000 + 1
            } else if far == 0 {
                year * 25
            } else {
                year
            };
            format!("{year:04}-{month:02}-{day:02}{}", if bc { " BC" } else { "" })
        },
    )
}

fn clock() -> impl Strategy<Value = String> {
    (0..24_u32, 0..60_u32, 0..60_u32, prop_oneof![Just(0_u32), 0..1_000_000_u32])
        .prop_map(|(h, m, s, micros)| format!("{h:02}:{m:02}:{s:02}.{micros:06}"))
}

fn zone() -> impl Strategy<Value = String> {
    (-15..=15_i32, 0..60_u32, prop_oneof![Just(0_u32), 0..60_u32])
        .prop_map(|(h, m, s)| format!("{h:+03}:{m:02}:{s:02}"))
}

fn moment() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => (day(), clock()).prop_map(|(day, clock)| match day.strip_suffix(" BC") {
            Some(day) => format!("{day} {clock} BC"),
            None => format!("{day} {clock}"),
        }),
        1 => prop::sample::select(vec!["infinity".to_owned(), "-infinity".to_owned()]),
    ]
}

fn zoned() -> impl Strategy<Value = String> {
    (moment(), zone()).prop_map(|(moment, zone)| match moment.strip_suffix(" BC") {
        _ if moment.ends_with('y') => moment,
        Some(before) => format!("{before}{zone} BC"),
        None => format!("{moment}{zone}"),
    })
}

fn interval() -> impl Strategy<Value = String> {
    (-1_000_000..1_000_000_i32, -1_000_000..1_000_000_i32, any::<i32>(), -9_999..9_999_i32).prop_map(
        |(months, days, seconds, millis)| format!("{months} mons {days} days {seconds} s {millis} ms"),
    )
}

fn json() -> impl Strategy<Value = String> {
    let blank = || prop::sample::select(vec!["", "", " ", "\n\t "]);
    let string = any_text().prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        (any::<i32>(), digits(30), -30..30_i32).prop_map(|(n, fraction, e)| format!("{n}.{fraction}e{e}")),
        string.clone(),
    ];
    leaf.prop_recursive(3, 20, 4, move |inner| {
        let padded =
            (blank(), inner, blank()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let pair = (string.clone(), padded.clone()).prop_map(|(key, value)| format!("{key}:{value}"));
        prop_oneof![
            prop::collection::vec(padded, 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec(pair, 0..4).prop_map(|items| format!("{{{}}}", items.join(","))),
        ]
    })
}

fn hexadecimal(separator: &'static str, bytes: Range<usize>) -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), bytes).prop_map(move |bytes| {
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.join(separator)
    })
}

fn address() -> impl Strategy<Value = String> {
    (any::<[u8; 4]>(), 0..=32_u8).prop_map(|([a, b, c, d], bits)| format!("{a}.{b}.{c}.{d}/{bits}"))
}

fn float() -> impl Strategy<Value = String> {
    // Every pattern of bits, NaN and the infinities included.
    any::<u64>().prop_map(|bits| format!("{:e}", f64::from_bits(bits)).replace("inf", "Infinity"))
}

fn float4() -> impl Strategy<Value = String> {
    any::<u32>().prop_map(|bits| format!("{:e}", f32::from_bits(bits)).replace("inf", "Infinity"))
}

fn coordinates() -> impl Strategy<Value = [i32; 4]> {
    any::<[i32; 4]>()
}

fn hstore() -> impl Strategy<Value = String> {
    let pair = (any_text(), prop::option::of(any_text())).prop_map(|(key, value)| {
        let value = value.map_or_else(|| "NULL".to_owned(), |value| in_array(&value));
        format!("{}=>{value}", in_array(&key))
    });
    prop::collection::vec(pair, 0..4).prop_map(|pairs| pairs.join(", "))
}

fn tsvector() -> impl Strategy<Value = String> {
    let lexeme = (any_text(), 1..16_000_u32, prop::sample::select(vec!["", "A", "B"])).prop_map(
        |(word, at, weight)| {
            let word = format!("x{word}").replace('\\', "\\\\").replace('\'', "''");
            format!("'{word}':{at}{weight}")
        },
    );
    prop::collection::vec(lexeme, 0..4).prop_map(|lexemes| lexemes.join(" "))
}

/// Ranges of numbers or days, and lists of them.
fn ranges(of: &'static str) -> impl Strategy<Value = String> {
    let bound = move |n: i64| match of {
        "num" => format!("{n}.50"),
        // Every month has 28 days.
        "date" => {
            let (year, day) = (3_000 + n.div_euclid(336), n.rem_euclid(336));
            format!("{year:04}-{:02}-{:02}", 1 + day / 28, 1 + day % 28)
        }
        _ => n.to_string(),
    };
    (-900_000..900_000_i64, 1..1_000_i64, 0..6_u8).prop_map(move |(from, length, kind)| match kind {
        0 => "empty".to_owned(),
        1 => format!("(,{})", bound(from)),
        2 => format!("[{},)", bound(from)),
        3 => format!("[{},{}]", bound(from), bound(from + length)),
        4 => format!("({},{}]", bound(from), bound(from + length)),
        _ => format!("[{},{})", bound(from), bound(from + length)),
    })
}

/// The types, with texts of their values. Each is a choice of its own, so that a failure shrinks to one type.
fn scalars() -> Vec<(&'static str, BoxedStrategy<String>)> {
    vec![
        ("bool", any::<bool>().prop_map(|b| b.to_string()).boxed()),
        ("int2", any::<i16>().prop_map(|n| n.to_string()).boxed()),
        ("int4", any::<i32>().prop_map(|n| n.to_string()).boxed()),
        ("int8", any::<i64>().prop_map(|n| n.to_string()).boxed()),
        ("float4", float4().boxed()),
        ("float8", float().boxed()),
        ("numeric", numeric().boxed()),
        ("numeric(60,20)", digits(40).boxed()),
        ("text", any_text().boxed()),
        ("varchar", any_text().boxed()),
        ("char(40)", any_text().boxed()),
        ("short", any_text().boxed()),
        ("citext", any_text().boxed()),
        ("name", any_text().prop_map(|text| text.chars().take(8).collect()).boxed()),
        ("\"char\"", (1..127_u8).prop_map(|b| char::from(b).to_string()).boxed()),
        ("bytea", hexadecimal("", 0..20).prop_map(|hex| format!("\\x{hex}")).boxed()),
        ("json", json().boxed()),
        ("jsonb", json().boxed()),
        ("date", prop_oneof![9 => day(), 1 => Just("infinity".to_owned())].boxed()),
        ("timestamp", moment().boxed()),
        ("timestamp(2)", moment().boxed()),
        ("timestamptz", zoned().boxed()),
        ("moment", zoned().boxed()),
        ("time", clock().boxed()),
        ("timetz", (clock(), zone()).prop_map(|(clock, zone)| format!("{clock}{zone}")).boxed()),
        ("interval", interval().boxed()),
        ("uuid", hexadecimal("", 16..17).boxed()),
        ("oid", any::<u32>().prop_map(|n| n.to_string()).boxed()),
        ("xid8", any::<u64>().prop_map(|n| n.to_string()).boxed()),
        ("oidvector", prop::collection::vec(any::<u32>(), 0..4).prop_map(|v| joined(&v, " ")).boxed()),
        ("int2vector", prop::collection::vec(any::<i16>(), 0..4).prop_map(|v| joined(&v, " ")).boxed()),
        ("money", number_between(-90_000_000_000_000_000, 90_000_000_000_000_000).boxed()),
        ("varbit", prop::collection::vec(0..2_u8, 0..20).prop_map(|v| joined(&v, "")).boxed()),
        ("inet", address().boxed()),
        ("macaddr", hexadecimal(":", 6..7).boxed()),
        ("macaddr8", hexadecimal(":", 8..9).boxed()),
        ("point", coordinates().prop_map(|[a, b, _, _]| format!("({a},{b}e-3)")).boxed()),
        ("box", coordinates().prop_map(|[a, b, c, d]| format!("(({a},{b}),({c},{d}))")).boxed()),
        ("path", coordinates().prop_map(|[a, b, c, d]| format!("[({a},{b}),({c},{d})]")).boxed()),
        ("pg_lsn", any::<[u32; 2]>().prop_map(|[a, b]| format!("{a:X}/{b:X}")).boxed()),
        ("tsvector", tsvector().boxed()),
        ("hstore", hstore().boxed()),
        (
            "mood",
            prop::sample::select(vec!["sad", "so \"happy\", really", "it's", "\\", "NULL"])
                .prop_map(str::to_owned)
                .boxed(),
        ),
        ("positive", number_between(1, 1_000).boxed()),
        ("int4range", ranges("int").boxed()),
        ("int8range", ranges("int").boxed()),
        ("numrange", ranges("num").boxed()),
        ("daterange", ranges("date").boxed()),
        ("nummultirange", ranges("num").prop_map(|range| format!("{{{range}}}")).boxed()),
        ("datemultirange", ranges("date").prop_map(|range| format!("{{{range}}}")).boxed()),
        ("colon", any::<i32>().prop_map(|n| n.to_string()).boxed()),
    ]
}

fn joined<T: ToString>(parts: &[T], separator: &str) -> String {
    parts.iter().map(T::to_string).collect::<Vec<_>>().join(separator)
}

fn values() -> impl Strategy<Value = Made> {
    let mut choices = Vec::new();
    for (ty, texts) in scalars() {
        choices.push((3, texts.clone().prop_map(move |text| Made::Plain { ty, text }).boxed()));
        let array =
            (-3..4_i32, prop::option::of(1..3_usize), prop::collection::vec(prop::option::of(texts), 0..4))
                .prop_map(move |(lower, rows, elements)| Made::Array { ty, lower, rows, elements });
        choices.push((2, array.boxed()));
    }
    let leaf = prop::strategy::Union::new_weighted(choices);
    leaf.prop_recursive(3, 12, 4, |inner| {
        let name = any_text().prop_map(|name| name.chars().take(8).collect::<String>());
        let fields = prop::collection::vec((name, prop::option::weighted(0.9, inner.clone())), 0..5);
        prop_oneof![
            6 => inner,
            2 => fields.clone().prop_map(Made::Composite),
            1 => (fields, 1..3_usize).prop_map(|(fields, copies)| Made::Copies(fields, copies)),
        ]
    })
}

const CASES: usize = 16;
const MAX_SHRINKS: usize = 200;

/// What to say before a statement with these values, and the values as expressions.
fn written(made: &[Made]) -> (String, Vec<String>) {
    let mut statements = Vec::new();
    let expressions = made.iter().map(|value| {
        let (ty, text) = value.write(&mut statements);
        format!("{}::{ty}", literal(&text))
    });
    let expressions = expressions.collect();
    statements.push(String::new());
    (statements.join(";\n"), expressions)
}

/// Makes one value simpler for as long as it still looks otherwise than the server's.
async fn simplest(db: &Db, mut tree: impl ValueTree<Value = Made>, mut found: String) -> String {
    let mut simpler = tree.simplify();
    for _ in 0..MAX_SHRINKS {
        if !simpler {
            break;
        }
        let (prelude, expressions) = written(&[tree.current()]);
        simpler = match difference(db, &prelude, &expressions).await {
            Some((_, message)) => {
                found = format!("{prelude}\n{message}");
                tree.simplify()
            }
            None => tree.complicate(),
        };
    }
    found
}

#[tokio::test]
async fn random_values_look_like_the_servers_to_json() {
    let db = typed().await;
    let (values, mut runner) = (values(), TestRunner::default());
    for _ in 0..CASES {
        let mut trees: Vec<_> = (0..4 * AT_A_TIME).map(|_| values.new_tree(&mut runner).unwrap()).collect();
        let made: Vec<Made> = trees.iter().map(ValueTree::current).collect();
        let (prelude, expressions) = written(&made);
        if let Some((at, message)) = difference(&db, &prelude, &expressions).await {
            panic!("{}", simplest(&db, trees.swap_remove(at), message).await);
        }
    }
    db.finish().await;
}
