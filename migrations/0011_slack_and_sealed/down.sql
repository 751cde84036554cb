-- Entries about credentials stay on the trail; there will be no new ones.
ALTER TABLE audit_logs
    DROP CONSTRAINT audit_logs_entity_type_check,
    ADD CONSTRAINT audit_logs_entity_type_check
        CHECK (entity_type IN ('request', 'user', 'session', 'pod', 'instance', 'database')) NOT VALID;

DROP TABLE sealed_credentials;
DROP TABLE slack_calls;

ALTER TABLE slack_notifications
    DROP CONSTRAINT slack_notifications_job_id_key,
    DROP COLUMN channel_id,
    DROP COLUMN unclear_since,
    DROP COLUMN job_id;

ALTER TABLE database_instances
    DROP COLUMN slack_decisions,
    DROP COLUMN slack_results;

DROP INDEX users_slack_user_id_key;
ALTER TABLE users DROP COLUMN slack_not_found_at;
ALTER TABLE pods DROP COLUMN slack_channel;
