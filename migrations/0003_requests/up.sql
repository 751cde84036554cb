-- Requests, the approvals that they have, and what was told about them.

CREATE TABLE query_requests (
    id                     bigserial    PRIMARY KEY,
    uuid                   uuid         NOT NULL,
    -- Counts the stored changes; a change that is based on an older version is refused.
    version                bigint       NOT NULL CHECK (version >= 1),
    user_id                uuid         NOT NULL REFERENCES users (id),
    requester_email        varchar(254) NOT NULL,
    requester_name         varchar(120) NOT NULL,
    pod_id                 varchar(63)  NOT NULL REFERENCES pods (id),
    pod_name               varchar(120) NOT NULL,

    -- What was submitted: the target as it was then, the text, and the choices that go with it.
    database_type          varchar(16)  NOT NULL CHECK (database_type IN ('postgresql', 'mongodb')),
    instance_id            varchar(63)  NOT NULL REFERENCES database_instances (id),
    instance_name          varchar(120) NOT NULL,
    connection_revision    integer      NOT NULL,
    database_name          varchar(63)  NOT NULL,
    target_read_only       boolean      NOT NULL,
    target_search_path     text,
    submission_type        varchar(16)  NOT NULL CHECK (submission_type IN ('query', 'script')),
    query_content          text,
    script_filename        text,
    script_content         text,
    compiled               text[]       NOT NULL,
    comments               text,
    not_before             timestamptz,
    timeout_ms             bigint       NOT NULL CHECK (timeout_ms >= 0),
    lock_timeout_ms        bigint       NOT NULL CHECK (lock_timeout_ms >= 0),
    max_rows               bigint       NOT NULL CHECK (max_rows >= 0),
    max_bytes              bigint       NOT NULL CHECK (max_bytes >= 0),
    review                 jsonb        NOT NULL,
    approvals_needed       integer      NOT NULL CHECK (approvals_needed BETWEEN 0 AND 65535),
    approval_ttl_ms        bigint       NOT NULL CHECK (approval_ttl_ms >= 0),
    edited                 boolean      NOT NULL DEFAULT false,

    -- Where the request stands. A column that does not belong to the status is NULL.
    status                 varchar(16)  NOT NULL CHECK (status IN ('pending', 'approved', 'rejected', 'withdrawn',
                                            'expired', 'executing', 'completed', 'failed', 'cancelled', 'interrupted')),
    expires_at             timestamptz,
    approver_id            uuid         REFERENCES users (id),
    approver_email         varchar(254),
    approved_at            timestamptz,
    rejection_reason       text,
    rejected_at            timestamptz,
    withdrawn_at           timestamptz,
    expired_at             timestamptz,
    run_job_id             uuid,
    run_worker             text,
    execution_started_at   timestamptz,
    cancel_asked_at        timestamptz,
    cancel_asked_by        uuid         REFERENCES users (id),
    cancel_asked_by_email  varchar(254),
    lost_at                timestamptz,
    execution_completed_at timestamptz,
    -- The report and the first 100 rows. NULL in a completed request: the result was lost.
    execution_result       jsonb,
    execution_error        jsonb,
    resolution             jsonb,
    created_at             timestamptz  NOT NULL,
    updated_at             timestamptz  NOT NULL,

    CONSTRAINT query_requests_uuid_key UNIQUE (uuid),
    CONSTRAINT query_requests_content_check CHECK (
        CASE submission_type
            WHEN 'query'  THEN query_content IS NOT NULL AND script_content IS NULL
            WHEN 'script' THEN script_content IS NOT NULL AND query_content IS NULL
        END),
    CONSTRAINT query_requests_waiting_check CHECK (
        (status IN ('pending', 'approved')) = (expires_at IS NOT NULL)),
    CONSTRAINT query_requests_rejected_check CHECK (
        (status = 'rejected') = (rejected_at IS NOT NULL)
        AND (status = 'rejected') = (rejection_reason IS NOT NULL)),
    CONSTRAINT query_requests_withdrawn_check CHECK ((status = 'withdrawn') = (withdrawn_at IS NOT NULL)),
    CONSTRAINT query_requests_expired_check CHECK ((status = 'expired') = (expired_at IS NOT NULL)),
    CONSTRAINT query_requests_run_check CHECK (
        CASE
            WHEN status IN ('executing', 'completed', 'cancelled', 'interrupted')
                THEN num_nulls(run_job_id, run_worker, execution_started_at) = 0
            WHEN status = 'failed' THEN num_nulls(run_job_id, run_worker, execution_started_at) IN (0, 3)
            ELSE num_nulls(run_job_id, run_worker, execution_started_at) = 3
        END),
    CONSTRAINT query_requests_cancel_check CHECK (
        CASE
            WHEN status = 'cancelled' THEN cancel_asked_at IS NOT NULL
            WHEN status IN ('executing', 'interrupted') THEN true
            ELSE cancel_asked_at IS NULL
        END),
    CONSTRAINT query_requests_lost_check CHECK ((status = 'interrupted') = (lost_at IS NOT NULL)),
    CONSTRAINT query_requests_finished_check CHECK (
        (status IN ('completed', 'failed', 'cancelled')) = (execution_completed_at IS NOT NULL)),
    CONSTRAINT query_requests_outcome_check CHECK (
        (status = 'failed') = (execution_error IS NOT NULL)
        AND (status = 'completed' OR execution_result IS NULL)
        AND (status IN ('completed', 'failed') OR resolution IS NULL))
);

