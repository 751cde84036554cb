//! The store of people.

use std::collections::{BTreeSet, HashMap};

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use domain::Timestamp;
use domain::audit::AuditEntry;
use domain::ids::{PodId, UserId};
use domain::ports::{NewUser, StoreError, UserError, UserStore, UserUpdate, UserWithPassword};
use domain::text::{DisplayName, Email};
use domain::user::{Role, User};
use futures_util::FutureExt;
use uuid::Uuid;

use crate::audit::record;
use crate::error::{store_error, violates};
use crate::pool::PgStore;
use crate::schema::{roles, user_roles, users};
use crate::session_list::is_live;
use crate::sessions::{end_sessions, lock_user};
use crate::user_rows::{RoleRow, UserRow, find_user, roles_of};

/// No two accounts are tied to one user of Slack.
pub(crate) const ONE_SLACK_USER: &str = "users_slack_user_id_key";

/// People in PostgreSQL.
#[derive(Clone, Debug)]
pub struct PgUserStore {
    store: PgStore,
}

impl PgUserStore {
    pub fn new(store: PgStore) -> Self {
        Self { store }
    }
}

#[async_trait]
impl UserStore for PgUserStore {
    async fn create(&self, user: &NewUser, audit: &AuditEntry) -> Result<(), UserError> {
        let mut transaction = self.store.begin().await?;
        let created = diesel::insert_into(users::table)
            .values((
                users::id.eq(user.id.as_uuid()),
                users::email.eq(user.email.as_str()),
                users::password_hash.eq(&user.password_hash),
                users::name.eq(user.name.as_str()),
                users::pod_id.eq(user.pod.as_ref().map(PodId::as_str)),
                users::created_at.eq(user.at),
                users::updated_at.eq(user.at),
            ))
            .execute(&mut *transaction)
            .await;
        let outcome = match created {
            Ok(_) => set_roles(&mut transaction, user.id, &user.roles, audit.user, user.at).await,
            Err(error) => Err(refusal(error, user.pod.as_ref())),
        };
        if let Err(error) = outcome {
            transaction.rollback().await?;
            return Err(error);
        }
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }

    async fn find(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let found = self
            .store
            .read(move |connection| async move { find_user(connection, id.as_uuid()).await }.boxed())
            .await?;
        found.map(|(row, roles)| row.read(roles)).transpose()
    }

    async fn find_by_email(&self, email: &Email) -> Result<Option<UserWithPassword>, StoreError> {
        let email = email.clone();
        let found = self
            .store
            .read(move |connection| {
                let email = email.clone();
                async move {
                    let row: Option<UserRow> = users::table
                        .filter(users::email.eq(email.as_str()))
                        .select(UserRow::as_select())
                        .get_result(connection)
                        .await
                        .optional()?;
                    let Some(row) = row else { return Ok(None) };
                    let roles = roles_of(connection, row.id).await?;
                    Ok(Some((row, roles)))
                }
                .boxed()
            })
            .await?;
        found
            .map(|(row, roles)| {
                let password_hash = row.password_hash.clone();
                Ok(UserWithPassword { user: row.read(roles)?, password_hash })
            })
            .transpose()
    }

    async fn list(&self, after: Option<Email>, limit: u32) -> Result<Vec<User>, StoreError> {
        let (rows, held): (Vec<UserRow>, Vec<(Uuid, String)>) = self
            .store
            .read(move |connection| {
                let after = after.clone();
                async move {
                    let mut page = users::table
                        .order(users::email)
                        .limit(i64::from(limit))
                        .select(UserRow::as_select())
                        .into_boxed();
                    if let Some(after) = &after {
                        page = page.filter(users::email.gt(after.as_str().to_owned()));
                    }
                    let rows: Vec<UserRow> = page.load(connection).await?;
                    let ids: Vec<Uuid> = rows.iter().map(|row| row.id).collect();
                    let held = user_roles::table
                        .inner_join(roles::table)
                        .filter(user_roles::user_id.eq_any(ids))
                        .select((user_roles::user_id, roles::name))
                        .load(connection)
                        .await?;
                    Ok((rows, held))
                }
                .boxed()
            })
            .await?;
        let mut by_user: HashMap<Uuid, Vec<String>> = HashMap::new();
        for (user, role) in held {
            by_user.entry(user).or_default().push(role);
        }
        rows.into_iter()
            .map(|row| {
                let roles = by_user.remove(&row.id).unwrap_or_default();
                row.read(roles)
            })
            .collect()
    }

    async fn roles(&self) -> Result<Vec<Role>, StoreError> {
        let rows: Vec<RoleRow> = self
            .store
            .read(|connection| roles::table.select(RoleRow::as_select()).load(connection).boxed())
            .await?;
        let mut roles = rows.into_iter().map(RoleRow::read).collect::<Result<Vec<_>, _>>()?;
        // By bytes, whatever the collation of the database.
        roles.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(roles)
    }

