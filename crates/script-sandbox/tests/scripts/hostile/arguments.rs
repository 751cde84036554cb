//! What scripts give to `db`, and what they get from it, when either was made to do harm.

use domain::script::{CallAnswer, DatabaseCall, ScriptStatement};

use super::{asked, query, survive};
use crate::harness::{in_turn, rows, script};

#[tokio::test]
async fn getters_of_a_statement_are_asked_once_each() {
    let seen = survive(script(
        "let n = 0; const given = { get text() { n += 1; return 'SELECT ' + n }, get values() { n += 1; return [n] } };
         await db.query(given); return n",
    ))
    .await;
    assert_eq!(seen.value(), "2");
    assert_eq!(seen.calls, [asked("SELECT 1", &[Some("2")], false)]);
}

#[tokio::test]
async fn a_getter_that_makes_a_call_makes_one_more_call_in_its_turn() {
    let seen = survive(script(
        "const values = [{ get x() { db.query('inner'); return 1 } }, 2];
         await Promise.all([db.query('outer', values), db.query('after')]); return 'done'",
    ))
    .await;
    assert_eq!(seen.value(), r#""done""#);
    let outer = asked("outer", &[Some(r#"{"x":1}"#), Some("2")], false);
    assert_eq!(seen.calls, [query("inner"), outer, query("after")]);
}

#[tokio::test]
async fn a_parameter_that_tells_its_own_json_is_that_json() {
    let seen = survive(script(
        "await db.query('a', [{ toJSON() { return \"'; DROP TABLE t --\" } }, { toJSON: () => undefined }])",
    ))
    .await;
    assert_eq!(seen.value(), "undefined");
    assert_eq!(seen.calls, [asked("a", &[Some(r#""'; DROP TABLE t --""#), Some("null")], false)]);
}

#[tokio::test]
async fn proxies_as_parameters_are_what_they_say_at_the_moment() {
    let seen = survive(script(
        "let asked = 0; const list = new Proxy(['a'], { get(t, k) { if (k === 'length') { asked += 1; return asked > 1 ? 1e9 : 1 } return t[k] } });
         const revoked = Proxy.revocable([], {}); revoked.revoke();
         const errors = [];
         for (const bad of [revoked.proxy, new Proxy([], { get() { throw new Error('trap') } })]) {
           try { await db.query('bad', bad) } catch (e) { errors.push(e.message) }
         }
         await db.query('good', list); return errors",
    ))
    .await;
    assert_eq!(seen.value(), r#"["Cannot perform 'IsArray' on a proxy that has been revoked","trap"]"#);
    assert_eq!(seen.calls, [asked("good", &[Some("a")], false)]);
}

#[tokio::test]
async fn names_of_prototypes_in_parameters_stay_data() {
    let seen = survive(script(
        "await db.query('a', [JSON.parse('{\"__proto__\":{\"x\":1},\"constructor\":{\"prototype\":2}}'), ['__proto__', 'constructor']]);
         return [({}).x, [].x]",
    ))
    .await;
    assert_eq!(seen.value(), "[null,null]");
    let parameters = [
        Some(r#"{"__proto__":{"x":1},"constructor":{"prototype":2}}"#),
        Some(r#"{"__proto__","constructor"}"#),
    ];
    assert_eq!(seen.calls, [asked("a", &parameters, false)]);
}

#[tokio::test]
async fn names_of_prototypes_in_columns_and_rows_stay_data() {
    let columns = [
        ("__proto__", "jsonb"),
        ("constructor", "text"),
        ("toJSON", "text"),
        ("then", "text"),
        ("hasOwnProperty", "text"),
    ];
    let row = r#"[{"__proto__":{"polluted":1}},"c","j","t","h"]"#;
    let seen = survive(
        script(
            "const { rows: [row] } = await db.query('x');
             return [Object.getPrototypeOf(row) === Object.prototype, Object.keys(row), row.polluted, ({}).polluted, row.then, [JSON.stringify(row)]]",
        )
        .answers(in_turn(vec![Ok(rows(&columns, &[row]))])),
    )
    .await;
    assert_eq!(
        seen.value(),
        r#"[true,["__proto__","constructor","toJSON","then","hasOwnProperty"],null,null,"t",["{\"__proto__\":{\"__proto__\":{\"polluted\":1}},\"constructor\":\"c\",\"toJSON\":\"j\",\"then\":\"t\",\"hasOwnProperty\":\"h\"}"]]"#
    );
    assert_eq!(seen.calls, [query("x")]);
}

#[tokio::test]
async fn columns_that_would_be_code_are_names() {
    let columns = [("\"}];leaked=1;//", "text"), ("\u{2028}\n\u{0}", "text"), ("</script>", "text")];
    let seen = survive(
        script("const { rows, fields } = await db.query('x'); return [rows[0], fields.map((f) => f.name)]")
            .answers(in_turn(vec![Ok(rows(&columns, &[r#"["1","2","3"]"#]))])),
    )
    .await;
    let names = "[\"\\\"}];leaked=1;//\",\"\u{2028}\\n\\u0000\",\"</script>\"]";
    let row = "{\"\\\"}];leaked=1;//\":\"1\",\"\u{2028}\\n\\u0000\":\"2\",\"</script>\":\"3\"}";
    assert_eq!(seen.value(), format!("[{row},{names}]"));
}

#[tokio::test]
async fn halves_of_surrogate_pairs_go_nowhere() {
    let seen = survive(script(
        "const errors = []; for (const f of [() => db.query('a\\ud800'), () => db.query('a', ['\\udc00']), () => db.query('a', [['\\ud800']]),
           () => db.query({ text: 'a', values: ['\\ud800x'] }), () => db.transaction((tx) => tx.query('\\ud800'))]) {
           try { await f() } catch (e) { errors.push(e.message) }
         } return errors",
    ))
    .await;
    assert_eq!(
        seen.value(),
        r#"["the statement holds half of a surrogate pair","parameter $1 holds half of a surrogate pair","parameter $1 holds half of a surrogate pair","parameter $1 holds half of a surrogate pair","the statement holds half of a surrogate pair"]"#
    );
    assert_eq!(seen.calls, [DatabaseCall::Begin, DatabaseCall::Rollback]);
}

#[tokio::test]
async fn nuls_arrive_as_they_are_for_the_session_to_judge() {
    let seen = survive(script("await db.query('SELECT \\0', ['a\\0b']); return 1")).await;
    assert_eq!(seen.calls, [asked("SELECT \0", &[Some("a\0b")], false)]);
}

#[tokio::test]
async fn values_that_no_database_holds_are_refused() {
    let seen = survive(script(
        "const errors = []; for (const bad of [() => 1, Symbol('s'), new Date(NaN), [Symbol()], [[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]], 'no array', new Array(65536)]) {
           try { await db.query('a', bad === 'no array' || bad?.length === 65536 ? bad : [bad]) } catch (e) { errors.push(`${e.name}: ${e.message}`) }
         } return errors",
    ))
    .await;
    assert_eq!(
        seen.value(),
        r#"["TypeError: parameter $1 is a function, which no database type can hold","TypeError: parameter $1 is a symbol, which no database type can hold","TypeError: parameter $1 is an invalid Date","TypeError: parameter $1 is a symbol, which no database type can hold","TypeError: parameter $1 is an array nested too deeply","TypeError: parameters are given as an array","RangeError: a statement takes no more than 65535 parameters"]"#
    );
    assert_eq!(seen.calls, []);
}

#[tokio::test]
async fn cyclic_and_sparse_and_huge_arrays_are_refused_or_filled() {
    let seen = survive(script(
        "const errors = []; const cyclic = []; cyclic.push(cyclic); const object = {}; object.o = object;
         for (const bad of [cyclic, object, new Array(2e6), 'x'.repeat(17 * 2 ** 20)]) {
           try { await db.query('a', [bad]) } catch (e) { errors.push(e.message.split('\\n')[0]) }
         }
         const sparse = []; sparse[3] = 'x'; const holes = [,,1];
         await db.query('b', [sparse, ...holes]); return errors",
    ))
    .await;
    assert_eq!(
        seen.value(),
        r#"["parameter $1 is an array nested too deeply","Converting circular structure to JSON","parameter $1 is an array of more than 1000000 elements","a call is too large"]"#
    );
    assert_eq!(seen.calls, [asked("b", &[Some(r#"{NULL,NULL,NULL,"x"}"#), None, None, Some("1")], false)]);
}

#[tokio::test]
async fn a_statement_beyond_its_length_is_refused_and_the_next_call_goes_on() {
    let seen = survive(script(
        "const long = 'x'.repeat(9 * 2 ** 20); const errors = [];
         const all = await Promise.allSettled([db.query('a'), db.query(long), db.query('b')]);
         return all.map((one) => one.reason?.message ?? one.status)",
    ))
    .await;
    assert_eq!(seen.value(), r#"["fulfilled","a statement is no longer than 8 MiB","fulfilled"]"#);
    assert_eq!(seen.calls, [query("a"), query("b")]);
    assert_eq!(seen.end.calls, 2);
}

#[tokio::test]
async fn statements_that_are_no_text_are_refused() {
    let seen = survive(script(
        "const errors = []; for (const bad of [undefined, null, 1, {}, [], { text: { toString() { return 'SELECT 1' } } }, { text: 'a', rowMode: 'x' }, new String('SELECT 1')]) {
           try { await db.query(bad) } catch (e) { errors.push(e.message) }
         } return [...new Set(errors), errors.length]",
    ))
    .await;
    assert_eq!(seen.value(), r#"["the statement is given as a string","rowMode is 'array' or left out",8]"#);
    assert_eq!(seen.calls, []);
}

#[tokio::test]
async fn a_stream_of_strange_batches_is_refused() {
    let seen = survive(script(
        "const errors = []; for (const batchSize of [0, -1, NaN, Infinity, 1e9, 'x', {}, null]) {
           try { for await (const x of db.stream('a', [], { batchSize })) {} } catch (e) { errors.push(e.message) }
         } return [...new Set(errors), errors.length]",
    ).answers(|_| Ok(CallAnswer { stream: Some(3), done: true, ..CallAnswer::default() })))
    .await;
    assert_eq!(seen.value(), r#"["batchSize is between 1 and 10000",7]"#);
    let open = DatabaseCall::Open(ScriptStatement {
        text: "a".to_owned(),
        parameters: vec![],
        in_transaction: false,
    });
    assert_eq!(seen.calls, [open, DatabaseCall::Fetch { stream: 3, rows: 500 }]);
}

#[tokio::test]
async fn rows_that_are_too_many_for_a_message_are_told_and_not_waited_for() {
    let row = format!(r#"["{}"]"#, "x".repeat(1 << 20));
    let many = vec![row.as_str(); 65];
    let seen = survive(
        script("try { await db.query('much') } catch (e) { await db.query('next').catch(() => {}); return [e.name, e.code, e.refused] }")
            .answers(in_turn(vec![Ok(rows(&[("a", "text")], &many)), Ok(CallAnswer::default())])),
    )
    .await;
    assert_eq!(seen.value(), r#"["DatabaseError","answer_too_large",true]"#);
    assert_eq!(seen.calls, [query("much"), query("next")]);
}
