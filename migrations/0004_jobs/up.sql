-- Background work, and the results that it produces.

CREATE TABLE jobs (
    id           uuid        PRIMARY KEY,
    kind         varchar(32) NOT NULL CHECK (kind IN ('execute_request', 'notify')),
    request_id   bigint      NOT NULL REFERENCES query_requests (id),
    payload      jsonb       NOT NULL DEFAULT '{}',
    status       varchar(16) NOT NULL CHECK (status IN ('pending', 'running', 'completed', 'failed', 'dropped')),
    -- Higher goes first.
    priority     integer     NOT NULL DEFAULT 0,
    attempts     integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    max_attempts integer     NOT NULL CHECK (max_attempts >= 1),
    -- Rises with every claim: whoever holds an older value has lost the job.
    fence        bigint      NOT NULL DEFAULT 0,
    worker       text,
    lease_until  timestamptz,
    scheduled_at timestamptz NOT NULL,
    started_at   timestamptz,
    completed_at timestamptz,
    failed_at    timestamptz,
    error        text,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT jobs_lease_check CHECK ((status = 'running') = (lease_until IS NOT NULL)),
    -- An execution is tried once, whatever happens.
    CONSTRAINT jobs_execute_once_check CHECK (kind <> 'execute_request' OR (max_attempts = 1 AND attempts <= 1))
);

-- A request has one execution at most, ever.
CREATE UNIQUE INDEX jobs_one_execution ON jobs (request_id) WHERE kind = 'execute_request';
CREATE INDEX jobs_by_request ON jobs (request_id);
CREATE INDEX jobs_due ON jobs (kind, priority DESC, scheduled_at, created_at, id) WHERE status = 'pending';
CREATE INDEX jobs_leased ON jobs (lease_until) WHERE status = 'running';

-- NDJSON, one zstd frame a chunk.
CREATE TABLE execution_result_chunks (
    request_id bigint  NOT NULL REFERENCES query_requests (id),
    seq        integer NOT NULL CHECK (seq >= 0),
    statement  bigint  NOT NULL CHECK (statement >= 0),
    row_count  bigint  NOT NULL CHECK (row_count >= 0),
    -- Before compression.
    byte_count bigint  NOT NULL CHECK (byte_count >= 0),
    data       bytea   NOT NULL,
    PRIMARY KEY (request_id, seq)
);

-- The data is compressed already.
ALTER TABLE execution_result_chunks ALTER COLUMN data SET STORAGE EXTERNAL;
