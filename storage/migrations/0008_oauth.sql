-- The built-in OAuth 2.0 server. Codes and cookies are kept as hashes only.

CREATE TABLE oauth_clients (
    client_id TEXT PRIMARY KEY,
    -- of the metadata: clients that say the same of themselves are one
    digest BLOB NOT NULL,
    -- JSON, as it was registered
    metadata BLOB NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE UNIQUE INDEX oauth_clients_digest ON oauth_clients (digest);

CREATE TABLE oauth_codes (
    code_hash BLOB PRIMARY KEY,
    client_id TEXT NOT NULL,
    user_name BIGINT NOT NULL,
    redirect_uri TEXT NOT NULL,
    scope TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    -- the device that it was exchanged for: who comes with it again has stolen it, or was robbed
    spent_device TEXT
);
CREATE INDEX oauth_codes_age ON oauth_codes (expires_ms);

CREATE TABLE oauth_device_codes (
    code_hash BLOB PRIMARY KEY,
    user_code TEXT NOT NULL,
    client_id TEXT NOT NULL,
    scope TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    polled_ms BIGINT NOT NULL DEFAULT 0,
    -- 0: nobody has decided yet; 1: granted by the user; 2: refused
    decision SMALLINT NOT NULL DEFAULT 0,
    user_name BIGINT
);
CREATE UNIQUE INDEX oauth_device_codes_user_code ON oauth_device_codes (user_code);
CREATE INDEX oauth_device_codes_age ON oauth_device_codes (expires_ms);

-- Devices that were logged in by OAuth, and the client each of them is.
CREATE TABLE oauth_sessions (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    client_id TEXT NOT NULL,
    PRIMARY KEY (user_name, device_id)
) WITHOUT ROWID;
CREATE INDEX oauth_sessions_client ON oauth_sessions (client_id);

-- Browsers in which somebody is logged in to the server's own pages.
CREATE TABLE browser_sessions (
    token_hash BLOB PRIMARY KEY,
    user_name BIGINT NOT NULL,
    -- of the password that the user had then: another password logs all browsers out
    password_mark BLOB NOT NULL,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX browser_sessions_user ON browser_sessions (user_name);
CREATE INDEX browser_sessions_age ON browser_sessions (expires_ms);

-- Logins through an upstream provider that are under way, each in one browser; claims once the provider has spoken
-- and the user has still to choose a name.
CREATE TABLE upstream_logins (
    state_hash BLOB PRIMARY KEY,
    browser_hash BLOB NOT NULL,
    provider TEXT NOT NULL,
    next_path TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    claims BLOB
);
CREATE INDEX upstream_logins_age ON upstream_logins (expires_ms);

-- Who is who at the upstream providers.
CREATE TABLE external_ids (
    provider TEXT NOT NULL,
    subject TEXT NOT NULL,
    user_name BIGINT NOT NULL,
    PRIMARY KEY (provider, subject)
) WITHOUT ROWID;
CREATE INDEX external_ids_user ON external_ids (user_name);