-- Lists are read by keyset, newest first.
CREATE INDEX query_requests_by_user ON query_requests (user_id, id DESC);
CREATE INDEX query_requests_by_pod ON query_requests (pod_id, id DESC);
CREATE INDEX query_requests_by_status ON query_requests (status, id DESC);
CREATE INDEX query_requests_by_instance ON query_requests (instance_id, id DESC);
CREATE INDEX query_requests_by_creation ON query_requests (created_at);
-- What the reaper looks for is always a small part of the table.
CREATE INDEX query_requests_waiting ON query_requests (expires_at) WHERE status IN ('pending', 'approved');
CREATE INDEX query_requests_executing ON query_requests (id) WHERE status = 'executing';

-- One person's approval of exactly what the digest stands for.
CREATE TABLE request_approvals (
    id             bigserial    PRIMARY KEY,
    request_id     bigint       NOT NULL REFERENCES query_requests (id),
    approver_id    uuid         NOT NULL REFERENCES users (id),
    approver_email varchar(254) NOT NULL,
    digest         varchar(64)  NOT NULL CHECK (digest ~ '^[0-9a-f]{64}$'),
    created_at     timestamptz  NOT NULL,
    -- Set when the request does not count the approval any more, above all after an edit.
    dropped_at     timestamptz
);

-- Two approvals come from two people.
CREATE UNIQUE INDEX request_approvals_one_each ON request_approvals (request_id, approver_id)
    WHERE dropped_at IS NULL;

CREATE TABLE slack_notifications (
    id                bigserial    PRIMARY KEY,
    request_id        bigint       NOT NULL REFERENCES query_requests (id),
    notification_type varchar(16)  NOT NULL CHECK (notification_type IN ('submitted', 'approved', 'rejected',
                                       'withdrawn', 'expired', 'completed', 'failed', 'cancelled', 'interrupted')),
    channel_type      varchar(16)  NOT NULL CHECK (channel_type IN ('channel', 'dm')),
    recipient         varchar(254) NOT NULL,
    message_ts        varchar(64),
    status            varchar(16)  NOT NULL CHECK (status IN ('pending', 'sent', 'failed')),
    error_message     text,
    created_at        timestamptz  NOT NULL,
    sent_at           timestamptz
);

CREATE INDEX slack_notifications_by_request ON slack_notifications (request_id);
