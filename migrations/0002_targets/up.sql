-- The database servers that requests run against.

CREATE TABLE database_instances (
    id                    varchar(63)  COLLATE "C" NOT NULL CHECK (id ~ '^[a-z0-9][a-z0-9._-]*$'),
    name                  varchar(120) NOT NULL,
    type                  varchar(16)  NOT NULL CHECK (type IN ('postgresql', 'mongodb')),
    host                  varchar(255) NOT NULL,
    port                  integer      NOT NULL CHECK (port BETWEEN 0 AND 65535),
    tls_mode              varchar(16)  NOT NULL CHECK (tls_mode IN ('disable', 'require', 'verify-ca', 'verify-full')),
    description           text,
    -- Names a credential; it never holds one.
    credential_source     varchar(16)  NOT NULL CHECK (credential_source IN ('env', 'aws', 'sealed')),
    credential_reference  text         NOT NULL,
    connection_revision   integer      NOT NULL,
    -- The revision for which an admin bound the credentials; any other value means that none are bound.
    bound_revision        integer,
    is_active             boolean      NOT NULL DEFAULT true,
    read_only             boolean      NOT NULL,
    allow_privileged_role boolean      NOT NULL DEFAULT false,
    search_path           text,
    timeout_ms            bigint       NOT NULL CHECK (timeout_ms >= 0),
    lock_timeout_ms       bigint       NOT NULL CHECK (lock_timeout_ms >= 0),
    max_rows              bigint       NOT NULL CHECK (max_rows >= 0),
    max_bytes             bigint       NOT NULL CHECK (max_bytes >= 0),
    approvals_needed      integer      NOT NULL CHECK (approvals_needed BETWEEN 1 AND 65535),
    approval_ttl_ms       bigint       NOT NULL CHECK (approval_ttl_ms >= 0),
    last_sync_at          timestamptz,
    last_sync_status      varchar(16)  CHECK (last_sync_status IN ('succeeded', 'failed')),
    last_sync_error       text,
    created_at            timestamptz  NOT NULL,
    updated_at            timestamptz  NOT NULL,
    CONSTRAINT database_instances_pkey PRIMARY KEY (id)
);

-- The PODs that may submit to an instance and decide on what is submitted.
CREATE TABLE instance_pods (
    instance_id varchar(63) COLLATE "C" NOT NULL REFERENCES database_instances (id),
    pod_id      varchar(63) COLLATE "C" NOT NULL,
    PRIMARY KEY (instance_id, pod_id),
    CONSTRAINT instance_pods_pod_id_fkey FOREIGN KEY (pod_id) REFERENCES pods (id)
);

CREATE INDEX instance_pods_by_pod ON instance_pods (pod_id);

CREATE TABLE databases (
    id           bigserial   PRIMARY KEY,
    instance_id  varchar(63) NOT NULL REFERENCES database_instances (id),
    name         varchar(63) COLLATE "C" NOT NULL,
    description  text,
    source       varchar(16) NOT NULL CHECK (source IN ('synced', 'manual')),
    is_active    boolean     NOT NULL DEFAULT true,
    last_seen_at timestamptz,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    CONSTRAINT databases_instance_id_name_key UNIQUE (instance_id, name)
);
