-- The audit trail: rows come, and never change or go.

CREATE TABLE audit_logs (
    id          bigserial   PRIMARY KEY,
    user_id     uuid        REFERENCES users (id),
    action      varchar(63) NOT NULL,
    entity_type varchar(16) NOT NULL CHECK (entity_type IN ('request', 'user', 'session', 'pod', 'instance', 'database')),
    entity_id   text        NOT NULL,
    old_values  jsonb,
    new_values  jsonb,
    ip_address  varchar(64),
    user_agent  text,
    channel     varchar(16) NOT NULL CHECK (channel IN ('api', 'cli', 'slack', 'system')),
    created_at  timestamptz NOT NULL
);

CREATE INDEX audit_logs_by_entity ON audit_logs (entity_type, entity_id, id DESC);
CREATE INDEX audit_logs_by_user ON audit_logs (user_id, id DESC);
CREATE INDEX audit_logs_by_action ON audit_logs (action, id DESC);
CREATE INDEX audit_logs_by_time ON audit_logs (created_at);

-- Each row's hash covers the entry and the hash before it, so that a changed entry shows.
CREATE TABLE audit_chain (
    position      bigint      PRIMARY KEY CHECK (position >= 1),
    audit_id      bigint      NOT NULL REFERENCES audit_logs (id),
    previous_hash bytea       NOT NULL CHECK (octet_length(previous_hash) = 32),
    hash          bytea       NOT NULL CHECK (octet_length(hash) = 32),
    sealed_at     timestamptz NOT NULL,
    CONSTRAINT audit_chain_audit_id_key UNIQUE (audit_id)
);

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE TRIGGER audit_logs_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_logs
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_chain_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_chain
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

-- An ordinary trigger is silent while session_replication_role is "replica"; these are not.
ALTER TABLE audit_logs ENABLE ALWAYS TRIGGER audit_logs_append_only;
ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER audit_chain_append_only;
