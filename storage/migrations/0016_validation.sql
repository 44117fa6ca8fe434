-- Addresses that are being proved: by the link in a mail, or by six digits. Secrets are kept as hashes only.

CREATE TABLE validation_sessions (
    sid TEXT PRIMARY KEY,
    -- what the proof is for: registering, another password, another address of an account
    purpose TEXT NOT NULL,
    medium TEXT NOT NULL,
    address TEXT NOT NULL,
    secret_hash BLOB NOT NULL,
    token_hash BLOB NOT NULL,
    send_attempt BIGINT NOT NULL,
    next_link TEXT,
    expires_ms BIGINT NOT NULL,
    validated_ms BIGINT
);
CREATE INDEX validation_sessions_age ON validation_sessions (expires_ms);

CREATE TABLE email_codes (
    purpose TEXT NOT NULL,
    address TEXT NOT NULL,
    code_hash BLOB NOT NULL,
    sent_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    attempts_left SMALLINT NOT NULL,
    PRIMARY KEY (purpose, address)
) WITHOUT ROWID;
CREATE INDEX email_codes_age ON email_codes (expires_ms);
