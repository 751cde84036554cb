//! What each kind of statement of the parser may do here. There is no arm for "anything else": a new version of
//! the parser that knows a new kind does not compile until somebody decides on it.

use squawk_syntax::ast::Stmt;

use super::Class;

/// What the parser's kind means: the keywords with which PostgreSQL begins such a statement, and its class.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Allowed(&'static [&'static str], Class),
    /// Refused whatever its words are.
    Refused,
    /// `EXPLAIN` does what its options and the statement inside it make of it.
    Explain,
    Empty,
}

/// Decides on a kind. What depends on a statement's words beyond its kind is decided elsewhere.
pub(crate) fn verdict(stmt: &Stmt) -> Verdict {
    use Class::{Administrative, Alone, Code, Cursor, Read, Session, Write};
    use Verdict::{Allowed, Empty, Explain, Refused};
    match stmt {
        Stmt::Select(_) => Allowed(&["select", "with"], Read),
        Stmt::CompoundSelect(_) | Stmt::ParenSelect(_) => {
            Allowed(&["select", "with", "values", "table"], Read)
        }
        Stmt::Table(_) => Allowed(&["table", "with"], Read),
        Stmt::Values(_) => Allowed(&["values", "with"], Read),
        Stmt::Show(_) => Allowed(&["show"], Read),
        Stmt::Explain(_) => Explain,
        Stmt::Insert(_) => Allowed(&["insert", "with"], Write),
        Stmt::Update(_) => Allowed(&["update", "with"], Write),
        Stmt::Delete(_) => Allowed(&["delete", "with"], Write),
        Stmt::Merge(_) => Allowed(&["merge", "with"], Write),
        Stmt::Truncate(_) => Allowed(&["truncate"], Write),
        Stmt::Lock(_) => Allowed(&["lock"], Write),
        Stmt::Notify(_) => Allowed(&["notify"], Write),
        Stmt::Call(_) => Allowed(&["call"], Code),
        Stmt::Do(_) => Allowed(&["do"], Code),
        Stmt::Set(_) | Stmt::SetConstraints(_) => Allowed(&["set"], Session),
        Stmt::Reset(_) => Allowed(&["reset"], Session),
        Stmt::Declare(_) => Allowed(&["declare"], Cursor),
        Stmt::Fetch(_) => Allowed(&["fetch"], Cursor),
        Stmt::Move(_) => Allowed(&["move"], Cursor),
        Stmt::Close(_) => Allowed(&["close"], Cursor),
        Stmt::SelectInto(_) => Allowed(&["select", "with"], Administrative),
        Stmt::Analyze(_) => Allowed(&["analyze", "analyse"], Administrative),
        Stmt::CommentOn(_) => Allowed(&["comment"], Administrative),
        Stmt::Grant(_) => Allowed(&["grant"], Administrative),
        Stmt::Revoke(_) => Allowed(&["revoke"], Administrative),
        Stmt::ImportForeignSchema(_) => Allowed(&["import"], Administrative),
        Stmt::Reassign(_) => Allowed(&["reassign"], Administrative),
        Stmt::Refresh(_) => Allowed(&["refresh"], Administrative),
        Stmt::SecurityLabel(_) => Allowed(&["security"], Administrative),
        Stmt::Cluster(_) => Allowed(&["cluster"], Administrative),
        Stmt::Reindex(_) => Allowed(&["reindex"], Administrative),
        Stmt::Vacuum(_) => Allowed(&["vacuum"], Alone),
        Stmt::Repack(_) => Allowed(&["repack"], Alone),
        Stmt::CreateDatabase(_) | Stmt::CreateTablespace(_) | Stmt::CreateSubscription(_) => {
            Allowed(&["create"], Alone)
        }
        Stmt::DropDatabase(_) | Stmt::DropTablespace(_) | Stmt::DropSubscription(_) => {
            Allowed(&["drop"], Alone)
        }
        Stmt::AlterSubscription(_) => Allowed(&["alter"], Alone),
        Stmt::AlterDatabase(_)
        | Stmt::AlterTable(_)
        | Stmt::AlterAggregate(_)
        | Stmt::AlterCollation(_)
        | Stmt::AlterConversion(_)
        | Stmt::AlterDefaultPrivileges(_)
        | Stmt::AlterDomain(_)
        | Stmt::AlterEventTrigger(_)
        | Stmt::AlterExtension(_)
        | Stmt::AlterForeignDataWrapper(_)
        | Stmt::AlterForeignTable(_)
        | Stmt::AlterFunction(_)
        | Stmt::AlterGroup(_)
        | Stmt::AlterIndex(_)
        | Stmt::AlterLanguage(_)
        | Stmt::AlterLargeObject(_)
        | Stmt::AlterMaterializedView(_)
        | Stmt::AlterOperator(_)
        | Stmt::AlterOperatorClass(_)
        | Stmt::AlterOperatorFamily(_)
        | Stmt::AlterPolicy(_)
        | Stmt::AlterProcedure(_)
        | Stmt::AlterPropertyGraph(_)
        | Stmt::AlterPublication(_)
        | Stmt::AlterRole(_)
        | Stmt::AlterRoutine(_)
        | Stmt::AlterRule(_)
        | Stmt::AlterSchema(_)
        | Stmt::AlterSequence(_)
        | Stmt::AlterServer(_)
        | Stmt::AlterStatistics(_)
        | Stmt::AlterTablespace(_)
        | Stmt::AlterTextSearchConfiguration(_)
        | Stmt::AlterTextSearchDictionary(_)
        | Stmt::AlterTextSearchParser(_)
        | Stmt::AlterTextSearchTemplate(_)
        | Stmt::AlterTrigger(_)
        | Stmt::AlterType(_)
        | Stmt::AlterUser(_)
        | Stmt::AlterUserMapping(_)
        | Stmt::AlterView(_) => Allowed(&["alter"], Administrative),
        Stmt::CreateIndex(_)
        | Stmt::CreateTableAs(_)
        | Stmt::CreateAccessMethod(_)
        | Stmt::CreateAggregate(_)
        | Stmt::CreateCast(_)
        | Stmt::CreateCollation(_)
        | Stmt::CreateConversion(_)
        | Stmt::CreateDomain(_)
        | Stmt::CreateEventTrigger(_)
        | Stmt::CreateExtension(_)
        | Stmt::CreateForeignDataWrapper(_)
        | Stmt::CreateForeignTable(_)
        | Stmt::CreateFunction(_)
        | Stmt::CreateGroup(_)
        | Stmt::CreateLanguage(_)
        | Stmt::CreateMaterializedView(_)
        | Stmt::CreateOperator(_)
        | Stmt::CreateOperatorClass(_)
        | Stmt::CreateOperatorFamily(_)
        | Stmt::CreatePolicy(_)
        | Stmt::CreateProcedure(_)
        | Stmt::CreatePropertyGraph(_)
        | Stmt::CreatePublication(_)
        | Stmt::CreateRole(_)
        | Stmt::CreateRule(_)
        | Stmt::CreateSchema(_)
        | Stmt::CreateSequence(_)
        | Stmt::CreateServer(_)
        | Stmt::CreateStatistics(_)
        | Stmt::CreateTable(_)
        | Stmt::CreateTextSearchConfiguration(_)
        | Stmt::CreateTextSearchDictionary(_)
        | Stmt::CreateTextSearchParser(_)
        | Stmt::CreateTextSearchTemplate(_)
        | Stmt::CreateTransform(_)
        | Stmt::CreateTrigger(_)
        | Stmt::CreateType(_)
        | Stmt::CreateUser(_)
        | Stmt::CreateUserMapping(_)
        | Stmt::CreateView(_) => Allowed(&["create"], Administrative),
        Stmt::DropIndex(_)
        | Stmt::DropAccessMethod(_)
        | Stmt::DropAggregate(_)
        | Stmt::DropCast(_)
        | Stmt::DropCollation(_)
        | Stmt::DropConversion(_)
        | Stmt::DropDomain(_)
        | Stmt::DropEventTrigger(_)
        | Stmt::DropExtension(_)
        | Stmt::DropForeignDataWrapper(_)
        | Stmt::DropForeignTable(_)
        | Stmt::DropFunction(_)
        | Stmt::DropGroup(_)
        | Stmt::DropLanguage(_)
        | Stmt::DropMaterializedView(_)
        | Stmt::DropOperator(_)
        | Stmt::DropOperatorClass(_)
        | Stmt::DropOperatorFamily(_)
        | Stmt::DropOwned(_)
        | Stmt::DropPolicy(_)
        | Stmt::DropProcedure(_)
        | Stmt::DropPropertyGraph(_)
        | Stmt::DropPublication(_)
        | Stmt::DropRole(_)
        | Stmt::DropRoutine(_)
        | Stmt::DropRule(_)
        | Stmt::DropSchema(_)
        | Stmt::DropSequence(_)
        | Stmt::DropServer(_)
        | Stmt::DropStatistics(_)
        | Stmt::DropTable(_)
        | Stmt::DropTextSearchConfig(_)
        | Stmt::DropTextSearchDict(_)
        | Stmt::DropTextSearchParser(_)
        | Stmt::DropTextSearchTemplate(_)
        | Stmt::DropTransform(_)
        | Stmt::DropTrigger(_)
        | Stmt::DropType(_)
        | Stmt::DropUser(_)
        | Stmt::DropUserMapping(_)
        | Stmt::DropView(_) => Allowed(&["drop"], Administrative),
        Stmt::Begin(_)
        | Stmt::Commit(_)
        | Stmt::Rollback(_)
        | Stmt::SavepointCreate(_)
        | Stmt::ReleaseSavepoint(_)
        | Stmt::PrepareTransaction(_)
        | Stmt::SetTransaction(_)
        | Stmt::SetRole(_)
        | Stmt::SetSessionAuth(_)
        | Stmt::ResetRole(_)
        | Stmt::ResetSessionAuth(_)
        | Stmt::AlterSystem(_)
        | Stmt::Checkpoint(_)
        | Stmt::Copy(_)
        | Stmt::Deallocate(_)
        | Stmt::Discard(_)
        | Stmt::Execute(_)
        | Stmt::Listen(_)
        | Stmt::Load(_)
        | Stmt::Prepare(_)
        | Stmt::Unlisten(_) => Refused,
        Stmt::EmptyStmt(_) => Empty,
    }
}
