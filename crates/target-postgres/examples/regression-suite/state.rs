//! What a session of `psql` carries from statement to statement, as far as the portal has to be told of it.
//!
//! A request has a session of its own. Settings that the suite has changed, and its temporary objects, are therefore
//! put before a statement that may need them: in the same request, so the portal keeps them as it promises to.

use std::collections::HashSet;

use crate::text::{after_temporary, belongs, name, only_reads, setting, words};

/// More than this is not put before a statement.
const LONGEST_PREFIX: usize = 100_000;

/// What a session remembers.
#[derive(Default)]
pub(crate) struct State {
    /// Settings by name, with the statements that set them.
    settings: Vec<(String, String)>,
    /// Names of objects that only this session sees.
    temporary: HashSet<String>,
    /// Those among them whose content cannot be made again, because of a COPY for example.
    lost: HashSet<String>,
    /// What made the temporary objects what they are.
    log: Vec<Logged>,
    /// The session's transactions are read-only by the suite's wish, which is not the portal's to follow.
    read_only: bool,
    /// The role that the suite has changed to.
    pub(crate) role: Option<String>,
}

/// One message of `psql` that has to be sent again before others.
struct Logged {
    sql: String,
    /// The temporary objects that are named in it.
    names: HashSet<String>,
    /// Those among them that it makes or changes.
    changes: HashSet<String>,
    statements: usize,
}

impl Logged {
    fn new(
        sql: &str,
        words: &[String],
        names: HashSet<String>,
        new: Option<String>,
        statements: usize,
    ) -> Self {
        let word = |at: usize| words.get(at).map_or("", String::as_str);
        let ties =
            ["inherit", "inherits", "partition", "references", "trigger", "rule", "index", "statistics"];
        let tied = words.iter().any(|w| ties.contains(&w.as_str()));
        let target = match (word(0), word(1)) {
            ("insert", "into") | ("delete", "from") | ("update", "only") => Some(word(2)),
            ("update", _) => Some(word(1)),
            ("create" | "select" | "declare", _) => new.as_deref(),
            _ => None,
        };
        let changes = match target.filter(|_| !tied) {
            Some(target) => HashSet::from([target.to_owned()]),
            None => names.clone(),
        };
        Self { sql: sql.to_owned(), names, changes, statements }
    }

    /// Whether a block can execute it. Cursors end with a block, and it forgets rows.
    fn fits_a_block(&self) -> bool {
        let first = words(&self.sql).into_iter().next().unwrap_or_default();
        ["create", "insert", "update", "delete", "alter", "truncate", "drop"].contains(&first.as_str())
    }
}

/// One statement that runs many, which takes much less time than as many statements of a request do.
fn block(logged: &[&Logged]) -> String {
    let executes = logged.iter().map(|one| format!("EXECUTE $again${}$again$;\n", one.sql));
    format!("DO $block$ BEGIN\n{}END $block$", executes.collect::<String>())
}

/// What comes before a unit in its request.
pub(crate) struct Prefix {
    pub(crate) texts: Vec<String>,
    pub(crate) statements: usize,
    /// Temporary objects are made again by it.
    pub(crate) makes_again: bool,
}

/// How a statement depends on the session, or changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bond {
    /// Neither.
    None,
    /// It needs what only this session has, or leaves something in it.
    Session,
    /// It needs something of the session that no prefix can bring back.
    Lost,
}

/// Functions whose answer depends on what the session did before, or that leave something in it.
const SESSION_FUNCTIONS: &[&str] = &[
    "currval",
    "lastval",
    "setseed",
    "pg_my_temp_schema",
    "pg_advisory_lock",
    "pg_advisory_lock_shared",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_unlock_shared",
    "pg_try_advisory_lock",
    "pg_try_advisory_lock_shared",
    "lo_open",
    "loread",
    "lowrite",
    "lo_lseek",
    "lo_tell",
    "lo_close",
];

impl State {
    /// How the statements of a unit depend on the session.
    pub(crate) fn bond(&self, statements: &[&str]) -> Bond {
        let mut bond = Bond::None;
        for sql in statements {
            let words = words(sql);
            let names = |names: &HashSet<String>| {
                words.iter().any(|word| names.iter().any(|name| belongs(word, name)))
            };
            let prepared = words.windows(2).any(|w| w[0] == "as" && w[1] == "execute");
            let numbered = words.iter().any(|w| w.starts_with("pg_temp_") || w.starts_with("pg_toast_temp_"));
            let asks = words.iter().any(|word| SESSION_FUNCTIONS.contains(&word.as_str()));
            if self.read_only || names(&self.lost) || prepared || numbered || asks {
                return Bond::Lost;
            }
            let holds = words.first().is_some_and(|w| w == "declare") && words.iter().any(|w| w == "hold");
            if setting(sql, &words).is_some()
                || holds
                || after_temporary(&words).is_some()
                || words.iter().any(|w| w == "pg_temp")
                || names(&self.temporary)
            {
                bond = Bond::Session;
            }
        }
        bond
    }

