//! Frames: bytes with limits.

use std::io::{self, Read};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Bytes before the header: two lengths.
pub const HEAD_BYTES: usize = 8;

/// Parameters of a call travel in the header, so it may be large.
pub const MAX_HEADER_BYTES: usize = 16 * 1024 * 1024;

/// Why bytes are no message. Whoever gets one ends the conversation.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    #[error("a header of {0} bytes is longer than {MAX_HEADER_BYTES}")]
    HeaderTooLong(usize),
    #[error("a payload of {length} bytes is longer than {limit}")]
    PayloadTooLong { length: usize, limit: usize },
    /// The parser's message would quote what was sent, so it is left out.
    #[error("the header is no message of this version")]
    Malformed,
    #[error("the stream ended inside of a message")]
    Truncated,
    #[error("the stream broke")]
    Broken(#[from] io::Error),
}

/// The lengths of a frame, within their limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Head {
    pub header: usize,
    pub payload: usize,
}

impl Head {
    /// Reads the lengths. `limit` is for the payload.
    pub fn parse(bytes: [u8; HEAD_BYTES], limit: usize) -> Result<Self, FrameError> {
        let both = u64::from_be_bytes(bytes);
        let length = |half: u64| usize::try_from(half & u64::from(u32::MAX)).unwrap_or(usize::MAX);
        let (header, payload) = (length(both >> 32), length(both));
        if header > MAX_HEADER_BYTES {
            return Err(FrameError::HeaderTooLong(header));
        }
        if payload > limit {
            return Err(FrameError::PayloadTooLong { length: payload, limit });
        }
        Ok(Self { header, payload })
    }
}

/// Makes a frame. A message beyond the limits is refused here, so that the other side need not.
pub fn encode(message: &impl Serialize, payload: &[u8], limit: usize) -> Result<Vec<u8>, FrameError> {
    let header = serde_json::to_vec(message).map_err(|_| FrameError::Malformed)?;
    if header.len() > MAX_HEADER_BYTES {
        return Err(FrameError::HeaderTooLong(header.len()));
    }
    if payload.len() > limit {
        return Err(FrameError::PayloadTooLong { length: payload.len(), limit });
    }
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).map_err(|_| FrameError::Malformed);
    let mut frame = Vec::with_capacity(HEAD_BYTES + header.len() + payload.len());
    frame.extend_from_slice(&length(&header)?.to_be_bytes());
    frame.extend_from_slice(&length(payload)?.to_be_bytes());
    frame.extend_from_slice(&header);
    frame.extend_from_slice(payload);
    Ok(frame)
}

/// Reads a header as a message.
pub fn parse_header<T: DeserializeOwned>(header: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(header).map_err(|_| FrameError::Malformed)
}

/// Reads one message with its payload; `None` when the stream ends before it.
pub fn read_frame<T: DeserializeOwned>(
    reader: &mut impl Read,
    limit: usize,
) -> Result<Option<(T, Vec<u8>)>, FrameError> {
    let mut head = [0; HEAD_BYTES];
    let mut filled = 0;
    while filled < HEAD_BYTES {
        match reader.read(&mut head[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(FrameError::Truncated),
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    let head = Head::parse(head, limit)?;
    let header = read_bytes(reader, head.header)?;
    let message = parse_header(&header)?;
    Ok(Some((message, read_bytes(reader, head.payload)?)))
}

/// Memory is taken as bytes arrive: a length alone costs nothing.
fn read_bytes(reader: &mut impl Read, length: usize) -> Result<Vec<u8>, FrameError> {
    let mut bytes = Vec::new();
    let read = reader.take(length as u64).read_to_end(&mut bytes)?;
    if read < length {
        return Err(FrameError::Truncated);
    }
    Ok(bytes)
}
