DROP TABLE execution_result_chunks;
DROP TABLE jobs;
