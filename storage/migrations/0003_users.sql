-- Accounts, their devices and tokens, and what users keep on the server. User IDs and room IDs are interned
-- (table names); tokens are kept as hashes only; JSON that users wrote is kept as the bytes that are served.

CREATE TABLE users (
    user_name BIGINT PRIMARY KEY,
    created_ms BIGINT NOT NULL,
    -- argon2id, or the bcrypt hash of a migrated account; NULL: no login by password
    password_hash TEXT,
    -- of the service that made it, if one did; bots, support and the like
    appservice_id TEXT,
    user_type TEXT,
    guest SMALLINT NOT NULL DEFAULT 0,
    admin SMALLINT NOT NULL DEFAULT 0,
    deactivated SMALLINT NOT NULL DEFAULT 0,
    erased SMALLINT NOT NULL DEFAULT 0,
    locked SMALLINT NOT NULL DEFAULT 0,
    suspended SMALLINT NOT NULL DEFAULT 0,
    shadow_banned SMALLINT NOT NULL DEFAULT 0,
    approved SMALLINT NOT NULL DEFAULT 1,
    -- the version of the terms that the user accepted
    consent_version TEXT,
    consent_ms BIGINT
);

-- Deactivated users who have rooms left to leave; the rooms layer works it off and resumes after a crash.
CREATE TABLE departing_users (
    user_name BIGINT PRIMARY KEY
);

CREATE TABLE devices (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    display_name TEXT,
    created_ms BIGINT NOT NULL,
    last_seen_ms BIGINT,
    last_seen_ip TEXT,
    last_seen_agent TEXT,
    PRIMARY KEY (user_name, device_id)
) WITHOUT ROWID;

-- Where each device connected from, for administrators and for the user ("whois").
CREATE TABLE connections (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    ip TEXT NOT NULL,
    agent TEXT NOT NULL,
    last_seen_ms BIGINT NOT NULL,
    PRIMARY KEY (user_name, device_id, ip, agent)
) WITHOUT ROWID;
CREATE INDEX connections_age ON connections (last_seen_ms);

-- A token's number is the beginning of its hash, so finding it and comparing it are one look-up.
CREATE TABLE access_tokens (
    token_id BIGINT PRIMARY KEY,
    token_hash BLOB NOT NULL,
    user_name BIGINT NOT NULL,
    device_id TEXT,
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT,
    -- the refresh token that this token's first use revokes
    supersedes BIGINT,
    -- an administrator who acts as this user
    puppeteer BIGINT,
    scope TEXT,
    -- the name that a signed token bears, by which it can be revoked
    jti TEXT
);
CREATE INDEX access_tokens_device ON access_tokens (user_name, device_id);

CREATE TABLE refresh_tokens (
    token_id BIGINT PRIMARY KEY,
    token_hash BLOB NOT NULL,
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    -- the access token issued with it, the refresh token it replaced, and the one issued in its place
    access_id BIGINT NOT NULL,
    previous_id BIGINT,
    next_id BIGINT,
    expires_ms BIGINT,
    -- when the session ends however often it is refreshed
    session_expires_ms BIGINT,
    scope TEXT,
    -- the session ends when it has not been used for so long; with NULL it does not slide
    idle_ms BIGINT
);
CREATE INDEX refresh_tokens_device ON refresh_tokens (user_name, device_id);

-- Tokens that are exchanged for something: a login, an OpenID userinfo, a shared-secret registration.
CREATE TABLE short_tokens (
    token_id BIGINT PRIMARY KEY,
    token_hash BLOB NOT NULL,
    purpose TEXT NOT NULL,
    user_name BIGINT,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX short_tokens_age ON short_tokens (expires_ms);

CREATE TABLE registration_tokens (
    token TEXT PRIMARY KEY,
    uses_allowed BIGINT,
    pending BIGINT NOT NULL DEFAULT 0,
    completed BIGINT NOT NULL DEFAULT 0,
    expires_ms BIGINT
);

CREATE TABLE uia_sessions (
    session_id TEXT PRIMARY KEY,
    created_ms BIGINT NOT NULL,
    -- the request that it authenticates, and on whose behalf
    operation TEXT NOT NULL,
    user_name BIGINT,
    description TEXT NOT NULL,
    -- JSON: [[stage, result], ...] in the order of completion; {stage: what that stage remembers}
    completed BLOB NOT NULL,
    memory BLOB NOT NULL,
    -- 1: a request is using it; 2: it has let a request through and may let more through for a moment
    use_state SMALLINT NOT NULL DEFAULT 0
);
CREATE INDEX uia_sessions_age ON uia_sessions (created_ms);

CREATE TABLE profiles (
    user_name BIGINT NOT NULL,
    field TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (user_name, field)
) WITHOUT ROWID;

-- room is 0 for what belongs to the account as a whole
CREATE TABLE account_data (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    type TEXT NOT NULL,
    content BLOB NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_name, room, type)
) WITHOUT ROWID;
CREATE INDEX account_data_position ON account_data (user_name, position);

-- One row a user who has changed any rule: their own rules in order, and what they changed about the default ones.
CREATE TABLE push_rules (
    user_name BIGINT PRIMARY KEY,
    changes BLOB NOT NULL,
    position BIGINT NOT NULL
);

CREATE TABLE filters (
    user_name BIGINT NOT NULL,
    filter_id BIGINT NOT NULL,
    digest BLOB NOT NULL,
    definition BLOB NOT NULL,
    PRIMARY KEY (user_name, filter_id)
) WITHOUT ROWID;
CREATE INDEX filters_digest ON filters (user_name, digest);

CREATE TABLE threepids (
    medium TEXT NOT NULL,
    address TEXT NOT NULL,
    user_name BIGINT NOT NULL,
    validated_ms BIGINT NOT NULL,
    added_ms BIGINT NOT NULL,
    PRIMARY KEY (medium, address)
) WITHOUT ROWID;
CREATE INDEX threepids_user ON threepids (user_name);

-- Which identity server was told of which address, so that it can be told to forget it.
CREATE TABLE threepid_bindings (
    user_name BIGINT NOT NULL,
    medium TEXT NOT NULL,
    address TEXT NOT NULL,
    id_server TEXT NOT NULL,
    PRIMARY KEY (user_name, medium, address, id_server)
) WITHOUT ROWID;
