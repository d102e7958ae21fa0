-- Keys and the audit trail. Times are Unix milliseconds.

-- Every master key that ever sealed something here, by its id (the first bytes of what it sealed). A key is let go with its
-- last value; a relay that does not have one of the others refuses to start.
CREATE TABLE seal_keys (
    -- One byte of version, then the key's id; the version alone for values that name no key.
    head      BYTEA  NOT NULL PRIMARY KEY,
    used_at   BIGINT NOT NULL,
    let_go_at BIGINT
);
INSERT INTO seal_keys (head, used_at) SELECT '\x01'::bytea, min(created_at) FROM tenants HAVING count(*) > 0;

-- Entries are added and nothing else (src/audit.rs).
CREATE TABLE audit (
    -- A tenant's id, or 'operator'.
    chain     TEXT COLLATE "C" NOT NULL,
    -- 1, 2, 3 …
    seq       BIGINT NOT NULL,
    at        BIGINT NOT NULL,
    kind      TEXT   NOT NULL,
    subject   TEXT   NOT NULL,
    -- A JSON object, as the text that was hashed.
    details   TEXT   NOT NULL,
    prev_hash BYTEA  NOT NULL,
    hash      BYTEA  NOT NULL,
    PRIMARY KEY (chain, seq)
);
CREATE INDEX audit_by_subject ON audit (chain, subject, seq);

-- Where each chain ends. Whoever adds an entry holds this row first, so that entries of a chain are written one at a time.
CREATE TABLE audit_heads (
    chain TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    seq   BIGINT NOT NULL,
    hash  BYTEA  NOT NULL
);

CREATE FUNCTION audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;
CREATE FUNCTION audit_is_written_in_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.seq <> 1 + coalesce((SELECT seq FROM audit_heads WHERE chain = NEW.chain), 0) THEN
        RAISE EXCEPTION 'the audit trail is append-only';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER audit_is_written_in_order BEFORE INSERT ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_written_in_order();
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_heads_move_on BEFORE UPDATE ON audit_heads
    FOR EACH ROW WHEN (NEW.chain <> OLD.chain OR NEW.seq NOT IN (OLD.seq, OLD.seq + 1))
    EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_heads_are_never_deleted BEFORE DELETE ON audit_heads
    FOR EACH ROW EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER audit_heads_are_never_emptied BEFORE TRUNCATE ON audit_heads
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
