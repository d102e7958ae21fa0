-- Endpoints whose last attempts have all failed; the row goes with the first one that succeeds.
CREATE TABLE failing_lanes (
    -- As in deliveries: tenant and origin.
    lane        TEXT    NOT NULL PRIMARY KEY,
    -- Failed attempts in a row.
    failures    INTEGER NOT NULL,
    last_failed INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