    /// What has to come before a unit; `None` when that is too much.
    pub(crate) fn prefix(&self, statements: &[&str]) -> Option<Prefix> {
        let mut needed: HashSet<&str> = HashSet::new();
        for word in statements.iter().flat_map(|sql| words(sql)) {
            needed.extend(self.temporary.iter().filter(|name| belongs(&word, name)).map(String::as_str));
        }
        // An object that another one is made of is needed too, whenever it was mentioned.
        let mut before = 0;
        while before != needed.len() {
            before = needed.len();
            for logged in &self.log {
                if logged.changes.iter().any(|name| needed.contains(name.as_str())) {
                    needed.extend(logged.names.iter().map(String::as_str));
                }
            }
        }
        let is_needed = |logged: &&Logged| logged.changes.iter().any(|name| needed.contains(name.as_str()));
        let log: Vec<&Logged> =
            self.log.iter().filter(is_needed).filter(|logged| !logged.sql.is_empty()).collect();
        let mut texts: Vec<String> = self.settings.iter().map(|(_, sql)| sql.clone()).collect();
        let mut statements = texts.len();
        for same in log.chunk_by(|one, next| one.fits_a_block() && next.fits_a_block()) {
            if same[0].fits_a_block() {
                statements += 1;
                texts.push(block(same));
            } else {
                statements += same[0].statements;
                texts.push(same[0].sql.clone());
            }
        }
        let length: usize = texts.iter().map(String::len).sum();
        let makes_again = !log.is_empty();
        (length < LONGEST_PREFIX).then_some(Prefix { texts, statements, makes_again })
    }

    /// Takes note of statements that `psql` has run successfully. `replayable` says whether the portal could run them.
    pub(crate) fn remember(&mut self, sql: &str, statements: usize, replayable: impl FnOnce() -> bool) {
        let words = words(sql);
        if words.iter().any(|w| w == "characteristics") {
            self.read_only = words.iter().any(|w| w == "only");
            return;
        }
        if words.first().is_some_and(|w| w == "discard")
            || (words.len() > 1 && words[0] == "reset" && words[1] == "all")
        {
            let role = self.role.take();
            let keep = words[0] == "reset";
            *self = if keep {
                Self { settings: Vec::new(), role, ..std::mem::take(self) }
            } else {
                Self::default()
            };
            return;
        }
        if let Some(name) = setting(sql, &words) {
            self.settings.retain(|(known, _)| *known != name);
            // A new session has the defaults anyway.
            let to_default = words[0] == "reset" || words.last().is_some_and(|w| w == "default");
            if !to_default && replayable() {
                self.settings.push((name, sql.to_owned()));
            }
            return;
        }
        let mentioned: HashSet<String> =
            words.iter().filter(|w| self.temporary.contains(*w)).cloned().collect();
        // `DROP TRIGGER x ON y` leaves y where it is.
        let dropped: HashSet<String> =
            words.iter().take_while(|w| *w != "on").filter(|w| mentioned.contains(*w)).cloned().collect();
        match words.first().map(String::as_str) {
            Some("drop" | "close") if !dropped.is_empty() => {
                return self.forget(dropped, sql, statements);
            }
            Some("close") if words.get(1).is_some_and(|w| w == "all") => {
                self.log.retain(|logged| !logged.sql.to_lowercase().contains("cursor"));
                return;
            }
            _ => {}
        }
        let creates = words.first().is_some_and(|w| w == "create" || w == "declare");
        let new = match after_temporary(&words) {
            Some(rest) => name(rest),
            None if words.iter().any(|w| w == "pg_temp") && creates => name(&words[1..]),
            None if words.first().is_some_and(|w| w == "declare") && words.iter().any(|w| w == "hold") => {
                words.get(1)
            }
            None if creates && !mentioned.is_empty() => name(&words[1..]),
            None if !mentioned.is_empty() && words.iter().any(|w| w == "rename") => words.last(),
            None => None,
        };
        let new = new.cloned();
        if new.is_none() && (mentioned.is_empty() || only_reads(&words)) {
            return;
        }
        let replayable = replayable();
        if !replayable {
            self.lost.extend(mentioned.iter().cloned());
            self.lost.extend(new.clone());
        }
        let permanent = new.is_some()
            && ["function", "procedure", "aggregate", "operator"]
                .iter()
                .any(|k| words[..words.len().min(4)].iter().any(|w| w == k))
            && !words.iter().any(|w| w == "pg_temp");
        let names: HashSet<String> = mentioned.into_iter().chain(new.clone()).collect();
        self.temporary.extend(new.clone());
        if permanent {
            // It is there for every session. What it uses is not.
            self.log.push(Logged {
                sql: String::new(),
                changes: HashSet::clone(&names),
                names,
                statements: 0,
            });
        } else if replayable {
            self.log.push(Logged::new(sql, &words, names, new, statements));
        }
    }

    /// Temporary objects were dropped, or cursors closed.
    fn forget(&mut self, gone: HashSet<String>, sql: &str, statements: usize) {
        self.temporary.retain(|name| !gone.contains(name));
        self.lost.retain(|name| !gone.contains(name));
        if self.temporary.is_empty() {
            self.log.clear();
        } else if words(sql)[0] == "close" {
            self.log.retain(|logged| logged.names.is_disjoint(&gone));
        } else {
            self.log.push(Logged::new(sql, &words(sql), gone, None, statements));
        }
    }
}
