//! Frames that nobody would send, and those that everybody does.

use std::io::{self, Cursor, Read};

use proptest::prelude::*;
use script_protocol::{
    Call, ConsoleLevel, FrameError, FromWorker, HEAD_BYTES, MAX_FROM_WORKER, MAX_HEADER_BYTES, ToWorker,
    encode, read_frame,
};

fn read(bytes: &[u8]) -> Result<Option<(FromWorker, Vec<u8>)>, FrameError> {
    read_frame(&mut Cursor::new(bytes), MAX_FROM_WORKER)
}

fn call() -> FromWorker {
    let parameters = vec![None, Some("é\u{1f600}".to_owned()), Some(String::new())];
    FromWorker::Call { number: 7, call: Call::Query { parameters, in_transaction: true } }
}

/// Gives one byte at a time, as a stream may.
struct Drip<'a>(Cursor<&'a [u8]>);

impl Read for Drip<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(1);
        self.0.read(&mut buffer[..most])
    }
}

#[test]
fn what_is_sent_arrives_in_whatever_pieces() {
    let frame = encode(&call(), b"SELECT $1, $2", MAX_FROM_WORKER).unwrap();
    assert_eq!(read(&frame).unwrap(), Some((call(), b"SELECT $1, $2".to_vec())));
    let dripped = read_frame::<FromWorker>(&mut Drip(Cursor::new(&frame)), MAX_FROM_WORKER).unwrap();
    assert_eq!(dripped, Some((call(), b"SELECT $1, $2".to_vec())));
}

#[test]
fn messages_follow_each_other_and_the_end_is_told() {
    let mut bytes = encode(&call(), b"a", MAX_FROM_WORKER).unwrap();
    let line = FromWorker::Console { level: ConsoleLevel::Warn };
    bytes.extend(encode(&line, b"", MAX_FROM_WORKER).unwrap());
    let mut stream = Cursor::new(bytes.as_slice());
    let mut next = || read_frame::<FromWorker>(&mut stream, MAX_FROM_WORKER).unwrap();
    assert_eq!(next(), Some((call(), b"a".to_vec())));
    assert_eq!(next(), Some((line, vec![])));
    assert_eq!(next(), None);
}

#[test]
fn a_message_cut_anywhere_is_truncated() {
    let frame = encode(&call(), b"SELECT 1", MAX_FROM_WORKER).unwrap();
    for end in 1..frame.len() {
        assert!(matches!(read(&frame[..end]), Err(FrameError::Truncated)), "{end}");
    }
}

#[test]
fn lengths_beyond_the_limits_are_refused_before_anything_is_read() {
    let mut head = [0xff; HEAD_BYTES];
    assert!(matches!(read(&head), Err(FrameError::HeaderTooLong(length)) if length > MAX_HEADER_BYTES));
    head[..4].copy_from_slice(&2_u32.to_be_bytes());
    let error = read(&head);
    assert!(matches!(error, Err(FrameError::PayloadTooLong { limit: MAX_FROM_WORKER, .. })), "{error:?}");
    let too_much = vec![0; MAX_FROM_WORKER + 1];
    assert!(encode(&call(), &too_much, MAX_FROM_WORKER).is_err());
}

#[test]
fn a_length_without_its_bytes_takes_no_memory() {
    // 32 MiB are promised and three bytes come; a thousand of them would need 32 GiB if promises were believed.
    let mut head = Vec::from(0_u32.to_be_bytes());
    head.extend(u32::try_from(MAX_FROM_WORKER).unwrap().to_be_bytes());
    head.extend(b"{}x");
    for _ in 0..1000 {
        assert!(read(&head).is_err());
    }
}

#[test]
fn a_message_of_the_other_direction_or_of_another_version_is_malformed() {
    let other = encode(&ToWorker::Check, b"", MAX_FROM_WORKER).unwrap();
    assert!(matches!(read(&other), Err(FrameError::Malformed)));
    for header in [
        "",
        "null",
        "[]",
        "\"returned\"",
        r#"{"returned":{}}"#,
        r#"{"returned":{"shape":"single","more":1}}"#,
        r#"{"returned":{"shape":"single"},"threw":{}}"#,
        r#"{"call":{"number":-1,"call":"begin"}}"#,
        r#"{"call":{"number":1,"call":"drop"}}"#,
        r#"{"console":{"level":"log"}} x"#,
        r#"{"console":{"level":"log","level":"warn"}}"#,
    ] {
        let mut frame = Vec::from(u32::try_from(header.len()).unwrap().to_be_bytes());
        frame.extend(0_u32.to_be_bytes());
        frame.extend(header.as_bytes());
        assert!(matches!(read(&frame), Err(FrameError::Malformed)), "{header}");
    }
}

#[test]
fn deeply_nested_headers_are_refused_and_survived() {
    let header = "[".repeat(1_000_000);
    let mut frame = Vec::from(u32::try_from(header.len()).unwrap().to_be_bytes());
    frame.extend(0_u32.to_be_bytes());
    frame.extend(header.as_bytes());
    assert!(matches!(read(&frame), Err(FrameError::Malformed)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60_000))]

    /// Any bytes are either a message or an error, and never a panic or a wait for more than there is.
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let _ = read(&bytes);
    }

    /// A good frame with bytes changed: what still reads as a message reads as one of ours.
    #[test]
    fn a_changed_frame_ends(at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let mut frame = encode(&call(), b"SELECT 1", MAX_FROM_WORKER).unwrap();
        let at = at.index(frame.len());
        frame[at] = byte;
        frame.truncate(cut.index(frame.len()) + 1);
        if let Ok(Some((message, payload))) = read(&frame) {
            prop_assert!(payload.len() <= frame.len());
            prop_assert!(matches!(message, FromWorker::Call { .. }), "{message:?}");
        }
    }
}
