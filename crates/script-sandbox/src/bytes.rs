//! Bytes and texts for the world of a script: what `bytes.js` is made of.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The functions in the order in which the snapshot knows them.
pub(crate) fn functions() -> [(&'static str, v8::FunctionCallback); 5] {
    use v8::MapFnTo as _;
    [
        ("encode", encode.map_fn_to()),
        ("decode", decode.map_fn_to()),
        ("fromBase64", from_base64.map_fn_to()),
        ("toBase64", to_base64.map_fn_to()),
        ("random", random.map_fn_to()),
    ]
}

/// The `bson` package as it was published; `third_party/bson/README.md` says where it comes from.
pub(crate) fn bson() -> Option<String> {
    use std::io::Read as _;
    let packed = include_bytes!("../../../third_party/bson/bson.bundle.js.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed.as_slice()).read_to_string(&mut text).ok()?;
    Some(text)
}

fn throw(scope: &mut v8::PinScope<'_, '_>, message: &str) {
    let Some(message) = v8::String::new(scope, message) else { return };
    let error = v8::Exception::type_error(scope, message);
    scope.throw_exception(error);
}

fn give(scope: &mut v8::PinScope<'_, '_>, bytes: Vec<u8>, mut value: v8::ReturnValue<'_>) {
    let length = bytes.len();
    let store = v8::ArrayBuffer::new_backing_store_from_vec(bytes).make_shared();
    let buffer = v8::ArrayBuffer::with_backing_store(scope, &store);
    if let Some(view) = v8::Uint8Array::new(scope, buffer, 0, length) {
        value.set(view.into());
    }
}

/// `encode(text)`: its UTF-8.
fn encode(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    value: v8::ReturnValue<'_>,
) {
    let bytes = args.get(0).to_rust_string_lossy(scope).into_bytes();
    give(scope, bytes, value);
}

/// `decode(bytes, fatal)`: the text whose UTF-8 they are.
fn decode(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    mut value: v8::ReturnValue<'_>,
) {
    let Ok(view) = v8::Local::<v8::ArrayBufferView>::try_from(args.get(0)) else {
        return throw(scope, "bytes are given as a typed array");
    };
    let mut bytes = vec![0; view.byte_length()];
    view.copy_contents(&mut bytes);
    if args.get(1).is_true() && std::str::from_utf8(&bytes).is_err() {
        return throw(scope, "the bytes are no UTF-8");
    }
    // The mark of the byte order is no part of a text.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    match v8::String::new_from_utf8(scope, bytes, v8::NewStringType::Normal) {
        Some(text) => value.set(text.into()),
        None => throw(scope, "the text is too long for a string"),
    }
}

/// `fromBase64(text)`: a string whose characters are the bytes.
fn from_base64(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    mut value: v8::ReturnValue<'_>,
) {
    let text = args.get(0).to_rust_string_lossy(scope);
    let Ok(bytes) = STANDARD.decode(text.trim()) else { return throw(scope, "the text is no base64") };
    if let Some(text) = v8::String::new_from_one_byte(scope, &bytes, v8::NewStringType::Normal) {
        value.set(text.into());
    }
}

/// `toBase64(text)`, of a string whose characters are bytes.
fn to_base64(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    mut value: v8::ReturnValue<'_>,
) {
    let text = args.get(0).to_rust_string_lossy(scope);
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    let Some(bytes) = bytes else { return throw(scope, "the text has a character above U+00FF") };
    if let Some(text) = v8::String::new(scope, &STANDARD.encode(bytes)) {
        value.set(text.into());
    }
}

/// `random(length)`: bytes that nobody can guess. The caller has a limit.
fn random(
    scope: &mut v8::PinScope<'_, '_>,
    args: v8::FunctionCallbackArguments<'_>,
    value: v8::ReturnValue<'_>,
) {
    let length = args.get(0).uint32_value(scope).unwrap_or(0).min(65_536);
    let mut bytes = vec![0; length as usize];
    rand::fill(&mut bytes);
    give(scope, bytes, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_is_the_published_one() {
        let sums = include_str!("../../../third_party/bson/SHA256SUMS");
        let text = bson().unwrap();
        let sum = sha2::Sha256::digest(text.as_bytes());
        assert!(sums.contains(&format!("{}  bson.bundle.js\n", hex::encode(sum))), "{sums}");
    }

    use sha2::Digest as _;
}
