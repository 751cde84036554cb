DROP TABLE user_token_invalidation;
DROP TABLE access_token_blacklist;
DROP TABLE refresh_tokens;
DROP TABLE user_roles;
DROP TABLE roles;
DROP TABLE users;
DROP TABLE pods;
