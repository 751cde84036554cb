DROP TABLE audit_chain;
DROP TABLE audit_logs;
DROP FUNCTION refuse_audit_change();
