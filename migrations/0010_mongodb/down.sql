ALTER TABLE query_requests DROP COLUMN extended_json;

ALTER TABLE database_instances
    DROP COLUMN next_sync_at,
    DROP COLUMN allow_server_javascript,
    DROP COLUMN allow_other_databases,
    DROP COLUMN connection_options,
    ALTER COLUMN host TYPE varchar(255);
