-- What a client's idempotency key stands for. A row is worth something until expires_at; the reaper deletes it later.

CREATE TABLE idempotency_keys (
    id           bigserial    PRIMARY KEY,
    user_id      uuid         NOT NULL REFERENCES users (id),
    key          varchar(255) COLLATE "C" NOT NULL CHECK (key <> ''),
    -- SHA-256 of everything that was asked for.
    fingerprint  varchar(64)  NOT NULL CHECK (fingerprint ~ '^[0-9a-f]{64}$'),
    -- The key is taken before the request is written, so that of many calls at once all but one write nothing.
    request_uuid uuid         NOT NULL REFERENCES query_requests (uuid) DEFERRABLE INITIALLY DEFERRED,
    expires_at   timestamptz  NOT NULL,
    CONSTRAINT idempotency_keys_user_id_key_key UNIQUE (user_id, key)
);

CREATE INDEX idempotency_keys_by_end ON idempotency_keys (expires_at);
