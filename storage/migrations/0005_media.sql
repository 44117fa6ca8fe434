-- Media: what each mxc:// URI stands for, thumbnails made of it, the events that use it, and previews of links.
-- The bytes are elsewhere, in files named after their SHA-256 digest: equal files are kept once.

CREATE TABLE media (
    -- the server of the URI, interned
    origin BIGINT NOT NULL,
    media_id TEXT NOT NULL,
    -- NULL while the ID is only reserved
    digest TEXT,
    content_type TEXT NOT NULL DEFAULT '',
    filename TEXT,
    size BIGINT NOT NULL DEFAULT 0,
    -- NULL for copies of other servers' media
    uploader BIGINT,
    created_ms BIGINT NOT NULL,
    -- until when a reserved ID waits for its file
    expires_ms BIGINT,
    used_ms BIGINT NOT NULL,
    -- 1 needs authentication, 2 quarantined, 4 kept from quarantine and retention
    flags SMALLINT NOT NULL DEFAULT 0,
    PRIMARY KEY (origin, media_id)
) WITHOUT ROWID;
CREATE INDEX media_digest ON media (digest);
CREATE INDEX media_uploader ON media (uploader, created_ms) WHERE uploader IS NOT NULL;
CREATE INDEX media_used ON media (used_ms);

CREATE TABLE media_thumbnails (
    digest TEXT NOT NULL,
    -- such as 320x240-scale: what was asked of the original
    variant TEXT NOT NULL,
    content_type TEXT NOT NULL,
    size BIGINT NOT NULL,
    PRIMARY KEY (digest, variant)
) WITHOUT ROWID;

-- Filled by a follower of the log.
CREATE TABLE media_references (
    origin BIGINT NOT NULL,
    media_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    PRIMARY KEY (origin, media_id, event_id)
) WITHOUT ROWID;
CREATE INDEX media_references_event ON media_references (event_id);

-- Media whose last event is gone, until it is deleted or found to be in use elsewhere.
CREATE TABLE media_orphans (
    origin BIGINT NOT NULL,
    media_id TEXT NOT NULL,
    PRIMARY KEY (origin, media_id)
) WITHOUT ROWID;

CREATE TABLE url_previews (
    -- the digest of what was asked: addresses are longer than an index takes
    key TEXT PRIMARY KEY,
    preview BLOB NOT NULL,
    expires_ms BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX url_previews_expires ON url_previews (expires_ms);
