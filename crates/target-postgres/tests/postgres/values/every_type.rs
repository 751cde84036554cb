//! Every type that the server has, taken from its own list of types.

use std::collections::HashMap;

use super::super::harness::Db;
use super::{compare, literal, typed};

/// Texts of values, by the name of their type.
const SAMPLES: &[(&str, &[&str])] = &[
    ("aclitem", &["=r/postgres", "postgres=arwdDxt*/postgres"]),
    ("bit", &["1", "0"]),
    ("bool", &["true", "false"]),
    ("box", &["(1,2),(-3,4.5)", "(0,0),(1e300,-1e-300)"]),
    ("bpchar", &["x  ", "a \"b\""]),
    ("bytea", &["\\x00ff", "a\\\\b"]),
    ("char", &["c", "\"", ""]),
    ("cid", &["0", "4294967295"]),
    ("cidr", &["10.0.0.0/8", "2001:db8::/32"]),
    ("circle", &["<(1,2),3>"]),
    ("citext", &["Case \"x\"", ""]),
    ("colon", &["1", "-7"]),
    ("cube", &["(1, 2), (3, 4)", "(0.5)"]),
    ("date", &["2024-02-29", "0044-03-15 BC", "infinity"]),
    ("datemultirange", &["{[2024-01-01,2024-01-02),[2025-01-01,)}", "{}"]),
    ("daterange", &["[2024-01-01,2024-02-01)", "empty", "(,)"]),
    ("ean13", &["978-0-393-04002-9"]),
    ("earth", &["(6378168, 0, 0)"]),
    ("float4", &["1.5", "NaN", "-Infinity", "1e-45"]),
    ("float8", &["0.1", "-0", "NaN", "Infinity", "5e-324"]),
    ("hstore", &["", "a=>1, \"b \\\"q\\\"\"=>NULL"]),
    ("inet", &["10.0.0.1/8", "::1", "1.2.3.4"]),
    ("int2", &["-32768", "7"]),
    ("int2vector", &["1 2 3", ""]),
    ("int4", &["-2147483648", "7"]),
    ("int4multirange", &["{[1,3),[5,7)}", "{}"]),
    ("int4range", &["[1,5)", "empty", "(,)"]),
    ("int8", &["-9223372036854775808", "9223372036854775807"]),
    ("int8multirange", &["{[1,3),[5,7)}"]),
    ("int8range", &["[1,5)", "[9000000000,)"]),
    ("interval", &["1 year 2 mons -3 days 04:05:06.7", "0", "-00:00:01"]),
    ("isbn", &["978-0-393-04002-9"]),
    ("isbn13", &["978-0-393-04002-9"]),
    ("ismn", &["979-0-060-11561-5"]),
    ("ismn13", &["979-0-060-11561-5"]),
    ("issn", &["977-1436-452-00-8"]),
    ("issn13", &["977-1436-452-00-8"]),
    ("json", &["{\"a\": [1, 2.50]}", " null ", "\"x\\\"y\""]),
    ("jsonb", &["{\"a\": [1, 2.50]}", "null", "\"x\\\"y\""]),
    ("jsonpath", &["$.a[*] ? (@ > 1)", "strict $.\"x y\""]),
    ("line", &["{1,2,3}"]),
    ("lquery", &["a.*{1,2}.b|c"]),
    ("lseg", &["[(1,2),(3,4)]"]),
    ("ltree", &["a.b.c", ""]),
    ("ltxtquery", &["a & !b"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("money", &["-12.34", "92233720368547758.07"]),
    ("name", &["n", "a \"b\", c"]),
    ("numeric", &["12345678901234567890.0100", "NaN", "-Infinity", "0.00"]),
    ("nummultirange", &["{[1.50,3),(5,7]}"]),
    ("numrange", &["(1.50,2.0]", "(,)"]),
    ("oid", &["0", "4294967295"]),
    ("oidvector", &["1 2 4294967295", ""]),
    ("path", &["[(1,2),(3,4)]", "((1,2),(3,4))"]),
    ("pg_lsn", &["16/B374D848"]),
    ("pg_snapshot", &["10:20:10,14,15"]),
    ("point", &["(1,2)", "(NaN,-Infinity)"]),
    ("polygon", &["((1,2),(3,4),(5,6))"]),
    ("query_int", &["1 & (2 | !3)"]),
    ("refcursor", &["a \"cursor\""]),
    ("regclass", &["pg_class", "4294967295", "shop"]),
    ("regcollation", &["\"C\""]),
    ("regconfig", &["simple"]),
    ("regdictionary", &["simple"]),
    ("regnamespace", &["pg_catalog"]),
    ("regoper", &["pg_catalog.||/", "0"]),
    ("regoperator", &["+(int4,int4)"]),
    ("regproc", &["pg_typeof"]),
    ("regprocedure", &["pg_typeof(\"any\")"]),
    ("regrole", &["postgres"]),
    ("regtype", &["timestamptz", "int4[]"]),
    ("seg", &["1.5(+-)0.25", "1 .. 2"]),
    ("span", &["[1.5,2.5)", "empty"]),
    ("span_multirange", &["{[1.5,2.5)}"]),
    ("text", &["x", "", "a \"b\" \\ {c}, (d)"]),
    ("tid", &["(0,1)"]),
    ("time", &["12:34:56.7", "24:00:00"]),
    ("timestamp", &["2024-02-29 12:34:56.789", "0044-03-15 01:02:03 BC", "infinity"]),
    ("timestamptz", &["2024-02-29 12:34:56+00", "0044-03-15 01:02:03+00 BC", "-infinity"]),
    ("timetz", &["12:34:56+05:30", "24:00:00-15:59:59"]),
    ("tsmultirange", &["{[\"2024-01-01 01:02:03\",)}"]),
    ("tsquery", &["'a' & !( 'b' | 'c':*AB )"]),
    ("tsrange", &["[\"2024-01-01 01:02:03\",infinity)"]),
    ("tstzmultirange", &["{[\"2024-01-01 01:02:03+00\",)}"]),
    ("tstzrange", &["[\"2024-01-01 01:02:03+00\",infinity)"]),
    ("tsvector", &["'a':1A,2B 'it''s':3", ""]),
    ("txid_snapshot", &["10:20:10,14,15"]),
    ("upc", &["220-356-483-481"]),
    ("uuid", &["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"]),
    ("varbit", &["1010", ""]),
    ("varchar", &["x", "vär \"q\""]),
    ("xid", &["0", "4294967295"]),
    ("xid8", &["18446744073709551615"]),
    ("xml", &["<a b=\"c\">x</a>"]),
    ("yes_or_no", &["YES", "NO"]),
    ("cardinal_number", &["0", "7"]),
    ("positive", &["1"]),
    ("pair_of_ints", &["{1,NULL}"]),
    ("later", &["2024-02-29 12:34:56+00"]),
];

/// Values that no text makes.
const MADE: &[(&str, &str)] = &[
    ("pg_node_tree", "(SELECT adbin FROM pg_attrdef WHERE adrelid = 'defaults'::regclass)"),
    ("pg_ndistinct", "(SELECT stxdndistinct FROM pg_statistic_ext_data LIMIT 1)"),
    ("pg_dependencies", "(SELECT stxddependencies FROM pg_statistic_ext_data LIMIT 1)"),
    ("pg_mcv_list", "(SELECT stxdmcv FROM pg_statistic_ext_data LIMIT 1)"),
];

const MAKING: &str = "CREATE TABLE defaults (a int DEFAULT 1 + 2, b int);
    INSERT INTO defaults SELECT n % 3, n % 3 FROM generate_series(1, 100) n;
    CREATE STATISTICS s (ndistinct, dependencies, mcv) ON a, b FROM defaults; ANALYZE defaults";

/// Types whose values live inside of indexes alone: no text makes one, and no function returns one. An array of
/// them is always empty or full of nulls.
const INSIDE_INDEXES: &[&str] = &[
    "gbtreekey16",
    "gbtreekey2",
    "gbtreekey32",
    "gbtreekey4",
    "gbtreekey8",
    "gbtreekey_var",
    "ghstore",
    "gtrgm",
    "gtsvector",
    "intbig_gkey",
    "ltree_gist",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
];

/// The pseudo-types (`p`) are types of functions' arguments; what can become a column of them is in
/// `differences.rs`.
const LIST: &str = "
    SELECT t.oid, t.typname::text, pg_catalog.format('%I.%I', n.nspname, t.typname), t.typtype::text, t.typbasetype,
        t.typrelid, coalesce(e.oid, 0::oid)
    FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
        LEFT JOIN pg_catalog.pg_type e ON e.typarray = t.oid
    WHERE t.typtype <> 'p' AND coalesce(e.typtype, 'b') <> 'p' ORDER BY t.oid";

const COLUMNS: &str = "
    SELECT attrelid, atttypid FROM pg_catalog.pg_attribute
    WHERE attnum > 0 AND NOT attisdropped ORDER BY attrelid, attnum";

struct Listed {
    name: String,
    full_name: String,
    kind: String,
    base: u32,
    relation: u32,
    element: u32,
}

struct Catalog {
    types: HashMap<u32, Listed>,
    columns: HashMap<u32, Vec<u32>>,
}

impl Catalog {
    async fn read(db: &Db) -> Self {
        let types = db.admin.query(LIST, &[]).await.unwrap().into_iter().map(|row| {
            let listed = Listed {
                name: row.get(1),
                full_name: row.get(2),
                kind: row.get(3),
                base: row.get(4),
                relation: row.get(5),
                element: row.get(6),
            };
            (row.get(0), listed)
        });
        let types = types.collect();
        let mut columns: HashMap<u32, Vec<u32>> = HashMap::new();
        for row in db.admin.query(COLUMNS, &[]).await.unwrap() {
            columns.entry(row.get(0)).or_default().push(row.get(1));
        }
        Self { types, columns }
    }

    /// Expressions for values of a type, none of them null.
    fn values(&self, oid: u32) -> Vec<String> {
        // A column of a pseudo-type.
        let Some(ty) = self.types.get(&oid) else { return Vec::new() };
        let name = &ty.full_name;
        if let Some((_, texts)) = SAMPLES.iter().find(|(known, _)| *known == ty.name) {
            return texts.iter().map(|text| format!("{}::{name}", literal(text))).collect();
        }
        if let Some((_, expression)) = MADE.iter().find(|(known, _)| *known == ty.name) {
            return vec![(*expression).to_owned()];
        }
        match ty.kind.as_str() {
            "d" => self.values(ty.base).iter().map(|value| format!("({value})::{name}")).collect(),
            "c" => self.records(ty),
            "e" => vec![format!("enum_first(NULL::{name})"), format!("enum_last(NULL::{name})")],
            _ if ty.element != 0 => self.arrays(ty),
            _ if INSIDE_INDEXES.contains(&ty.name.as_str()) => Vec::new(),
            _ => panic!("this test has no value of the type {name}: give it one"),
        }
    }

    fn records(&self, ty: &Listed) -> Vec<String> {
        let columns = self.columns.get(&ty.relation).map_or(&[][..], Vec::as_slice);
        let values: Vec<Vec<String>> = columns.iter().map(|column| self.values(*column)).collect();
        let with = |pick: fn(&[String]) -> Option<&String>| {
            let fields: Vec<&str> = values.iter().map(|v| pick(v).map_or("NULL", String::as_str)).collect();
            format!("ROW({})::{}", fields.join(", "), ty.full_name)
        };
        vec![with(<[String]>::first), with(<[String]>::last), with(|_| None)]
    }

    fn arrays(&self, ty: &Listed) -> Vec<String> {
        let name = &ty.full_name;
        let elements = self.values(ty.element);
        let (Some(first), Some(last)) = (elements.first(), elements.last()) else {
            return vec![format!("'{{}}'::{name}"), format!("'{{NULL}}'::{name}")];
        };
        let flat = format!("ARRAY[{}, NULL]::{name}", elements.join(", "));
        let square = format!("ARRAY[ARRAY[{first}, NULL], ARRAY[{last}, {first}]]::{name}");
        let mut values = vec![format!("'{{}}'::{name}"), flat, square.clone()];
        if self.is_read(ty.element) {
            values.push(format!("('[0:1][-1:0]=' || ({square})::text)::{name}"));
        }
        values
    }

    /// Whether the server makes values of a type from their texts.
    fn is_read(&self, oid: u32) -> bool {
        let Some(ty) = self.types.get(&oid) else { return true };
        let columns = self.columns.get(&ty.relation).map_or(&[][..], Vec::as_slice);
        let made = MADE.iter().any(|(name, _)| *name == ty.name);
        !made && [ty.base, ty.element].iter().chain(columns).all(|inner| self.is_read(*inner))
    }
}

#[tokio::test]
async fn every_type_looks_like_the_servers_to_json() {
    let db = typed().await;
    db.admin.batch_execute(MAKING).await.unwrap();
    let catalog = Catalog::read(&db).await;
    assert!(catalog.types.len() > 600, "{}", catalog.types.len());
    let mut expressions = Vec::new();
    let mut with_values = 0;
    for (oid, ty) in &catalog.types {
        let values = catalog.values(*oid);
        with_values += usize::from(!values.is_empty());
        expressions.extend(values);
        expressions.push(format!("NULL::{}", ty.full_name));
    }
    let known = INSIDE_INDEXES.iter().filter(|name| catalog.types.values().any(|ty| ty.name == **name));
    assert_eq!(with_values, catalog.types.len() - known.count());
    assert_eq!(compare(&db, "", &expressions).await, expressions.len());
    db.finish().await;
}

#[tokio::test]
async fn types_without_values_have_none() {
    let db = typed().await;
    for name in INSIDE_INDEXES {
        let sql = format!("SELECT 'x'::{name}");
        let error = db.admin.simple_query(&sql).await.expect_err(name);
        let code = error.code().unwrap().code();
        // feature_not_supported; internal_error by functions of extensions; undefined_object where an older server
        // does not have the type.
        assert!(["0A000", "XX000", "42704"].contains(&code), "{sql}: {code}");
    }
    db.finish().await;
}
