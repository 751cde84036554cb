//! Which commands run, and of each which fields: everything that is not listed here is refused.
//!
//! Source: "Database Commands" in MongoDB's manual, <https://www.mongodb.com/docs/manual/reference/command/>.

use domain::review::Effect;

/// What a field of a command holds, as far as the rules look into it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Field {
    /// Values that the server does not evaluate, and settings.
    Plain,
    /// True or false.
    Flag,
    /// Makes the server delete documents by itself.
    Expires,
    /// One index or several.
    Indexes,
    /// A filter, a projection, or variables: expressions, which may hold JavaScript.
    Expression,
    /// The name of a collection, of the same database.
    Collection,
    Pipeline,
    /// The pipeline of a view, which may only read.
    View,
    Updates,
    Deletes,
    /// What `findAndModify` does to the document.
    Update,
    /// The command that `explain` explains.
    Explained,
    /// Where `mapReduce` writes to.
    MapReduceOut,
    /// JavaScript for the server.
    JavaScript,
}

use Field::{
    Collection, Deletes, Expires, Explained, Expression, Flag, Indexes, JavaScript, MapReduceOut, Pipeline,
    Plain, Update, Updates, View,
};

/// What a command answers with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Answer {
    /// A cursor: each document is a row.
    Cursor,
    /// The server's reply is the one row.
    Reply,
    /// The values of this field of the reply are rows.
    Values(&'static str),
    /// This field of the reply is the one row.
    Value(&'static str),
    /// A document that was found, or nothing.
    Found,
    /// Counts of what was written; no row.
    Written,
    /// That it was done; no row.
    Done,
}

/// A command that may run.
#[derive(Debug)]
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
    pub(crate) answer: Answer,
    /// Whether the server runs it inside of a transaction.
    pub(crate) in_transaction: bool,
    /// Whether its first field names a collection.
    pub(super) of_collection: bool,
    pub(super) fields: &'static [(&'static str, Field)],
}

const READS: Spec = Spec {
    name: "",
    effect: Effect::Read,
    answer: Answer::Reply,
    in_transaction: false,
    of_collection: true,
    fields: &[],
};

const WRITES: Spec = Spec { effect: Effect::Write, answer: Answer::Written, in_transaction: true, ..READS };

const ADMINISTERS: Spec = Spec { effect: Effect::Administrative, answer: Answer::Done, ..READS };

/// These may be in every command.
pub(super) const EVERYWHERE: &[&str] = &["comment", "maxTimeMS"];

