-- People, their PODs and roles, and their sessions.

CREATE TABLE pods (
    -- Sorted by bytes, as the code sorts, whatever the collation of the database.
    id            varchar(63)  COLLATE "C" PRIMARY KEY CHECK (id ~ '^[a-z0-9][a-z0-9._-]*$'),
    name          varchar(120) NOT NULL,
    manager_email varchar(254) COLLATE "C" CHECK (manager_email = lower(manager_email)),
    description   text,
    is_active     boolean      NOT NULL DEFAULT true,
    created_at    timestamptz  NOT NULL DEFAULT now()
);

-- Every call asks which PODs name the caller.
CREATE INDEX pods_by_manager ON pods (manager_email) WHERE manager_email IS NOT NULL;

CREATE TABLE users (
    id            uuid         PRIMARY KEY,
    email         varchar(254) COLLATE "C" NOT NULL CHECK (email = lower(email)),
    password_hash varchar(255) NOT NULL,
    name          varchar(120) NOT NULL,
    pod_id        varchar(63),
    slack_user_id varchar(64),
    is_active     boolean      NOT NULL DEFAULT true,
    last_login    timestamptz,
    created_at    timestamptz  NOT NULL,
    updated_at    timestamptz  NOT NULL,
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_pod_id_fkey FOREIGN KEY (pod_id) REFERENCES pods (id)
);

CREATE INDEX users_by_pod ON users (pod_id) WHERE pod_id IS NOT NULL;

CREATE TABLE roles (
    id          uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    name        varchar(63) NOT NULL,
    description text        NOT NULL,
    permissions jsonb       NOT NULL CHECK (jsonb_typeof(permissions) = 'array'),
    created_at  timestamptz NOT NULL DEFAULT now(),
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT roles_name_key UNIQUE (name)
);

CREATE TABLE user_roles (
    user_id     uuid        NOT NULL REFERENCES users (id),
    role_id     uuid        NOT NULL REFERENCES roles (id),
    assigned_at timestamptz NOT NULL,
    assigned_by uuid        REFERENCES users (id),
    PRIMARY KEY (user_id, role_id)
);

CREATE INDEX user_roles_by_role ON user_roles (role_id);

-- A row is one refresh token; the rows with one session_id are one login.
CREATE TABLE refresh_tokens (
    id          bigserial   PRIMARY KEY,
    session_id  uuid        NOT NULL,
    user_id     uuid        NOT NULL REFERENCES users (id),
    token_hash  varchar(64) NOT NULL CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    device_info text,
    ip_address  varchar(64),
    expires_at  timestamptz NOT NULL,
    rotated_at  timestamptz,
    is_revoked  boolean     NOT NULL DEFAULT false,
    revoked_at  timestamptz,
    created_at  timestamptz NOT NULL,
    CONSTRAINT refresh_tokens_token_hash_key UNIQUE (token_hash),
    CHECK (is_revoked = (revoked_at IS NOT NULL))
);

-- A session has one token at most that is good for another rotation.
CREATE UNIQUE INDEX refresh_tokens_current ON refresh_tokens (session_id)
    WHERE rotated_at IS NULL AND NOT is_revoked;
CREATE INDEX refresh_tokens_by_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user_id) WHERE NOT is_revoked;
CREATE INDEX refresh_tokens_by_expiry ON refresh_tokens (expires_at);

CREATE TABLE access_token_blacklist (
    id         bigserial   PRIMARY KEY,
    token_hash varchar(64) NOT NULL CHECK (token_hash ~ '^[0-9a-f]{64}$'),
    user_id    uuid        NOT NULL REFERENCES users (id),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz NOT NULL,
    reason     varchar(63) NOT NULL CHECK (reason IN ('logout')),
    CONSTRAINT access_token_blacklist_token_hash_key UNIQUE (token_hash)
);

CREATE INDEX access_token_blacklist_by_expiry ON access_token_blacklist (expires_at);

CREATE TABLE user_token_invalidation (
    user_id        uuid        PRIMARY KEY REFERENCES users (id),
    invalidated_at timestamptz NOT NULL
);
