-- Keys and the audit trail. Times are Unix milliseconds.

-- Every master key that ever sealed something here, by its id (the first bytes of what it sealed). A key is let go with its
-- last value; a relay that does not have one of the others refuses to start.
CREATE TABLE seal_keys (
    -- One byte of version, then the key's id; the version alone for values that name no key.
    head     BLOB    NOT NULL PRIMARY KEY,
    used_at  INTEGER NOT NULL,
    let_go_at INTEGER
) STRICT;
INSERT INTO seal_keys (head, used_at) SELECT x'01', min(created_at) FROM tenants HAVING count(*) > 0;

-- Entries are added and nothing else (src/audit.rs).
CREATE TABLE audit (
    -- A tenant's id, or 'operator'.
    chain     TEXT    NOT NULL,
    -- 1, 2, 3 …
    seq       INTEGER NOT NULL,
    at        INTEGER NOT NULL,
    kind      TEXT    NOT NULL,
    subject   TEXT    NOT NULL,
    -- A JSON object.
    details   TEXT    NOT NULL,
    prev_hash BLOB    NOT NULL,
    hash      BLOB    NOT NULL,
    PRIMARY KEY (chain, seq)
) STRICT;
CREATE INDEX audit_by_subject ON audit (chain, subject, seq);

-- Where each chain ends. Whoever adds an entry holds this row first, so that entries of a chain are written one at a time.
CREATE TABLE audit_heads (
    chain TEXT    NOT NULL PRIMARY KEY,
    seq   INTEGER NOT NULL,
    hash  BLOB    NOT NULL
) STRICT;

CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER audit_is_never_deleted BEFORE DELETE ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
-- Also keeps INSERT OR REPLACE from replacing an entry, which calls no other trigger.
CREATE TRIGGER audit_is_written_in_order BEFORE INSERT ON audit
WHEN NEW.seq <> 1 + coalesce((SELECT seq FROM audit_heads WHERE chain = NEW.chain), 0)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER audit_heads_move_on BEFORE UPDATE ON audit_heads
WHEN NEW.chain <> OLD.chain OR NEW.seq NOT IN (OLD.seq, OLD.seq + 1)
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
CREATE TRIGGER audit_heads_are_never_deleted BEFORE DELETE ON audit_heads
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only');
END;
