//! Values that are hard to write.

use super::{compare, typed};

const EXPRESSIONS: &[&str] = &[
    // Numbers.
    "true",
    "false",
    "-2147483648",
    "9223372036854775807",
    "(-9223372036854775808)::int8",
    "1.5::float4",
    "16777217::float4",
    "1e-45::float4",
    "3.4028235e38::float4",
    "1e300::float8",
    "5e-324::float8",
    "1.7976931348623157e308::float8",
    "1e15::float8",
    "1e16::float8",
    "0.1::float8 + 0.2",
    "'-0'::float8",
    "1e-7::float8",
    "'NaN'::float8",
    "'Infinity'::float8",
    "'-Infinity'::float4",
    "12345678901234567890.12345678901234567890",
    "0.00::numeric(10,2)",
    "'NaN'::numeric",
    "'Infinity'::numeric",
    "'-Infinity'::numeric",
    "1e-20::numeric",
    "repeat('9', 1000)::numeric",
    "('-' || repeat('1', 1000) || '.' || repeat('7', 1000))::numeric",
    "('0.' || repeat('0', 999) || '1')::numeric",
    "1e1000::numeric",
    "ARRAY['NaN', 'Infinity', repeat('8', 1000)]::numeric[]",
    // Texts.
    "'x'::char(5)",
    "''::char(3)",
    "'vär'::varchar",
    "'c'::\"char\"",
    "''::\"char\"",
    "'\"'::\"char\"",
    "ARRAY['a', '\"', '\\', ',', '{', ' ', '']::\"char\"[]",
    "'n'::name",
    r#"E'quote " backslash \\ slash / \b\f\n\r\t \x01\x1f\x7f'::text"#,
    r#"E'\\u0041 \\x41 \\" \\\\ '' {} () [] <> & \u0080\u2028\u2029\ufeff'::text"#,
    "'😀 \u{2028}'::text",
    "''::text",
    "repeat('\"\\', 10000)",
    "(SELECT string_agg(chr(n), '') FROM generate_series(1, 300) n)",
    "ARRAY(SELECT chr(n) FROM generate_series(1, 300) n)",
    r"'\x00ff41'::bytea",
    r"''::bytea",
    r"ARRAY['\x00'::bytea, '\xff5c22', NULL]",
    // JSON.
    "'{\"a\": [1, 2.50, 1e400], \"b\": \"x y\"}'::json",
    "E'{\n \"a\" :\t1,\r\n \"b c\" : [ ]\n}'::json",
    r#"'{"a": "\u0000 \ud83d\ude00 \" \\", "a": 2}'::json"#,
    "' 1 '::json",
    "'{\"b\": 1.10, \"a\": [null, true]}'::jsonb",
    "('{\"n\": ' || repeat('9', 1000) || '.' || repeat('1', 1000) || '}')::jsonb",
    "'[1E400, -1e-400, 1.000]'::jsonb",
    r#"'{"k \" \\ \n": "v \u00e9 \t"}'::jsonb"#,
    "'null'::jsonb",
    "'\"str\"'::json",
    r#"ARRAY['{"a": "x,y"}', '[1, 2]', 'null', NULL]::json[]"#,
    "ARRAY['{\"a\": 1}', '\"x\\\"y\"']::jsonb[]",
    // Moments.
    "'2024-02-29'::date",
    "'0044-03-15 BC'::date",
    "'4714-11-24 BC'::date",
    "'5874897-12-31'::date",
    "'infinity'::date",
    "'-infinity'::date",
    "'12024-01-01'::date",
    "'2024-02-29 12:34:56.789'::timestamp",
    "'2024-02-29 24:00:00'::timestamp",
    "'0044-03-15 01:02:03 BC'::timestamp",
    "'294276-12-31 23:59:59.999999'::timestamp",
    "'infinity'::timestamp",
    "'-infinity'::timestamp",
    "'2024-02-29 12:34:56+00'::timestamptz",
    "'2024-02-29 12:34:56.000001-05:30'::timestamptz",
    "'2024-02-29 12:34:56+15:59:59'::timestamptz",
    "'infinity'::timestamptz",
    "'-infinity'::timestamptz",
    "'0044-03-15 BC 01:02:03+00'::timestamptz",
    "'4713-01-02 BC 00:00:00+00'::timestamptz",
    "'1890-01-01 00:00:00+00'::timestamptz",
    "'12:34:56.7'::time",
    "'24:00:00'::time",
    "'12:34:56+05:30'::timetz",
    "'24:00:00-15:59:59'::timetz",
    "'1 year 2 mons -3 days 04:05:06.7'::interval",
    "'-178000000 years'::interval",
    "'0'::interval",
    "'-1 mon +1 day -00:00:00.000001'::interval",
    "ARRAY['2024-01-02 03:04:05+00', 'infinity', '0044-03-15 BC 01:02:03+00', NULL]::timestamptz[]",
    "ARRAY['0044-03-15 BC', 'infinity']::date[]",
    "ARRAY['1 day', '-00:00:01']::interval[]",
    // Arrays.
    "'{1,NULL}'::int8[]",
    "'{}'::int4[]",
    "'[2:3][0:1]={{1,2},{3,4}}'::int4[]",
    "'[-5:-4]={1,NULL}'::int4[]",
    "'[1:1][-2:-1][3:4]={{{1,NULL},{NULL,4}}}'::int4[]",
    "'{{{1},{2}},{{3},{4}}}'::int2[]",
    "ARRAY[ARRAY[NULL, 'a'], ARRAY['', 'NULL']]::text[]",
    r#"ARRAY['a', NULL, 'NULL', 'null', '', 'a,b', 'q"q', E'b\\s', '{}', E'nl\n', ' sp ', E'\t', '[1:1]={x}', '=']"#,
    "ARRAY[true, false, NULL]",
    "ARRAY['NaN'::float8, 1.5]",
    "ARRAY['(1,1),(0,0)'::box, '(3,3),(2,2)', NULL]",
    "'{{(1,1),(0,0);(3,3),(2,2)};{(5,5),(4,4);NULL}}'::box[]",
    "ARRAY['(1,1)'::point, '(2,2)']",
    "ARRAY[1::oid, 2]",
    "ARRAY['1 2'::int2vector, '']",
    "''::int2vector",
    "ARRAY['1', '2']::colon[]",
    "'{{1:2}:{3:NULL}}'::colon[]",
    "ARRAY['1', '2']::colons[]",
    "ARRAY[]::colon[]",
    // Ranges, whose bounds are never JSON.
    "int4range(1, 5)",
    "'empty'::int4range",
    "'(,)'::numrange",
    "tstzrange('2024-01-01', NULL)",
    "daterange('0044-03-15 BC', 'infinity')",
    "'{[1,3), [5,7)}'::int4multirange",
    "'{}'::nummultirange",
    "ARRAY[int4range(1,2), int4range(3,4), 'empty', NULL]",
    "ARRAY['{[1,3), [5,7)}', '{}']::int4multirange[]",
    "ARRAY[tsrange('2024-01-01 01:02:03', '2024-01-02 01:02:03')]",
    "span(1.5, 2.5)",
    // Enums and domains.
    "'it''s'::mood",
    r"'\'::mood",
    r#"ARRAY['sad', 'so "happy", really', '\', 'NULL', NULL]::mood[]"#,
    "5::positive",
    "ARRAY[5, NULL]::positive[]",
    "'s'::short",
    "'{1,2}'::pair_of_ints",
    "ARRAY['{1,2}'::pair_of_ints, '{3,NULL}', NULL]::pair_of_ints[]",
    "'2024-02-29 12:34:56+00'::later",
    "ARRAY['2024-02-29 12:34:56+00']::later[]",
    "ROW(1, 2, 'x')::point3::placed",
    "ARRAY[ROW(1, 2, 'x')::point3, NULL]::placed[]",
    // Composites.
    "ROW(1.5, 2.50, 'a \"b\", (c) \\ d')::point3",
    "ROW(NULL, NULL, '')::point3",
    "ROW('NaN', 'Infinity', NULL)::point3",
    "NULL::point3",
    "ROW()::empty",
    "ARRAY[ROW()::empty, NULL]",
    "ARRAY[ROW(1, 2, 'x'), NULL, ROW(3, NULL, 'y,z'), ROW(NULL, NULL, NULL)]::point3[]",
    "ARRAY[ARRAY[ROW(1, 2, 'x'), NULL], ARRAY[ROW(3, NULL, '}'), ROW(NULL, NULL, '\"')]]::point3[]",
    "ROW(ROW(1, 2, 'q\"'), '{1,2}', '{sad}', 3, true, '{\"json\": [1, 2]}')::nested",
    "ROW(NULL, '[0:0]={NULL}', '{\"so \\\"happy\\\", really\"}', NULL, false, '\"json\"')::nested",
    "ARRAY[ROW(ROW(1, 2, '\\'), '{}', NULL, 3, NULL, '{\"json\": \"\\\"\"}')]::nested[]",
    "ROW('[2024-01-01,)', '{[1,2),[4,5)}', ARRAY[ROW(1, 2, 'a,b')::point3, NULL], '{1,2}', '{\"json\": \"x\\\"\"}', ROW(),
        '\\x5c', '2024-02-29 12:34:56+00', E'\\n')::full_row",
    "ROW(1, 'n', '2024-01-02 03:04:05+00')::shop",
    "(SELECT s FROM (VALUES (1, 'n', now())) AS v(a, b, c), LATERAL (SELECT ROW(a, b, c)::shop) AS r(s))",
    "ROW(NULL, NULL, NULL)::shop",
    // The rest.
    "'<a b=\"c\">\n x &amp; y</a>'::xml",
    "'12.34'::money",
    "'-92233720368547758.08'::money",
    "B'1010'",
    "''::varbit",
    "'10.0.0.1/8'::inet",
    "'::ffff:1.2.3.4/128'::inet",
    "to_tsvector('simple', 'a quick ''fox''')",
    "$$'it''s':1A,2B 'b\\\\':3$$::tsvector",
    "'a & !(b | c:*AB) <-> d'::tsquery",
    "acldefault('r', 10)",
    "makeaclitem(10, 10, 'SELECT', true)",
    "'pg_class'::regclass",
    "'point3'::regtype",
    "'pg_catalog.pg_typeof(\"any\")'::regprocedure",
    "ARRAY['pg_class', NULL]::regclass[]",
    "pg_current_snapshot()",
    // Extensions.
    "''::hstore",
    r#"hstore(ARRAY['a', 'b "q" \', ''], ARRAY['1', NULL, 'NULL'])"#,
    "ARRAY['a=>1, b=>NULL'::hstore, NULL, '']",
    "hstore(E'l\\n', E'\\t, \"x\"=>')",
    "'Case'::citext",
    "ARRAY['a,b'::citext, NULL]",
    "'a.b.c'::ltree",
    "ARRAY['a.b'::ltree]",
    "'(1, 2), (3, 4)'::cube",
    "ARRAY['(1, 2)'::cube]",
    "'978-0-393-04002-9'::isbn13",
    "'1 & (2 | !3)'::query_int",
    "'1.5(+-)0.25'::seg",
];

