//! Digests, above all the one that an approval binds to.
//!
//! SHA-256 over a versioned encoding in which every field is preceded by its length, so that no two
//! different requests share an encoding. The order of the fields is part of the version.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::Timestamp;
use crate::request::{ExtendedJson, RunOptions, Submission, TargetRef};
use crate::target::Limits;

/// Names the encoding; a change of the fields below needs a new value here.
const VERSION: &str = "query-portal/approval/1";

/// A SHA-256 value, written as 64 lowercase hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).ok()?;
        Some(Self(bytes))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

/// Everything that decides what runs and where.
pub(crate) struct DigestInput<'a> {
    pub(crate) target: &'a TargetRef,
    pub(crate) submission: &'a Submission,
    pub(crate) options: &'a RunOptions,
    pub(crate) limits: &'a Limits,
}

impl DigestInput<'_> {
    pub(crate) fn digest(&self) -> Digest {
        let Self { target, submission, options, limits } = self;
        let mut encoder = Encoder::default();
        encoder.text(VERSION);
        encoder.text(target.instance.as_str());
        encoder.number(u64::from(target.connection_revision.unsigned_abs()));
        encoder.text(target.database.as_str());
        encoder.text(target.engine.as_str());
        encoder.number(u64::from(target.read_only));
        encoder.optional(target.search_path.as_deref());
        encoder.text(submission.kind.as_str());
        encoder.text(submission.text.as_str());
        encoder.number(submission.compiled.len() as u64);
        for command in &submission.compiled {
            encoder.text(command);
        }
        encoder.number(u64::try_from(limits.timeout.as_millis()).unwrap_or(u64::MAX));
        encoder.number(u64::try_from(limits.lock_timeout.as_millis()).unwrap_or(u64::MAX));
        encoder.number(limits.max_rows);
        encoder.number(limits.max_bytes);
        encoder.optional_time(options.not_before);
        // Left out of what it has always been, so that requests from before it keep their approvals.
        if options.extended_json != ExtendedJson::default() {
            encoder.text(options.extended_json.as_str());
        }
        encoder.finish()
    }
}

/// Writes fields so that no two sequences of them are the same bytes. The first names the encoding.
#[derive(Default)]
pub(crate) struct Encoder(Sha256);

impl Encoder {
    pub(crate) fn text(&mut self, text: &str) {
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text.as_bytes());
    }

    fn number(&mut self, number: u64) {
        self.0.update(8_u64.to_be_bytes());
        self.0.update(number.to_be_bytes());
    }

    /// Absent and empty differ: absent is a field of its own length of all ones.
    pub(crate) fn optional(&mut self, text: Option<&str>) {
        match text {
            Some(text) => self.text(text),
            None => self.0.update(u64::MAX.to_be_bytes()),
        }
    }

    pub(crate) fn optional_time(&mut self, time: Option<Timestamp>) {
        self.optional(time.map(|time| time.timestamp_micros().to_string()).as_deref());
    }

    pub(crate) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