    async fn update(&self, before: &User, update: &UserUpdate, audit: &AuditEntry) -> Result<(), UserError> {
        let mut transaction = self.store.begin().await?;
        let outcome = change(&mut transaction, before, update, audit).await;
        if let Err(error) = outcome {
            transaction.rollback().await?;
            return Err(error);
        }
        record(&mut transaction, audit).await?;
        transaction.commit().await?;
        Ok(())
    }
}

/// Changes an account that is still as it was read.
async fn change(
    connection: &mut AsyncPgConnection,
    before: &User,
    update: &UserUpdate,
    audit: &AuditEntry,
) -> Result<(), UserError> {
    let id = before.id;
    lock_user(connection, id.as_uuid()).await?;
    // Read after the lock was given: only now nobody else changes it.
    let (row, roles) =
        find_user(connection, id.as_uuid()).await.map_err(store_error)?.ok_or(UserError::NotFound)?;
    if let Some(proof) = &update.proof {
        let holds = row.password_hash == proof.verified.0
            && is_live(connection, id, proof.session).await.map_err(store_error)?;
        if !holds {
            return Err(UserError::Changed);
        }
    }
    if decided(&row.read(roles)?) != decided(before) {
        return Err(UserError::Changed);
    }
    let pod = update.pod.as_ref().map(|pod| pod.as_ref().map(PodId::as_str));
    let slack = update.slack_user_id.as_ref().map(Option::as_deref);
    diesel::update(users::table.find(id.as_uuid()))
        .set((
            update.name.as_ref().map(|name| users::name.eq(name.as_str())),
            pod.map(|pod| users::pod_id.eq(pod)),
            update.active.map(|active| users::is_active.eq(active)),
            slack.map(|slack| {
                (users::slack_user_id.eq(slack), users::slack_not_found_at.eq(None::<Timestamp>))
            }),
            update.password_hash.as_ref().map(|hash| users::password_hash.eq(hash)),
            users::updated_at.eq(audit.at),
        ))
        .execute(connection)
        .await
        .map_err(|error| refusal(error, update.pod.as_ref().and_then(Option::as_ref)))?;
    if let Some(roles) = &update.roles {
        set_roles(connection, id, roles, audit.user, audit.at).await?;
    }
    if update.active == Some(false) || update.password_hash.is_some() {
        end_sessions(connection, id.as_uuid(), audit.at).await?;
    }
    Ok(())
}

/// What people decide about an account; a login changes none of it.
fn decided(user: &User) -> (&DisplayName, Option<&PodId>, &[String], bool, Option<&str>) {
    (&user.name, user.pod.as_ref(), &user.roles, user.active, user.slack_user_id.as_deref())
}

fn refusal(error: diesel::result::Error, pod: Option<&PodId>) -> UserError {
    match pod {
        _ if violates(&error, "users_email_key") => UserError::EmailTaken,
        _ if violates(&error, ONE_SLACK_USER) => UserError::SlackUserTaken,
        Some(pod) if violates(&error, "users_pod_id_fkey") => UserError::UnknownPod(pod.clone()),
        _ => store_error(error).into(),
    }
}

/// Makes these the roles of a person, and leaves alone what they had already.
async fn set_roles(
    connection: &mut AsyncPgConnection,
    user: UserId,
    names: &[String],
    by: Option<UserId>,
    now: Timestamp,
) -> Result<(), UserError> {
    let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let known: Vec<(Uuid, String)> = roles::table
        .filter(roles::name.eq_any(names.iter().copied().collect::<Vec<_>>()))
        .select((roles::id, roles::name))
        .load(connection)
        .await
        .map_err(store_error)?;
    if let Some(unknown) = names.iter().find(|name| !known.iter().any(|(_, known)| known == *name)) {
        return Err(UserError::UnknownRole((*unknown).to_owned()));
    }
    let ids: Vec<Uuid> = known.iter().map(|(id, _)| *id).collect();
    diesel::delete(
        user_roles::table
            .filter(user_roles::user_id.eq(user.as_uuid()))
            .filter(user_roles::role_id.ne_all(&ids)),
    )
    .execute(connection)
    .await
    .map_err(store_error)?;
    let rows: Vec<_> = ids
        .iter()
        .map(|role| {
            (
                user_roles::user_id.eq(user.as_uuid()),
                user_roles::role_id.eq(*role),
                user_roles::assigned_at.eq(now),
                user_roles::assigned_by.eq(by.map(UserId::as_uuid)),
            )
        })
        .collect();
    diesel::insert_into(user_roles::table)
        .values(rows)
        .on_conflict_do_nothing()
        .execute(connection)
        .await
        .map_err(store_error)?;
    Ok(())
}
