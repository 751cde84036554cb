-- A portal that has been used for years: {requests} requests of 300 developers in 20 PODs, against two instances.
-- The developer has every 200th, the manager's two PODs a tenth. Written straight into the tables, oldest first.

INSERT INTO pods (id, name, manager_email)
SELECT 'pod-' || n, 'POD ' || n, CASE WHEN n = 7 THEN 'manager@bench.example' END FROM generate_series(1, 19) AS n;

INSERT INTO users (id, email, password_hash, name, pod_id, created_at, updated_at)
SELECT gen_random_uuid(), 'seed-' || n || '@bench.example', 'none', 'seed-' || n, 'pod-' || (n % 19 + 1), now(), now()
FROM generate_series(1, 300) AS n;

INSERT INTO database_instances
SELECT (jsonb_populate_record(i, '{"id": "archive", "name": "Archive"}')).* FROM database_instances AS i WHERE id = 'shop';

INSERT INTO query_requests (
    uuid, version, user_id, requester_email, requester_name, pod_id, pod_name, database_type, instance_id,
    instance_name, connection_revision, database_name, target_read_only, submission_type, query_content, compiled,
    comments, timeout_ms, lock_timeout_ms, max_rows, max_bytes, review, approvals_needed, approval_ttl_ms, status,
    expires_at, approver_id, approver_email, approved_at, rejection_reason, rejected_at, withdrawn_at, expired_at,
    run_job_id, run_worker, execution_started_at, execution_completed_at, execution_result, execution_error,
    created_at, updated_at)
SELECT gen_random_uuid(), 3, u.id, u.email, u.name, p.id, p.name, 'postgresql', instance, instance, 1, 'shop', false,
    'query', 'SELECT * FROM orders WHERE customer_id = ' || n || ' AND ordered_at > now() - interval ''1 day'' /* '
        || repeat('why ', (hash % 40)::integer) || '*/', '{}',
    CASE WHEN n % 3 = 0 THEN 'Ticket ' || n END, 30000, 5000, 100000, 268435456,
    '{"effect": "read", "statements": 1, "findings": []}', 1, 259200000, status,
    CASE WHEN status = 'pending' THEN now() + interval '7 days' END,
    CASE WHEN ran THEN m.id END, CASE WHEN ran THEN m.email END, CASE WHEN ran THEN at END,
    CASE WHEN status = 'rejected' THEN 'Not on production.' END, CASE WHEN status = 'rejected' THEN at END,
    CASE WHEN status = 'withdrawn' THEN at END, CASE WHEN status = 'expired' THEN at END,
    CASE WHEN ran THEN gen_random_uuid() END, CASE WHEN ran THEN 'host:1:1' END, CASE WHEN ran THEN at END,
    CASE WHEN ran THEN at END,
    CASE WHEN status = 'completed' THEN '{"report": {"statements": [{"command": "SELECT", "columns": [{"name": "id",
        "type_name": "int4"}], "rows": 1, "affected": 1, "truncated": false}], "notices": [], "duration_micros": 900},
        "preview": [{"statement": 0, "json": "[1]"}]}'::jsonb END,
    CASE WHEN status = 'failed' THEN '{"kind": "database", "message": "relation does not exist"}'::jsonb END,
    at, at
FROM generate_series(1, {requests}) AS n
CROSS JOIN LATERAL (SELECT
    (hashint8(n)::bigint & 2147483647) AS hash,
    timestamptz '2022-01-01 00:00:00+00' + n * interval '2 minutes' AS at) AS random
CROSS JOIN LATERAL (SELECT
    CASE WHEN hash % 5 = 0 THEN 'archive' ELSE 'shop' END AS instance,
    CASE WHEN hash / 5 % 100 < 80 THEN 'completed' WHEN hash / 5 % 100 < 88 THEN 'failed'
         WHEN hash / 5 % 100 < 93 THEN 'rejected' WHEN hash / 5 % 100 < 96 THEN 'expired'
         WHEN hash / 5 % 100 < 98 THEN 'withdrawn' ELSE 'pending' END AS status) AS kind
CROSS JOIN LATERAL (SELECT status IN ('completed', 'failed') AS ran) AS state
JOIN (SELECT id, email, name, row_number() OVER (ORDER BY name) - 1 AS number FROM users WHERE name LIKE 'seed-%') AS seed
    ON seed.number = hash % 300
JOIN users AS u ON u.id = CASE WHEN n % 200 = 0 THEN (SELECT id FROM users WHERE name = 'developer') ELSE seed.id END
JOIN (SELECT id, name, row_number() OVER (ORDER BY id) - 1 AS number FROM pods) AS p ON p.number = hash / 500 % 20
JOIN users AS m ON m.name = 'manager'
ORDER BY n;
