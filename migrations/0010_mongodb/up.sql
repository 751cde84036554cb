-- What MongoDB needs, and when the databases of an instance are looked up again.

ALTER TABLE database_instances
    -- Several hosts, separated by commas.
    ALTER COLUMN host TYPE varchar(2000),
    -- What else belongs to the address, as in a connection string.
    ADD COLUMN connection_options      text,
    ADD COLUMN allow_other_databases   boolean NOT NULL DEFAULT false,
    ADD COLUMN allow_server_javascript boolean NOT NULL DEFAULT false,
    -- NULL: at once.
    ADD COLUMN next_sync_at            timestamptz;

-- How documents are written in the result.
ALTER TABLE query_requests
    ADD COLUMN extended_json varchar(16) NOT NULL DEFAULT 'relaxed' CHECK (extended_json IN ('relaxed', 'canonical'));