fn expressions() -> Vec<String> {
    EXPRESSIONS.iter().map(|&expression| expression.to_owned()).collect()
}

#[tokio::test]
async fn hard_values_look_like_the_servers_to_json() {
    let db = typed().await;
    assert_eq!(compare(&db, "", &expressions()).await, EXPRESSIONS.len());
    db.finish().await;
}

#[tokio::test]
async fn values_look_like_to_json_in_other_time_zones() {
    let db = typed().await;
    // The second and third were off by odd seconds in former times.
    for zone in ["Asia/Kolkata", "Europe/Amsterdam", "Africa/Monrovia", "-03:30", "+15:59"] {
        compare(&db, &format!("SET TIME ZONE '{zone}';"), &expressions()).await;
    }
    db.finish().await;
}

#[tokio::test]
async fn values_look_like_to_json_with_other_settings() {
    let db = typed().await;
    for settings in
        ["SET xmlbinary = 'hex'; SET xmloption = 'document';", "SET lc_monetary = 'C'; SET search_path = '';"]
    {
        let simple =
            ["'<a>x</a>'::xml", "1::money", "'pg_class'::regclass", "ARRAY['public.point3']::regtype[]"];
        compare(&db, settings, &simple.map(str::to_owned)).await;
    }
    db.finish().await;
}
