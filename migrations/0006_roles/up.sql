-- The roles that come with the portal. There is no default user.

INSERT INTO roles (name, description, permissions) VALUES
    ('developer', 'Submits requests and sees their own.', '["requests:submit"]'),
    ('manager', 'Sees and decides on the requests of their PODs.',
        '["requests:submit", "requests:read-pod", "requests:decide-pod"]'),
    ('admin', 'May do everything.', '["*:*"]'),
    ('operator', 'Runs modules and jobs.',
        '["modules:read", "modules:write", "modules:execute", "jobs:read", "jobs:write", "users:read"]'),
    ('viewer', 'Sees modules, jobs and users.', '["modules:read", "jobs:read", "users:read"]');
