//! Attempts to leave the rules: what each of them gets, and that the next execution on the same executor is clean.

mod left_behind;
mod read_only;
mod transactions;

use super::harness::{Db, Outcome};
use super::told::told;

/// What there is to be changed, and code that tries to.
const SET_UP: &str = "
    CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'a'), (2, 'b');
    CREATE SEQUENCE s; CREATE MATERIALIZED VIEW mv AS SELECT * FROM t;
    CREATE FUNCTION writes() RETURNS void LANGUAGE sql AS 'INSERT INTO t VALUES (99)';
    CREATE FUNCTION commits() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'COMMIT'; END $$;
    CREATE PROCEDURE write_it() LANGUAGE sql AS 'INSERT INTO t VALUES (99)';
    CREATE PROCEDURE commit_it() LANGUAGE plpgsql AS $$ BEGIN INSERT INTO t VALUES (98); COMMIT; END $$;
    CREATE PROCEDURE roll_it_back() LANGUAGE plpgsql AS $$ BEGIN ROLLBACK; INSERT INTO t VALUES (98); COMMIT; END $$;
";

/// Everything of the target that an attempt could have changed.
const DATA: &str = "
    SELECT pg_catalog.concat_ws(' | ',
        (SELECT pg_catalog.string_agg(t::text, ', ' ORDER BY id) FROM t),
        (SELECT pg_catalog.concat(last_value, is_called) FROM s),
        (SELECT pg_catalog.count(*) FROM pg_largeobject_metadata),
        (SELECT pg_catalog.string_agg(relname, ', ' ORDER BY oid) FROM pg_class
         WHERE oid >= 16384 AND relpersistence <> 't' AND relnamespace <> 'pg_toast'::regnamespace),
        (SELECT pg_catalog.string_agg(proname, ', ' ORDER BY oid) FROM pg_proc
         WHERE oid >= 16384 AND pronamespace = 'public'::regnamespace AND proname !~ '^dblink'),
        (SELECT pg_catalog.count(*) FROM pg_prepared_xacts WHERE database = pg_catalog.current_database()),
        (SELECT pg_catalog.string_agg(d::text, ', ') FROM pg_db_role_setting AS d WHERE setrole = $1::text::regrole),
        (SELECT a::text FROM pg_authid AS a WHERE oid = $1::text::regrole))";

/// What an execution can see of its session. The portal's own settings are among them, and its own statements not.
const SESSION: &str = "
    SELECT pg_catalog.concat_ws(' | ', current_user = session_user, pg_catalog.current_setting('role'),
        (SELECT pg_catalog.count(*) FROM pg_class WHERE relnamespace = pg_catalog.pg_my_temp_schema()),
        (SELECT pg_catalog.count(*) FROM pg_locks WHERE pid = pg_catalog.pg_backend_pid() AND locktype = 'advisory'),
        (SELECT pg_catalog.count(*) FROM pg_prepared_statements WHERE name !~ '^s[0-9]+$'),
        (SELECT pg_catalog.count(*) FROM pg_cursors WHERE name <> ''),
        (SELECT pg_catalog.count(*) FROM pg_catalog.pg_listening_channels()),
        pg_catalog.current_setting('app.kept', true), pg_catalog.current_setting('transaction_read_only'),
        (SELECT pg_catalog.string_agg(name || '=' || setting, ', ' ORDER BY name) FROM pg_settings
         WHERE source NOT IN ('default', 'override', 'command line', 'configuration file', 'environment variable'))),
        pg_catalog.pg_backend_pid()";

/// What sessions hold of the database, locks and temporary objects.
const HELD: &str = "
    SELECT (SELECT pg_catalog.count(*) FROM pg_locks WHERE pid <> pg_catalog.pg_backend_pid()
        AND database = (SELECT oid FROM pg_database WHERE datname = pg_catalog.current_database()))
    + (SELECT pg_catalog.count(*) FROM pg_class WHERE relpersistence = 't')
    + (SELECT pg_catalog.count(*) FROM pg_proc WHERE pronamespace::regnamespace::text ~ '^pg_temp')";

/// A target on which attempts are made one after the other, with one executor.
struct Target {
    db: Db,
    data: String,
    session: String,
    processes: Vec<i64>,
    told: String,
}

impl Target {
    async fn new() -> Self {
        let db = Db::new().await;
        db.run(SET_UP).await.report();
        db.admin.batch_execute("CREATE EXTENSION dblink").await.unwrap();
        let mut target = Self {
            db,
            data: String::new(),
            session: String::new(),
            processes: Vec::new(),
            told: String::new(),
        };
        target.data = target.data().await;
        target.session = target.session().await;
        target
    }

    async fn data(&self) -> String {
        self.db.admin.query_one(DATA, &[&self.db.role]).await.unwrap().get(0)
    }

    /// Runs an execution that looks at its session.
    async fn session(&mut self) -> String {
        let row = self.db.run(SESSION).await.rows().remove(0);
        let process = row[1].as_i64().unwrap();
        assert!(!self.processes.contains(&process), "a session was used twice");
        self.processes.push(process);
        row[0].as_str().unwrap().to_owned()
    }

    /// Makes an attempt, takes down what it gets, and looks at what it left.
    async fn attempt(&mut self, sql: &str, read_only: bool) -> Outcome {
        let outcome = if read_only { self.db.run_read_only(sql).await } else { self.db.run(sql).await };
        let told = told(sql, &outcome).replace(&self.db.role, "ROLE").replace(&self.db.name, "DATABASE");
        self.told.push_str(&told);
        assert_eq!(self.session().await, self.session, "{told}");
        self.wait_until_nothing_is_held(&told).await;
        assert_eq!(self.data().await, self.data, "{told}");
        outcome
    }

    /// A backend needs a moment to notice that its client is gone.
    async fn wait_until_nothing_is_held(&self, told: &str) {
        let started = std::time::Instant::now();
        while self.db.count(HELD).await > 0 {
            assert!(started.elapsed() < std::time::Duration::from_secs(5), "something is held: {told}");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    async fn finish(self) -> String {
        self.db.finish().await;
        self.told
    }
}
