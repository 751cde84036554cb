-- What Slack needs, and credentials that the portal keeps itself.

-- Id or name of the channel in which the POD's requests are announced.
ALTER TABLE pods ADD COLUMN slack_channel varchar(80);

-- When somebody was looked for in Slack without success, last.
ALTER TABLE users ADD COLUMN slack_not_found_at timestamptz;

-- Who presses a button in Slack is one person here.
CREATE UNIQUE INDEX users_slack_user_id_key ON users (slack_user_id) WHERE slack_user_id IS NOT NULL;

ALTER TABLE database_instances
    -- What messages show of results.
    ADD COLUMN slack_results   varchar(16) NOT NULL DEFAULT 'preview' CHECK (slack_results IN ('preview', 'counts', 'none')),
    -- Whether the buttons in Slack decide.
    ADD COLUMN slack_decisions boolean     NOT NULL DEFAULT true;

ALTER TABLE slack_notifications
    -- A notification has one entry, whatever becomes of it.
    ADD COLUMN job_id        uuid,
    -- Since when it is not known whether Slack took the message.
    ADD COLUMN unclear_since timestamptz,
    -- Where the message is, beside its ts, in Slack's own words.
    ADD COLUMN channel_id    varchar(64),
    ADD CONSTRAINT slack_notifications_job_id_key UNIQUE (job_id);

-- Signed calls that were taken, for as long as their signatures would be accepted.
CREATE TABLE slack_calls (
    signature_hash varchar(64) PRIMARY KEY CHECK (signature_hash ~ '^[0-9a-f]{64}$'),
    received_at    timestamptz NOT NULL
);

CREATE INDEX slack_calls_by_time ON slack_calls (received_at);

-- The keys are not in the database.
CREATE TABLE sealed_credentials (
    -- Sorted by bytes, as the code sorts, whatever the collation of the database.
    reference  varchar(512) COLLATE "C" PRIMARY KEY,
    key_id     varchar(64)  NOT NULL,
    nonce      bytea        NOT NULL,
    ciphertext bytea        NOT NULL,
    sealed_at  timestamptz  NOT NULL
);

ALTER TABLE audit_logs
    DROP CONSTRAINT audit_logs_entity_type_check,
    ADD CONSTRAINT audit_logs_entity_type_check
        CHECK (entity_type IN ('request', 'user', 'session', 'pod', 'instance', 'database', 'credential'));
