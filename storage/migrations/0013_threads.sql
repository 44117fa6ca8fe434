-- Which threads users follow, or have chosen not to (MSC4306).
CREATE TABLE thread_subscriptions (
    user_name BIGINT NOT NULL,
    room BIGINT NOT NULL,
    root TEXT NOT NULL,
    subscribed SMALLINT NOT NULL,
    automatic SMALLINT NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (user_name, room, root)
) WITHOUT ROWID;
CREATE INDEX thread_subscriptions_position ON thread_subscriptions (user_name, position);
