//! The store of requests.

use std::sync::Arc;

use async_trait::async_trait;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::audit::AuditEntry;
use domain::ids::RequestId;
use domain::lifecycle::Transition;
use domain::page::{MAX_PAGE_SIZE, Page, PageRequest};
use domain::policy::Visibility;
use domain::ports::{IdGenerator, RequestFilter, RequestStore, StoreError, TransitionError};
use domain::request::{Effect, Request, RequestSummary, StateKind};
use futures_util::FutureExt;

use crate::error::store_error;
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
}

#[async_trait]
impl RequestStore for PgRequestStore {
    async fn insert(
        &self,
        request: &Request,
        audit: &AuditEntry,
        effects: &[Effect],
    ) -> Result<(), StoreError> {
        let mut transaction = self.store.begin().await?;
        let changes = insert(&mut transaction, request, audit, effects, &*self.ids).await?;
        transaction.commit_and_announce(&changes).await?;
        Ok(())
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
        let (visibility, filter, after) = (visibility.clone(), filter.clone(), page.after);
        let mut rows = self
            .store
            .read(move |connection| {
                let query = narrowed(&visibility, &filter, after).limit(i64::from(limit) + 1);
                query.select(SummaryRow::as_select()).load(connection).boxed()
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

fn narrowed(
    visibility: &Visibility,
    filter: &RequestFilter,
    after: Option<i64>,
) -> query_requests::BoxedQuery<'static, Pg> {
    use query_requests::dsl;

    let mut query = dsl::query_requests.order(dsl::id.desc()).into_boxed();
    if let Visibility::OwnAndPods { user, pods } = visibility {
        let pods: Vec<String> = pods.iter().map(|pod| pod.as_str().to_owned()).collect();
        query = query.filter(dsl::user_id.eq(user.as_uuid()).or(dsl::pod_id.eq_any(pods)));
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
    if !states.is_empty() {
        let states: Vec<&'static str> = states.iter().map(|state| state.as_str()).collect();
        query = query.filter(dsl::status.eq_any(states));
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
