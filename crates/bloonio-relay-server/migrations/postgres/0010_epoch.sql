-- One row: how often this database was restored, and what is refused since. Times are Unix milliseconds.
CREATE TABLE epoch (
    -- Always 1.
    id           BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    -- Restores so far.
    number       BIGINT NOT NULL,
    -- Calls signed up to then may have been seen before: what was remembered of them is lost.
    signed_after BIGINT NOT NULL,
    -- 1 in a copy made by `backup`, until it was treated.
    is_copy      BIGINT NOT NULL CHECK (is_copy IN (0, 1)),
    -- The server and the database that it was first served from; NULL where there is no server.
    home         TEXT
);
INSERT INTO epoch (id, number, signed_after, is_copy) VALUES (1, 0, 0, 0);
