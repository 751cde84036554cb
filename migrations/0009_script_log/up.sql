-- What scripts said and did, line by line, as it happened. A log stays whatever becomes of its request.

CREATE TABLE script_log (
    request_id  bigint      NOT NULL REFERENCES query_requests (id) ON DELETE CASCADE,
    -- Counts from 1 in each request, without gaps.
    number      bigint      NOT NULL CHECK (number >= 1),
    at          timestamptz NOT NULL,

    -- A line of the console.
    level       varchar(8)  CHECK (level IN ('debug', 'log', 'info', 'warn', 'error')),
    text        text,

    -- A database call: the statement, never its parameters, and what became of it.
    call_number bigint      CHECK (call_number >= 0),
    call_kind   varchar(8)  CHECK (call_kind IN ('query', 'stream', 'begin', 'commit', 'rollback')),
    statement   text,
    affected    bigint      CHECK (affected >= 0),
    error       text,
    duration_us bigint      CHECK (duration_us >= 0),

    PRIMARY KEY (request_id, number),
    CONSTRAINT script_log_entry_check CHECK (
        CASE WHEN level IS NOT NULL
            THEN text IS NOT NULL
                AND num_nulls(call_number, call_kind, statement, affected, error, duration_us) = 6
            ELSE text IS NULL AND num_nulls(call_number, call_kind, duration_us) = 0
        END)
);
