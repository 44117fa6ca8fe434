-- End-to-end encryption: public keys, what waits for devices, and backups that only their owners can read. Keys are
-- kept as the canonical JSON that was signed; the signatures that others add to them stand beside them.

-- Device keys of local users and, as far as we follow them, of remote ones.
CREATE TABLE device_keys (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    keys BLOB NOT NULL,
    -- of remote devices only; ours have theirs in devices
    display_name TEXT,
    PRIMARY KEY (user_name, device_id)
) WITHOUT ROWID;

-- Given out in the order of their upload, each once. A row is some keys of one upload, whose log position they share:
-- `keys` is a JSON object by key ID.
CREATE TABLE one_time_keys (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    position BIGINT NOT NULL,
    part SMALLINT NOT NULL,
    key_count SMALLINT NOT NULL,
    keys BLOB NOT NULL,
    PRIMARY KEY (user_name, device_id, algorithm, position, part)
) WITHOUT ROWID;

-- What those rows come to: how many keys there are, how many have been claimed, and the ID of each key on a line of its
-- own, between line breaks.
CREATE TABLE one_time_supplies (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_count BIGINT NOT NULL,
    claimed_count BIGINT NOT NULL,
    key_ids TEXT NOT NULL,
    PRIMARY KEY (user_name, device_id, algorithm)
) WITHOUT ROWID;

-- Digests of what was given out last, so that an upload that is repeated does not bring it back.
CREATE TABLE claimed_keys (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    digest BLOB NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_name, device_id, algorithm, key_id)
) WITHOUT ROWID;

CREATE TABLE fallback_keys (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    key_id TEXT NOT NULL,
    key_json BLOB NOT NULL,
    used SMALLINT NOT NULL,
    PRIMARY KEY (user_name, device_id, algorithm)
) WITHOUT ROWID;

-- usage is master, self_signing or user_signing
CREATE TABLE cross_signing_keys (
    user_name BIGINT NOT NULL,
    usage TEXT NOT NULL,
    public_key TEXT NOT NULL,
    keys BLOB NOT NULL,
    PRIMARY KEY (user_name, usage)
) WITHOUT ROWID;

-- Until when a user may replace their cross-signing keys without proving who they are.
CREATE TABLE cross_signing_resets (
    user_name BIGINT PRIMARY KEY,
    until_ms BIGINT NOT NULL
);

-- Signatures that were uploaded for a key apart from it. key_name is a device ID or a public key.
CREATE TABLE key_signatures (
    user_name BIGINT NOT NULL,
    key_name TEXT NOT NULL,
    signer BIGINT NOT NULL,
    signer_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    PRIMARY KEY (user_name, key_name, signer, signer_key)
) WITHOUT ROWID;
CREATE INDEX key_signatures_signer ON key_signatures (signer, user_name);

-- What happened to whose keys: the newest changes of each user. device_id is empty for cross-signing keys.
CREATE TABLE device_list_changes (
    position BIGINT PRIMARY KEY,
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    -- who sees a difference, if that is one user alone: the one who signed a key
    viewer BIGINT
);
CREATE INDEX device_list_changes_user ON device_list_changes (user_name, position);

-- Remote users whose devices we have a copy of, up to which of their server's changes, and since which log position.
CREATE TABLE remote_device_lists (
    user_name BIGINT PRIMARY KEY,
    stream_id BIGINT NOT NULL,
    position BIGINT NOT NULL,
    outdated SMALLINT NOT NULL
);

-- Who came and went in a room after a position.
CREATE INDEX membership_room_position ON membership (room, position);

CREATE TABLE to_device_messages (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    position BIGINT NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (user_name, device_id, position)
) WITHOUT ROWID;

-- Digests of the transactions that a device sent last, so that a repeated one is not sent twice.
CREATE TABLE to_device_transactions (
    user_name BIGINT NOT NULL,
    device_id TEXT NOT NULL,
    recent BLOB NOT NULL,
    PRIMARY KEY (user_name, device_id)
) WITHOUT ROWID;

CREATE TABLE key_backups (
    user_name BIGINT NOT NULL,
    version BIGINT NOT NULL,
    algorithm TEXT NOT NULL,
    auth_data BLOB NOT NULL,
    etag BIGINT NOT NULL,
    key_count BIGINT NOT NULL,
    deleted SMALLINT NOT NULL,
    PRIMARY KEY (user_name, version)
) WITHOUT ROWID;

CREATE TABLE backed_up_keys (
    user_name BIGINT NOT NULL,
    version BIGINT NOT NULL,
    room_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    first_message_index BIGINT NOT NULL,
    forwarded_count BIGINT NOT NULL,
    is_verified SMALLINT NOT NULL,
    session_data BLOB NOT NULL,
    PRIMARY KEY (user_name, version, room_id, session_id)
) WITHOUT ROWID;

CREATE TABLE dehydrated_devices (
    user_name BIGINT PRIMARY KEY,
    device_id TEXT NOT NULL,
    device_data BLOB NOT NULL
);
