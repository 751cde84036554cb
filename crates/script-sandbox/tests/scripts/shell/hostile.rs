//! Texts that try to show one command and run another, and texts that try to harm who evaluates them.

use std::time::{Duration, Instant};

use super::{come_to, refused, runner};
use crate::harness::{evaluate_on, script};
use crate::hostile::{LIMIT, example, few, peak, survive};
use domain::ports::{ScriptCheckError, ShellEvaluator as _};
use domain::text::SubmissionText;
use script_runner::{ProcessScriptRunner, ScriptSettings};

const FIND: &str = r#"{"find":"u","filter":{}}"#;
const DROP: &str = r#"{"drop":"u"}"#;

#[tokio::test]
async fn what_depends_on_chance_is_decided_once() {
    let runner = runner();
    for text in [
        "Date.now() % 2 ? db.u.find() : db.u.drop()",
        "Math.random() < 0.5 ? db.u.find() : db.u.drop()",
        "new ObjectId().toString() > 'f' ? db.u.find() : db.u.drop()",
    ] {
        for _ in 0..3 {
            let commands = evaluate_on(&runner, text).await.unwrap();
            assert!(commands == [FIND] || commands == [DROP], "{commands:?}");
        }
    }
}

#[tokio::test]
async fn getters_and_proxies_are_asked_once() {
    let one = r#"{"find":"u","filter":{"a":{"$numberInt":"1"}}}"#;
    come_to(&[
        ("let n = 0; db.u.find({ get a() { n += 1; return n } })", one),
        ("let n = 0; db.u.find(new Proxy({ a: 0 }, { getOwnPropertyDescriptor: () => ({ value: n += 1, enumerable: true, configurable: true }) }))", one),
        ("let n = 0; db.u.deleteMany({ get a() { n += 1; return n > 1 ? undefined : n } })", r#"{"delete":"u","deletes":[{"q":{"a":{"$numberInt":"1"}},"limit":{"$numberInt":"0"}}]}"#),
        ("let n = 0; db.u.insertOne({ _id: 1, get a() { n += 1; return n } })", r#"{"insert":"u","documents":[{"_id":{"$numberInt":"1"},"a":{"$numberInt":"1"}}]}"#),
        ("let n = 0; db.u.find({}, {}, { get limit() { n += 1; return n } })", r#"{"find":"u","filter":{},"projection":{},"limit":{"$numberInt":"1"}}"#),
        ("let n = 0; db.u.find({ a: { valueOf() { n += 1; return n } , b: 1 } }.a.b === 1 ? { a: 1 } : {})", one),
        ("db.u.find({ a: { toJSON: undefined, ...{} } }.a.toJSON ?? { a: 1 })", one),
    ])
    .await;
}

#[tokio::test]
async fn spoiled_prototypes_make_no_difference() {
    let runner = runner();
    let values = "[1, 'é', ObjectId('507f1f77bcf86cd799439011'), NumberDecimal('1.5'), new Date(0)]";
    let command = "db.u.updateMany({ a: values }, { $set: { b: 1 } }, { upsert: true })";
    let expected = r#"{"update":"u","updates":[{"q":{"a":[{"$numberInt":"1"},"é",{"$oid":"507f1f77bcf86cd799439011"},{"$numberDecimal":"1.5"},{"$date":{"$numberLong":"0"}}]},"u":{"$set":{"b":{"$numberInt":"1"}}},"multi":true,"upsert":true}]}"#;
    for spoil in [
        "Object.prototype.x = 1",
        "Object.prototype.limit = 1; Object.prototype.get = () => ({ evil: 1 }); Object.prototype.$db = 'admin'",
        "for (const n of ['q', 'u', 'multi', 'a', 'enumerable', 'label']) Object.defineProperty(Object.prototype, n, { get() { return 'mine' }, set() {}, configurable: true })",
        "Array.prototype.push = Array.prototype.join = () => { throw new Error('mine') }",
        "Array.prototype[Symbol.iterator] = function* () { yield { evil: 1 } }",
        "Array.prototype[0] = 'mine'; Array.prototype.length = 7",
        "JSON.stringify = () => '{\"drop\":\"u\"}'; JSON.parse = () => ({})",
        "Object.prototype.toJSON = Array.prototype.toJSON = Date.prototype.toJSON = String.prototype.toJSON = () => 'mine'",
        "Object.keys = Object.entries = Reflect.ownKeys = () => []; Object.getOwnPropertyDescriptor = () => undefined; Array.isArray = () => true",
        "Function.prototype.call = Function.prototype.apply = () => 'mine'; Reflect.apply = () => 'mine'",
        "String.prototype.charCodeAt = String.prototype.slice = RegExp.prototype.exec = RegExp.prototype.test = () => { throw 1 }",
        "globalThis.BSON = globalThis.EJSON = { stringify: () => '{}', serialize: () => ({}) }",
        "Date.prototype.getTime = () => 7; Date.prototype.toISOString = () => 'mine'; Number.isInteger = () => false; WeakMap.prototype.get = () => undefined",
        "Map.prototype.forEach = Map.prototype.get = () => {}; BigInt.asIntN = () => 1n; Symbol.toPrimitive = 'x'",
        "globalThis.Proxy = globalThis.TypeError = globalThis.WeakMap = undefined",
    ] {
        // The values that a text makes with what it has spoiled are its own affair, so they are made before.
        match evaluate_on(&runner, &format!("const values = {values}; {spoil}; {command}")).await {
            Ok(commands) => assert_eq!(commands, [expected], "{spoil}"),
            // What the package stumbles over when it writes a decimal is told.
            Err(refusal) => {
                assert_eq!(refusal.code, "shell_error", "{spoil}: {}", refusal.message);
                assert!(spoil.contains("throw"), "{spoil}: {}", refusal.message);
            }
        }
    }
}

#[tokio::test]
async fn what_is_put_in_the_place_of_db_is_no_command() {
    let runner = runner();
    for (text, code) in [
        ("var db = { u: { find: () => ({ drop: 'u' }) } }; db.u.find()", "no_command"),
        ("globalThis.db = 1; db", "no_command"),
        ("const real = db; db = { u: 1 }; real.u.find(); db.u", "not_the_value"),
        ("({ find: 'u', __proto__: db.u.find() })", "not_the_value"),
        ("new Proxy(db.u.find(), {})", "not_the_value"),
        ("Object.create(db.u.find())", "not_the_value"),
        ("({ then(f) { f(db.u.find()) } })", "no_command"),
        ("({ toString() { return db.u.find() }, valueOf: () => db.u.drop() })", "no_command"),
        ("db.then", "no_command"),
        ("db.constructor.constructor('return 1')()", "shell_error"),
        ("try { db.u.find().forEach(1) } catch {} ; try { db.u.drop().x } catch {}", "several_commands"),
        ("db.x = 1", "invalid_command"),
        ("'use strict'; db.x = 1; db.u.find()", "invalid_command"),
        ("db.u.find({ get a() { throw new Error('mine') } })", "shell_error"),
        ("db.u.find({ get a() { db.v.drop(); return 1 } })", "several_commands"),
        ("db.u.find(new Proxy({}, { ownKeys() { throw null } }))", "shell_error"),
        ("db.u.find(new Proxy({}, { getPrototypeOf() { throw 7 } }))", "shell_error"),
        ("const f = () => f(); f()", "shell_error"),
        ("db.u.find({ get a() { return this } })", "invalid_command"),
        (
            "db.u.find({ a: { get b() { return { __proto__: { get c() { return 1 } }, get b() { return this } } } } })",
            "invalid_command",
        ),
    ] {
        let refusal = refused(&runner, text).await;
        assert_eq!(refusal.code, code, "{text}: {refusal:?}");
    }
    assert_eq!(evaluate_on(&runner, "const then = db.u.find(); then").await.unwrap(), [FIND]);
}

#[tokio::test]
async fn a_value_written_into_cannot_break_out_of_its_command() {
    let runner = runner();
    for value in [
        "Object.assign(ObjectId(), { i0: '\"},\"drop\":\"u' })",
        "Object.assign(NumberLong('1'), { low: '1\"},\"drop\":\"u', high: 0 })",
        "Object.assign(Timestamp(1, 1), { low: '1},\"drop\":\"u\"' })",
        "Object.assign(Double(1), { value: { toString: () => '1\"},\"drop\":\"u' } })",
        "Object.assign(Int32(1), { value: '1\"},\"drop\":\"u' })",
        "Object.assign(BinData(0, ''), { sub_type: '0\",\"drop\":\"u' })",
        "Object.assign(BSONRegExp('a'), { options: 'i\"},\"drop\":\"u' })",
        "Object.assign(Code('x'), { code: '\"},\"drop\":\"u' })",
        "Object.assign(BSONSymbol('x'), { value: '\"},\"drop\":\"u' })",
    ] {
        match evaluate_on(&runner, &format!("db.u.find({{ v: {value} }})")).await {
            Ok(commands) => {
                let [command] = commands.as_slice() else { panic!("{value}: {commands:?}") };
                let command: serde_json::Value = serde_json::from_str(command).unwrap();
                let fields: Vec<&String> = command.as_object().unwrap().keys().collect();
                assert_eq!(fields, ["filter", "find"], "{value}: {command}");
                assert_eq!(command["filter"].as_object().unwrap().len(), 1, "{value}: {command}");
            }
            Err(refusal) => assert!(
                ["invalid_command", "shell_error"].contains(&refusal.code.as_str()),
                "{value}: {refusal:?}"
            ),
        }
    }
}

#[tokio::test]
async fn texts_that_never_end_are_ended() {
    let runner = runner();
    for text in [
        "for (;;) {}",
        "db.u.find({ get a() { for (;;) {} } })",
        "/^(a+)+$/.test('a'.repeat(50) + 'b'); db.u.find()",
    ] {
        let begun = Instant::now();
        let parsed = SubmissionText::parse(text).unwrap();
        match runner.evaluate(&parsed, None).await {
            Err(ScriptCheckError::Refused(refusal)) => {
                assert_eq!(refusal.code, "shell_unreadable", "{text}: {}", refusal.message);
                assert!(refusal.message.contains("3 seconds of processor time"), "{}", refusal.message);
            }
            // On a host that is busy with other things it does not get that much of the processor in time.
            Err(ScriptCheckError::Unavailable { .. }) => {}
            Ok(commands) => panic!("{text} came to {commands:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(25), "{text}: {:?}", begun.elapsed());
    }
    assert_eq!(evaluate_on(&runner, "db.u.find()").await.unwrap(), [FIND]);
}

#[tokio::test]
async fn memory_bombs_go_off_in_their_own_process() {
    let runner = ProcessScriptRunner::start(few(crate::harness::settings())).unwrap();
    for text in [
        "const a = []; for (;;) a.push({ x: [1, 2, 3] })",
        "const a = []; for (;;) a.push(new Uint8Array(2 ** 24).fill(1))",
        "let s = 'x'; for (;;) s += s + s.length; db.u.find({ s })",
        "db.u.insertMany(Array.from({ length: 3e6 }, (_, i) => ({ i, s: 'x'.repeat(20) })))",
    ] {
        let refusal = refused(&runner, text).await;
        let known = ["shell_unreadable", "shell_error", "invalid_command"];
        assert!(known.contains(&refusal.code.as_str()), "{text}: {refusal:?}");
    }
    assert_eq!(evaluate_on(&runner, "db.u.find()").await.unwrap(), [FIND]);
    assert!(peak() <= LIMIT / 4 * 5, "{} bytes", peak());
}

#[tokio::test]
async fn texts_of_two_mebibytes_are_evaluated() {
    let runner = runner();
    let long = "x".repeat(2 * 1024 * 1024 - 40);
    let [command]: [String; 1] = evaluate_on(&runner, &format!("db.u.insertOne({{ _id: 1, s: '{long}' }})"))
        .await
        .unwrap()
        .try_into()
        .unwrap();
    assert_eq!(
        command.len(),
        long.len() + r#"{"insert":"u","documents":[{"_id":{"$numberInt":"1"},"s":""}]}"#.len()
    );
    let many = "{ab:123456789012},".repeat(100_000);
    let [command]: [String; 1] =
        evaluate_on(&runner, &format!("db.u.aggregate([{{$match:{{$or:[{many}]}}}}])"))
            .await
            .unwrap()
            .try_into()
            .unwrap();
    assert_eq!(command.matches(r#"{"ab":{"$numberDouble":"123456789012.0"}}"#).count(), 100_000);
    let open = format!("db.u.find({}", "[".repeat(1_000_000));
    let refusal = refused(&runner, &open).await;
    assert!(
        ["shell_syntax", "shell_error", "shell_unreadable"].contains(&refusal.code.as_str()),
        "{refusal:?}"
    );
}

#[tokio::test]
async fn nothing_can_be_asked_and_nothing_is_heard_of_a_text() {
    let runner = runner();
    let text = "console.log('x'.repeat(1e5)); console.error(1); sleep(1e6); print(db); db.u.find()";
    assert_eq!(evaluate_on(&runner, text).await.unwrap(), [FIND]);
    let text = "Promise.resolve().then(() => db.u.drop()); db.u.find()";
    assert_eq!(evaluate_on(&runner, text).await.unwrap(), [FIND]);
    for absent in ["require", "process", "fetch", "WebAssembly", "SharedArrayBuffer", "setTimeout"] {
        let refusal = refused(&runner, &format!("{absent}.x")).await;
        assert!(refusal.message.contains(&format!("{absent} is not defined")), "{}", refusal.message);
    }
    let refusal = refused(&runner, "import('fs'); 1").await;
    assert_eq!(refusal.code, "no_command");
}

#[tokio::test]
async fn a_process_that_lies_about_commands_is_not_believed() {
    let runner = ProcessScriptRunner::start(ScriptSettings {
        max_calls: 3,
        ..few(ScriptSettings::new(example("forger"), vec![]))
    })
    .unwrap();
    let evaluate = async |text: &str| runner.evaluate(&SubmissionText::parse(text).unwrap(), None).await;
    for lie in [
        "no commands",
        "no json",
        "no object",
        "no text",
        "an empty line",
        "many",
        "a long one",
        "checked",
        "a call",
        "out of memory",
        "closes its stream",
        "ends well",
        "ends badly",
        "segv",
        "sys",
    ] {
        match evaluate(lie).await {
            Err(ScriptCheckError::Refused(refusal)) => assert_eq!(refusal.code, "shell_unreadable", "{lie}"),
            other => panic!("{lie}: {other:?}"),
        }
    }
    match evaluate("words of its own").await {
        Err(ScriptCheckError::Refused(refusal)) => {
            assert_eq!((refusal.code.as_str(), refusal.position), ("shell_error", None));
            assert!(refusal.message.len() < 20_000);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(evaluate("kill").await, Err(ScriptCheckError::Unavailable { .. })));
    assert_eq!(evaluate("honest").await.unwrap(), [r#"{"ping":{"$numberInt":"1"}}"#]);
}

#[tokio::test]
async fn a_script_for_mongodb_leaves_nothing_to_the_next_one() {
    let seen = survive(
        script("Object.prototype.leaked = 1; globalThis.leaked = db; db = 1; return typeof ObjectId")
            .for_mongodb(),
    )
    .await;
    assert_eq!(seen.value(), r#""function""#);
    assert_eq!(seen.calls, []);
}
