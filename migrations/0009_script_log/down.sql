DROP TABLE script_log;
