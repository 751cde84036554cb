DROP TABLE slack_notifications;
DROP TABLE request_approvals;
DROP TABLE query_requests;
