DROP TABLE databases;
DROP TABLE instance_pods;
DROP TABLE database_instances;
