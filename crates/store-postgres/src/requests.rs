//! The store of requests.

use std::cmp::Reverse;
use std::iter::once;
use std::sync::Arc;

use async_trait::async_trait;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::idempotency::Idempotency;
use domain::ids::{RequestId, UserId};
use domain::lifecycle::Transition;
use domain::page::{MAX_PAGE_SIZE, Page, PageRequest};
use domain::policy::Visibility;
use domain::ports::{Earlier, IdGenerator, RequestFilter, RequestStore, StoreError, TransitionError};
use domain::request::{Effect, Request, RequestSummary, StateKind};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::error::store_error;
use crate::idempotency::{Kept, find as find_key, take};
use crate::pool::PgStore;
use crate::request_rows::{ApprovalRow, RequestRow};
use crate::rows::RowReader;
use crate::schema::{query_requests, request_approvals};
use crate::summary_rows::SummaryRow;
use crate::transitions::{insert, write};

/// Requests in PostgreSQL.
#[derive(Clone)]
pub struct PgRequestStore {
    store: PgStore,
    ids: Arc<dyn IdGenerator>,
}

impl std::fmt::Debug for PgRequestStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgRequestStore").finish_non_exhaustive()
    }
}

impl PgRequestStore {
    /// `ids` names the jobs that transitions queue.
    pub fn new(store: PgStore, ids: Arc<dyn IdGenerator>) -> Self {
        Self { store, ids }
    }

    /// What a key stands for, with the request as it is now. Requests are never deleted.
    async fn earlier(&self, kept: Kept) -> Result<Earlier, StoreError> {
        let Kept::Same(id) = kept else { return Ok(Earlier::Other) };
        let missing = || RowReader::new("idempotency_keys", id).corrupt("request_uuid");
        Ok(Earlier::Same(Box::new(self.find(id).await?.ok_or_else(missing)?)))
    }
}

#[async_trait]
impl RequestStore for PgRequestStore {
    async fn insert<'a>(
        &self,
        request: &Request,
        audit: &AuditEntry,
        effects: &[Effect],
        idempotency: Option<&'a Idempotency>,
    ) -> Result<Option<Earlier>, StoreError> {
        let mut transaction = self.store.begin().await?;
        if let Some(idempotency) = idempotency
            && let Some(kept) = take(&mut transaction, idempotency, request).await?
        {
            transaction.rollback().await?;
            return self.earlier(kept).await.map(Some);
        }
        let changes = insert(&mut transaction, request, audit, effects, &*self.ids).await?;
        transaction.commit_and_announce(&changes).await?;
        Ok(None)
    }

    async fn find_by_key(
        &self,
        requester: UserId,
        idempotency: &Idempotency,
        now: Timestamp,
    ) -> Result<Option<Earlier>, StoreError> {
        let idempotency = idempotency.clone();
        let kept = self
            .store
            .read(move |connection| {
                let idempotency = idempotency.clone();
                async move { find_key(connection, requester, &idempotency, now).await }.boxed()
            })
            .await?;
        match kept {
            Some(kept) => self.earlier(kept).await.map(Some),
            None => Ok(None),
        }
    }

    async fn find(&self, id: RequestId) -> Result<Option<Request>, StoreError> {
        let rows = self.store.read(move |connection| whole(connection, id).boxed()).await?;
        joined(rows)
    }

    async fn list(
        &self,
        visibility: &Visibility,
        filter: &RequestFilter,
        page: &PageRequest,
    ) -> Result<Page<RequestSummary>, StoreError> {
        let limit = page.limit.clamp(1, MAX_PAGE_SIZE);
        let (parts, filter, after) = (parts(visibility, filter), filter.clone(), page.after);
        let mut rows = self
            .store
            .read(move |connection| {
                load_parts(connection, parts.clone(), filter.clone(), after, i64::from(limit) + 1).boxed()
            })
            .await?;
        // The one row too many only says that there is another page.
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| more).map(|row| row.id);
        let items = rows.into_iter().map(SummaryRow::into_summary).collect::<Result<_, _>>()?;
        Ok(Page { items, next })
    }

    async fn commit(&self, transition: &Transition) -> Result<Request, TransitionError> {
        let mut transaction = self.store.begin().await?;
        if let Some(written) = write(&mut transaction, transition, &*self.ids).await? {
            transaction.commit_and_announce(&written.changes).await?;
            return Ok(written.request);
        }
        let current = status(&mut transaction, transition.request.id).await?;
        transaction.rollback().await?;
        Err(current.map_or(TransitionError::NotFound, |current| TransitionError::Conflict { current }))
    }
}

type Joined = (RequestRow, Option<ApprovalRow>);

/// A request with its approvals in one statement, and so in one snapshot: read one after the other, a state and
/// the approvals of the next one could come together.
async fn whole(connection: &mut AsyncPgConnection, id: RequestId) -> QueryResult<Vec<Joined>> {
    let live =
        request_approvals::request_id.eq(query_requests::id).and(request_approvals::dropped_at.is_null());
    query_requests::table
        .left_join(request_approvals::table.on(live))
        .filter(query_requests::uuid.eq(id.as_uuid()))
        .order(request_approvals::id)
        .select((RequestRow::as_select(), Option::<ApprovalRow>::as_select()))
        .load(connection)
        .await
}