pub(super) const COMMANDS: &[Spec] = &[
    Spec {
        name: "aggregate",
        answer: Answer::Cursor,
        in_transaction: true,
        // It is 1 for a pipeline that reads no collection; the check knows.
        fields: &[
            ("pipeline", Pipeline),
            ("cursor", Plain),
            ("allowDiskUse", Plain),
            ("bypassDocumentValidation", Plain),
            ("collation", Plain),
            ("hint", Plain),
            ("let", Expression),
            ("readConcern", Plain),
            ("writeConcern", Plain),
        ],
        ..READS
    },
    Spec { name: "buildInfo", of_collection: false, ..READS },
    Spec {
        name: "collMod",
        fields: &[
            ("index", Indexes),
            ("validator", Expression),
            ("validationLevel", Plain),
            ("validationAction", Plain),
            ("viewOn", Collection),
            ("pipeline", View),
            ("expireAfterSeconds", Expires),
            ("timeseries", Plain),
            ("cappedSize", Expires),
            ("cappedMax", Expires),
            ("changeStreamPreAndPostImages", Plain),
            ("writeConcern", Plain),
        ],
        ..ADMINISTERS
    },
    Spec { name: "collStats", fields: &[("scale", Plain)], ..READS },
    Spec {
        name: "count",
        answer: Answer::Value("n"),
        fields: &[
            ("query", Expression),
            ("limit", Plain),
            ("skip", Plain),
            ("hint", Plain),
            ("collation", Plain),
            ("readConcern", Plain),
        ],
        ..READS
    },
    Spec {
        name: "create",
        fields: &[
            ("capped", Plain),
            ("size", Plain),
            ("max", Plain),
            ("timeseries", Plain),
            ("expireAfterSeconds", Expires),
            ("clusteredIndex", Plain),
            ("changeStreamPreAndPostImages", Plain),
            ("validator", Expression),
            ("validationLevel", Plain),
            ("validationAction", Plain),
            ("viewOn", Collection),
            ("pipeline", View),
            ("collation", Plain),
            ("writeConcern", Plain),
        ],
        ..ADMINISTERS
    },
    Spec {
        name: "createIndexes",
        fields: &[("indexes", Indexes), ("commitQuorum", Plain), ("writeConcern", Plain)],
        ..ADMINISTERS
    },
    Spec {
        name: "dbStats",
        of_collection: false,
        fields: &[("scale", Plain), ("freeStorage", Plain)],
        ..READS
    },
    Spec {
        name: "delete",
        fields: &[("deletes", Deletes), ("ordered", Flag), ("let", Expression), ("writeConcern", Plain)],
        ..WRITES
    },
    Spec {
        name: "distinct",
        answer: Answer::Values("values"),
        in_transaction: true,
        fields: &[
            ("key", Plain),
            ("query", Expression),
            ("collation", Plain),
            ("hint", Plain),
            ("readConcern", Plain),
        ],
        ..READS
    },
    Spec { name: "drop", fields: &[("writeConcern", Plain)], ..ADMINISTERS },
    Spec { name: "dropIndexes", fields: &[("index", Plain), ("writeConcern", Plain)], ..ADMINISTERS },
    Spec {
        name: "explain",
        of_collection: false,
        fields: &[("explain", Explained), ("verbosity", Plain)],
        ..READS
    },
    Spec {
        name: "find",
        answer: Answer::Cursor,
        in_transaction: true,
        fields: &[
            ("filter", Expression),
            ("sort", Expression),
            ("projection", Expression),
            ("hint", Plain),
            ("skip", Plain),
            ("limit", Plain),
            ("batchSize", Plain),
            ("singleBatch", Plain),
            ("max", Plain),
            ("min", Plain),
            ("returnKey", Plain),
            ("showRecordId", Plain),
            ("collation", Plain),
            ("allowDiskUse", Plain),
            ("allowPartialResults", Plain),
            ("let", Expression),
            ("readConcern", Plain),
        ],
        ..READS
    },
    Spec {
        name: "findAndModify",
        answer: Answer::Found,
        fields: &[
            ("query", Expression),
            ("sort", Expression),
            ("remove", Flag),
            ("update", Update),
            ("new", Flag),
            ("fields", Expression),
            ("upsert", Flag),
            ("bypassDocumentValidation", Plain),
            ("collation", Plain),
            ("arrayFilters", Expression),
            ("hint", Plain),
            ("let", Expression),
            ("writeConcern", Plain),
        ],
        ..WRITES
    },
    Spec {
        name: "insert",
        fields: &[
            // They are stored as they are; nothing in them is evaluated.
            ("documents", Plain),
            ("ordered", Flag),
            ("bypassDocumentValidation", Plain),
            ("writeConcern", Plain),
        ],
        ..WRITES
    },
    Spec {
        name: "listCollections",
        answer: Answer::Cursor,
        of_collection: false,
        fields: &[
            ("filter", Expression),
            ("nameOnly", Plain),
            ("authorizedCollections", Plain),
            ("cursor", Plain),
        ],
        ..READS
    },
    Spec { name: "listIndexes", answer: Answer::Cursor, fields: &[("cursor", Plain)], ..READS },
    Spec {
        name: "mapReduce",
        fields: &[
            ("map", JavaScript),
            ("reduce", JavaScript),
            ("finalize", JavaScript),
            ("out", MapReduceOut),
            ("query", Expression),
            ("sort", Plain),
            ("limit", Plain),
            ("scope", Plain),
            ("jsMode", Plain),
            ("verbose", Plain),
            ("collation", Plain),
            ("bypassDocumentValidation", Plain),
            ("writeConcern", Plain),
        ],
        ..READS
    },
    Spec { name: "ping", of_collection: false, ..READS },
    Spec {
        name: "update",
        fields: &[
            ("updates", Updates),
            ("ordered", Flag),
            ("bypassDocumentValidation", Plain),
            ("let", Expression),
            ("writeConcern", Plain),
        ],
        ..WRITES
    },
];

/// Commands of the database `admin` that look at the server as a whole. They need a target that admits other databases.
pub(super) const OF_SERVER: &[Spec] = &[
    Spec { name: "buildInfo", of_collection: false, ..READS },
    Spec { name: "hello", of_collection: false, ..READS },
    Spec {
        name: "listDatabases",
        answer: Answer::Values("databases"),
        of_collection: false,
        fields: &[("filter", Expression), ("nameOnly", Plain), ("authorizedDatabases", Plain)],
        ..READS
    },
    Spec { name: "ping", of_collection: false, ..READS },
    Spec { name: "replSetGetStatus", of_collection: false, ..READS },
    Spec { name: "serverStatus", of_collection: false, ..READS },
];

/// A command by its name, under which older servers know it in lower case, too.
pub(super) fn named(table: &'static [Spec], name: &str) -> Option<&'static Spec> {
    const SPELLINGS: &[(&str, &str)] = &[
        ("buildinfo", "buildInfo"),
        ("collstats", "collStats"),
        ("dbstats", "dbStats"),
        ("findandmodify", "findAndModify"),
        ("mapreduce", "mapReduce"),
    ];
    let name = SPELLINGS.iter().find(|(other, _)| *other == name).map_or(name, |(_, name)| name);
    table.iter().find(|spec| spec.name == name)
}

/// Fields that a person may expect, with the reason why they are not there.
pub(super) fn why_not(field: &str) -> Option<&'static str> {
    Some(match field {
        "tailable" | "awaitData" | "noCursorTimeout" | "oplogReplay" => {
            "a cursor that waits for what comes would never end"
        }
        "lsid" | "txnNumber" | "autocommit" | "startTransaction" | "stmtId" | "stmtIds" => {
            "sessions and transactions are the portal's to keep"
        }
        "apiVersion" | "apiStrict" | "apiDeprecationErrors" => {
            "the portal speaks to the server as one client"
        }
        "explain" => "write {\"explain\": {...the command...}} instead",
        _ if field.starts_with('$') => "what starts with $ is between the portal and the server",
        _ => return None,
    })
}
