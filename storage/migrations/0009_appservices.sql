-- Application services: the transaction that each was sent last. Until it is acknowledged it is sent again as it is,
-- whatever has come since, so that the service can tell that it has it.

CREATE TABLE appservice_transactions (
    appservice TEXT PRIMARY KEY,
    number BIGINT NOT NULL,
    -- the log position up to which the transaction tells
    until BIGINT NOT NULL,
    acknowledged SMALLINT NOT NULL,
    body BLOB NOT NULL
);
