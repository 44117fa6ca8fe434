-- Pushers: where the notifications of each user go, beside their clients' syncs.

CREATE TABLE pushers (
    user_name BIGINT NOT NULL,
    app_id TEXT NOT NULL,
    pushkey TEXT NOT NULL,
    kind TEXT NOT NULL,
    -- the session that made it; with its end the pusher ends
    device_id TEXT,
    app_display_name TEXT NOT NULL,
    device_display_name TEXT NOT NULL,
    profile_tag TEXT,
    lang TEXT NOT NULL,
    data BLOB NOT NULL,
    enabled SMALLINT NOT NULL DEFAULT 1,
    created_ms BIGINT NOT NULL,
    last_success_ms BIGINT,
    failing_since_ms BIGINT,
    -- the log position up to which everything has been pushed; NULL: as far as push as a whole has come
    place BIGINT,
    PRIMARY KEY (user_name, app_id, pushkey)
) WITHOUT ROWID;
CREATE INDEX pushers_pushkey ON pushers (app_id, pushkey);

-- What notified whom, for /notifications and for pushers that are behind.
CREATE INDEX events_notifying ON events (room, position) WHERE notify IS NOT NULL;