fn joined(rows: Vec<Joined>) -> Result<Option<Request>, StoreError> {
    let mut request = None;
    let mut approvals = vec![];
    for (row, approval) in rows {
        request.get_or_insert(row);
        approvals.extend(approval);
    }
    request.map(|row| row.into_request(approvals)).transpose()
}

/// A part of what a person sees that an index holds newest first. A list over several at once could only be sorted
/// after all of it was read.
#[derive(Clone, Debug)]
struct Part {
    whose: Whose,
    state: Option<StateKind>,
}

#[derive(Clone, Debug)]
enum Whose {
    Everybody,
    Person(Uuid),
    Pod(String),
}

fn parts(visibility: &Visibility, filter: &RequestFilter) -> Vec<Part> {
    let in_each_state = |whose: &Whose| -> Vec<Part> {
        let part = |state| Part { whose: whose.clone(), state };
        if filter.states.is_empty() {
            return vec![part(None)];
        }
        filter.states.iter().map(|state| part(Some(*state))).collect()
    };
    match visibility {
        Visibility::All => in_each_state(&Whose::Everybody),
        Visibility::OwnAndPods { user, pods } => {
            // A person's own are few, and no index holds them by state.
            let own = Part { whose: Whose::Person(user.as_uuid()), state: None };
            let pods = pods.iter().map(|pod| Whose::Pod(pod.as_str().to_owned()));
            once(own).chain(pods.flat_map(|pod| in_each_state(&pod))).collect()
        }
    }
}

/// The newest rows of all parts together, at most `limit`. A request may be in several parts.
async fn load_parts(
    connection: &mut AsyncPgConnection,
    parts: Vec<Part>,
    filter: RequestFilter,
    after: Option<i64>,
    limit: i64,
) -> QueryResult<Vec<SummaryRow>> {
    // Through a shared reference all queries are sent before the first is answered. Each sees its own moment: a request
    // that changes its state right then may be in none of them, and is in the next call's.
    let connection = &*connection;
    let (filter, limit) = (&filter, limit);
    let loaded = parts.iter().map(async |part| {
        let query = narrowed(part, filter, after).limit(limit).select(SummaryRow::as_select());
        query.load::<SummaryRow>(&mut { connection }).await
    });
    let mut rows: Vec<SummaryRow> = try_join_all(loaded).await?.into_iter().flatten().collect();
    rows.sort_by_key(|row| Reverse(row.id));
    rows.dedup_by_key(|row| row.id);
    rows.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(rows)
}

fn narrowed(
    part: &Part,
    filter: &RequestFilter,
    after: Option<i64>,
) -> query_requests::BoxedQuery<'static, Pg> {
    use query_requests::dsl;

    let mut query = dsl::query_requests.order(dsl::id.desc()).into_boxed();
    match &part.whose {
        Whose::Everybody => {}
        Whose::Person(user) => query = query.filter(dsl::user_id.eq(*user)),
        Whose::Pod(pod) => query = query.filter(dsl::pod_id.eq(pod.clone())),
    }
    let RequestFilter {
        states,
        instance,
        pod,
        requester,
        not_requester,
        engine,
        created_from,
        created_before,
    } = filter;
    // An index keeps its order behind one value, not behind several.
    match (part.state.as_ref(), states.as_slice()) {
        (Some(state), _) | (None, [state]) => query = query.filter(dsl::status.eq(state.as_str())),
        (None, []) => {}
        (None, several) => {
            let states: Vec<&'static str> = several.iter().map(|state| state.as_str()).collect();
            query = query.filter(dsl::status.eq_any(states));
        }
    }
    if let Some(instance) = instance {
        query = query.filter(dsl::instance_id.eq(instance.as_str().to_owned()));
    }
    if let Some(pod) = pod {
        query = query.filter(dsl::pod_id.eq(pod.as_str().to_owned()));
    }
    if let Some(user) = requester {
        query = query.filter(dsl::user_id.eq(user.as_uuid()));
    }
    if let Some(user) = not_requester {
        query = query.filter(dsl::user_id.ne(user.as_uuid()));
    }
    if let Some(engine) = engine {
        query = query.filter(dsl::database_type.eq(engine.as_str()));
    }
    if let Some(from) = created_from {
        query = query.filter(dsl::created_at.ge(*from));
    }
    if let Some(before) = created_before {
        query = query.filter(dsl::created_at.lt(*before));
    }
    if let Some(after) = after {
        query = query.filter(dsl::id.lt(after));
    }
    query
}

async fn status(connection: &mut AsyncPgConnection, id: RequestId) -> Result<Option<StateKind>, StoreError> {
    let status: Option<String> = query_requests::table
        .filter(query_requests::uuid.eq(id.as_uuid()))
        .select(query_requests::status)
        .get_result(connection)
        .await
        .optional()
        .map_err(store_error)?;
    let row = RowReader::new("query_requests", id);
    status.map(|status| row.present("status", StateKind::parse(&status))).transpose()
}
