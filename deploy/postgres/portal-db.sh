#!/bin/bash
# The portal's database and its two roles; README.md says why there are two. Run once, by the postgres image.
set -euo pipefail

# The passwords reach psql through the environment: a command line can be read by every process.
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv owner_password PORTAL_OWNER_PASSWORD
\getenv server_password PORTAL_SERVER_PASSWORD
-- No statement log may hold the passwords, even when one of them fails.
SET log_min_error_statement = 'panic';
SET log_statement = 'none';
CREATE ROLE portal_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE portal_server LOGIN PASSWORD :'server_password';
CREATE DATABASE portal OWNER portal_owner;
-- A database lets everybody connect when it is made.
REVOKE ALL ON DATABASE portal FROM PUBLIC;
GRANT CONNECT ON DATABASE portal TO portal_server;
SQL
