//! The logs of scripts, for who may see their requests, and following a request while things happen to it.

use std::time::Duration;

use tokio::time::Instant;

use super::requests::{RequestError, Requests, wait_for_news};
use crate::ids::RequestId;
use crate::ports::{Change, StoreError};
use crate::request::{Request, SubmissionKind, Version};
use crate::script::{LogCounts, LogLimit, LogLine, LogPart};
use crate::user::Actor;

/// What somebody who follows a request is given of its log at once. It is held until they have read it.
const FOLLOWED: LogLimit = LogLimit { lines: 200, bytes: 32 * 1024 };

/// Bytes of a log that are given to somebody who asks for a part of it.
const PAGE_BYTES: usize = 512 * 1024;

/// Bytes of the beginning of a log that are given along with where its script stands.
const BEGINNING_BYTES: usize = 64 * 1024;

/// A part of the log of a request.
#[derive(Clone, PartialEq, Debug)]
pub struct LogPage {
    pub request: Request,
    pub lines: Vec<LogLine>,
    /// Whether more lines are there already.
    pub more: bool,
}

/// What has become of a request since somebody looked.
#[derive(Clone, PartialEq, Debug)]
pub struct Followed {
    pub request: Request,
    /// What comes next in its log. When the request is over and these are none, there is no more.
    pub lines: Vec<LogLine>,
}

impl Requests {
    /// Waits until the request differs from the version that the caller has seen, or its log has lines after the last
    /// that they have seen, or `wait` has passed.
    pub async fn follow(
        &self,
        actor: &Actor,
        id: RequestId,
        seen: Option<Version>,
        after: u64,
        wait: Duration,
    ) -> Result<Followed, RequestError> {
        let deadline = Instant::now() + wait;
        let mut news = self.changes.subscribe();
        loop {
            let request = self.get(actor, id).await?;
            // Read after the request: of one that is over the log is whole by now.
            let LogPart { lines, .. } = self.lines(&request, after, FOLLOWED).await?;
            if Some(request.version) != seen || !lines.is_empty() || Instant::now() >= deadline {
                return Ok(Followed { request, lines });
            }
            // Many may wait at once, and for long: none of them holds a request meanwhile.
            drop(request);
            wait_for_news(&mut news, Change::Request(id), Some(Change::Log(id)), deadline).await;
        }
    }

    /// What a script said and did after line `after`, no more than `lines` lines, and fewer when they are long. A query
    /// has nothing to say.
    pub async fn log(
        &self,
        actor: &Actor,
        id: RequestId,
        after: u64,
        lines: u32,
    ) -> Result<LogPage, RequestError> {
        self.page(actor, id, after, LogLimit { lines, bytes: PAGE_BYTES }).await
    }

    /// A script with the beginning of its log, and how long that is.
    pub async fn script(
        &self,
        actor: &Actor,
        id: RequestId,
        lines: u32,
    ) -> Result<(LogPage, LogCounts), RequestError> {
        let page = self.page(actor, id, 0, LogLimit { lines, bytes: BEGINNING_BYTES }).await?;
        if page.request.submission.kind != SubmissionKind::Script {
            return Err(RequestError::NoScript);
        }
        Ok((page, self.logs.count(id).await?))
    }

    async fn page(
        &self,
        actor: &Actor,
        id: RequestId,
        after: u64,
        limit: LogLimit,
    ) -> Result<LogPage, RequestError> {
        let request = self.get(actor, id).await?;
        let LogPart { lines, more } = self.lines(&request, after, limit).await?;
        Ok(LogPage { request, lines, more })
    }

    async fn lines(&self, request: &Request, after: u64, limit: LogLimit) -> Result<LogPart, StoreError> {
        let may_have_said_something =
            request.submission.kind == SubmissionKind::Script && request.state.run().is_some();
        if may_have_said_something {
            self.logs.read(request.id, after, limit).await
        } else {
            Ok(LogPart::default())
        }
    }
}
