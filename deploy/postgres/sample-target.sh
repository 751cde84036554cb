#!/bin/bash
# Sample data, and a role for the portal that can read and change it and nothing else. Run once, by the postgres image.
set -euo pipefail

run() { psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname "$@"; }

run postgres <<'SQL'
\getenv password TARGET_SHOP_PASSWORD
SET log_min_error_statement = 'panic';
SET log_statement = 'none';
CREATE ROLE shop_portal LOGIN PASSWORD :'password';
CREATE DATABASE shop;
SQL
run shop --single-transaction --file "${SAMPLE_DATA:-/sample_data.sql}"
run shop <<'SQL'
GRANT USAGE ON SCHEMA public TO shop_portal;
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_portal;
GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO shop_portal;
SQL
