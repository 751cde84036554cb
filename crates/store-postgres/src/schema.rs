//! The tables, as diesel sees them. A test compares this page with the database after all migrations.

diesel::table! {
    access_token_blacklist (id) {
        id -> Int8,
        token_hash -> Varchar,
        user_id -> Uuid,
        expires_at -> Timestamptz,
        revoked_at -> Timestamptz,
        reason -> Varchar,
    }
}

diesel::table! {
    audit_chain (position) {
        position -> Int8,
        audit_id -> Int8,
        previous_hash -> Bytea,
        hash -> Bytea,
        sealed_at -> Timestamptz,
    }
}

diesel::table! {
    audit_logs (id) {
        id -> Int8,
        user_id -> Nullable<Uuid>,
        action -> Varchar,
        entity_type -> Varchar,
        entity_id -> Text,
        old_values -> Nullable<Jsonb>,
        new_values -> Nullable<Jsonb>,
        ip_address -> Nullable<Varchar>,
        user_agent -> Nullable<Text>,
        channel -> Varchar,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    database_instances (id) {
        id -> Varchar,
        name -> Varchar,
        #[sql_name = "type"]
        engine -> Varchar,
        host -> Varchar,
        port -> Int4,
        tls_mode -> Varchar,
        description -> Nullable<Text>,
        credential_source -> Varchar,
        credential_reference -> Text,
        connection_revision -> Int4,
        bound_revision -> Nullable<Int4>,
        is_active -> Bool,
        read_only -> Bool,
        allow_privileged_role -> Bool,
        search_path -> Nullable<Text>,
        timeout_ms -> Int8,
        lock_timeout_ms -> Int8,
        max_rows -> Int8,
        max_bytes -> Int8,
        approvals_needed -> Int4,
        approval_ttl_ms -> Int8,
        last_sync_at -> Nullable<Timestamptz>,
        last_sync_status -> Nullable<Varchar>,
        last_sync_error -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        connection_options -> Nullable<Text>,
        allow_other_databases -> Bool,
        allow_server_javascript -> Bool,
        next_sync_at -> Nullable<Timestamptz>,
        slack_results -> Varchar,
        slack_decisions -> Bool,
    }
}

diesel::table! {
    databases (id) {
        id -> Int8,
        instance_id -> Varchar,
        name -> Varchar,
        description -> Nullable<Text>,
        source -> Varchar,
        is_active -> Bool,
        last_seen_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    execution_result_chunks (request_id, seq) {
        request_id -> Int8,
        seq -> Int4,
        statement -> Int8,
        row_count -> Int8,
        byte_count -> Int8,
        data -> Bytea,
    }
}

diesel::table! {
    idempotency_keys (id) {
        id -> Int8,
        user_id -> Uuid,
        key -> Varchar,
        fingerprint -> Varchar,
        request_uuid -> Uuid,
        expires_at -> Timestamptz,
    }
}

diesel::table! {
    instance_pods (instance_id, pod_id) {
        instance_id -> Varchar,
        pod_id -> Varchar,
    }
}

diesel::table! {
    jobs (id) {
        id -> Uuid,
        kind -> Varchar,
        request_id -> Int8,
        payload -> Jsonb,
        status -> Varchar,
        priority -> Int4,
        attempts -> Int4,
        max_attempts -> Int4,
        fence -> Int8,
        worker -> Nullable<Text>,
        lease_until -> Nullable<Timestamptz>,
        scheduled_at -> Timestamptz,
        started_at -> Nullable<Timestamptz>,
        completed_at -> Nullable<Timestamptz>,
        failed_at -> Nullable<Timestamptz>,
        error -> Nullable<Text>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    pods (id) {
        id -> Varchar,
        name -> Varchar,
        manager_email -> Nullable<Varchar>,
        description -> Nullable<Text>,
        is_active -> Bool,
        created_at -> Timestamptz,
        slack_channel -> Nullable<Varchar>,
    }
}

diesel::table! {
    query_requests (id) {
        id -> Int8,
        uuid -> Uuid,
        version -> Int8,
        user_id -> Uuid,
        requester_email -> Varchar,
        requester_name -> Varchar,
        pod_id -> Varchar,
        pod_name -> Varchar,
        database_type -> Varchar,
        instance_id -> Varchar,
        instance_name -> Varchar,
        connection_revision -> Int4,
        database_name -> Varchar,
        target_read_only -> Bool,
        target_search_path -> Nullable<Text>,
        submission_type -> Varchar,
        query_content -> Nullable<Text>,
        script_filename -> Nullable<Text>,
        script_content -> Nullable<Text>,
        compiled -> Array<Text>,
        comments -> Nullable<Text>,
        not_before -> Nullable<Timestamptz>,
        timeout_ms -> Int8,
        lock_timeout_ms -> Int8,
        max_rows -> Int8,
        max_bytes -> Int8,
        review -> Jsonb,
        approvals_needed -> Int4,
        approval_ttl_ms -> Int8,
        edited -> Bool,
        status -> Varchar,
        expires_at -> Nullable<Timestamptz>,
        approver_id -> Nullable<Uuid>,
        approver_email -> Nullable<Varchar>,
        approved_at -> Nullable<Timestamptz>,
        rejection_reason -> Nullable<Text>,
        rejected_at -> Nullable<Timestamptz>,
        withdrawn_at -> Nullable<Timestamptz>,
        expired_at -> Nullable<Timestamptz>,
        run_job_id -> Nullable<Uuid>,
        run_worker -> Nullable<Text>,
        execution_started_at -> Nullable<Timestamptz>,
        cancel_asked_at -> Nullable<Timestamptz>,
        cancel_asked_by -> Nullable<Uuid>,
        cancel_asked_by_email -> Nullable<Varchar>,
        lost_at -> Nullable<Timestamptz>,
        execution_completed_at -> Nullable<Timestamptz>,
        execution_result -> Nullable<Jsonb>,
        execution_error -> Nullable<Jsonb>,
        resolution -> Nullable<Jsonb>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        extended_json -> Varchar,
    }
}

diesel::table! {
    refresh_tokens (id) {
        id -> Int8,
        session_id -> Uuid,
        user_id -> Uuid,
        token_hash -> Varchar,
        device_info -> Nullable<Text>,
        ip_address -> Nullable<Varchar>,
        expires_at -> Timestamptz,
        rotated_at -> Nullable<Timestamptz>,
        is_revoked -> Bool,
        revoked_at -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
    }
}

diesel::table! {
    request_approvals (id) {
        id -> Int8,
        request_id -> Int8,
        approver_id -> Uuid,
        approver_email -> Varchar,
        digest -> Varchar,
        created_at -> Timestamptz,
        dropped_at -> Nullable<Timestamptz>,
    }
}

diesel::table! {
    roles (id) {
        id -> Uuid,
        name -> Varchar,
        description -> Text,
        permissions -> Jsonb,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
    }
}

diesel::table! {
    script_log (request_id, number) {
        request_id -> Int8,
        number -> Int8,
        at -> Timestamptz,
        level -> Nullable<Varchar>,
        text -> Nullable<Text>,
        call_number -> Nullable<Int8>,
        call_kind -> Nullable<Varchar>,
        statement -> Nullable<Text>,
        affected -> Nullable<Int8>,
        error -> Nullable<Text>,
        duration_us -> Nullable<Int8>,
    }
}

diesel::table! {
    sealed_credentials (reference) {
        reference -> Varchar,
        key_id -> Varchar,
        nonce -> Bytea,
        ciphertext -> Bytea,
        sealed_at -> Timestamptz,
    }
}

diesel::table! {
    slack_calls (signature_hash) {
        signature_hash -> Varchar,
        received_at -> Timestamptz,
    }
}

diesel::table! {
    slack_notifications (id) {
        id -> Int8,
        request_id -> Int8,
        notification_type -> Varchar,
        channel_type -> Varchar,
        recipient -> Varchar,
        message_ts -> Nullable<Varchar>,
        status -> Varchar,
        error_message -> Nullable<Text>,
        created_at -> Timestamptz,
        sent_at -> Nullable<Timestamptz>,
        job_id -> Nullable<Uuid>,
        unclear_since -> Nullable<Timestamptz>,
        channel_id -> Nullable<Varchar>,
    }
}

diesel::table! {
    user_roles (user_id, role_id) {
        user_id -> Uuid,
        role_id -> Uuid,
        assigned_at -> Timestamptz,
        assigned_by -> Nullable<Uuid>,
    }
}

diesel::table! {
    user_token_invalidation (user_id) {
        user_id -> Uuid,
        invalidated_at -> Timestamptz,
    }
}

diesel::table! {
    users (id) {
        id -> Uuid,
        email -> Varchar,
        password_hash -> Varchar,
        name -> Varchar,
        pod_id -> Nullable<Varchar>,
        slack_user_id -> Nullable<Varchar>,
        is_active -> Bool,
        last_login -> Nullable<Timestamptz>,
        created_at -> Timestamptz,
        updated_at -> Timestamptz,
        slack_not_found_at -> Nullable<Timestamptz>,
    }
}

diesel::joinable!(request_approvals -> query_requests (request_id));
diesel::joinable!(execution_result_chunks -> query_requests (request_id));
diesel::joinable!(jobs -> query_requests (request_id));
diesel::joinable!(slack_notifications -> query_requests (request_id));
diesel::joinable!(script_log -> query_requests (request_id));
diesel::joinable!(user_roles -> roles (role_id));
diesel::joinable!(databases -> database_instances (instance_id));
diesel::joinable!(instance_pods -> database_instances (instance_id));
diesel::allow_tables_to_appear_in_same_query!(
    access_token_blacklist,
    audit_chain,
    audit_logs,
    database_instances,
    databases,
    execution_result_chunks,
    idempotency_keys,
    instance_pods,
    jobs,
    pods,
    query_requests,
    refresh_tokens,
    request_approvals,
    roles,
    script_log,
    sealed_credentials,
    slack_calls,
    slack_notifications,
    user_roles,
    user_token_invalidation,
    users,
);
