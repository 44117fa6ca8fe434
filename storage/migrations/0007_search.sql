-- Search: the words of messages, names and topics, and the directory of users. Filled by a follower of the log.

CREATE TABLE searchable_events (
    number BIGINT PRIMARY KEY,
    room BIGINT NOT NULL,
    position BIGINT NOT NULL,
    -- 1 content.body, 2 content.name, 3 content.topic
    key SMALLINT NOT NULL
);
CREATE INDEX searchable_events_room ON searchable_events (room, position);

-- Each engine makes of it what it searches best; `rowid` is the event's number.
CREATE FULLTEXT TABLE search_words;

CREATE TABLE user_directory (
    user_name BIGINT PRIMARY KEY,
    display_name TEXT,
    avatar_url TEXT,
    -- the user ID and the display name, folded
    words TEXT NOT NULL,
    local SMALLINT NOT NULL
);

-- Rooms whose members anybody may find: everybody may join, or look in.
CREATE TABLE open_rooms (
    room BIGINT PRIMARY KEY
);
