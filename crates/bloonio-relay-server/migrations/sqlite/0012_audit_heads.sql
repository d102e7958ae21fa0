-- An entry moves the end of its chain: no end without its entry, no entry without its end.
DROP TRIGGER audit_is_written_in_order;
-- Also keeps INSERT OR REPLACE from replacing an entry, which calls no other trigger.
CREATE TRIGGER audit_is_written_in_order BEFORE INSERT ON audit
BEGIN
    SELECT RAISE(ABORT, 'the audit trail is append-only')
    WHERE NOT EXISTS (SELECT 1 FROM audit_heads h WHERE h.chain = NEW.chain AND h.seq = NEW.seq - 1 AND h.hash = NEW.prev_hash);
    UPDATE audit_heads SET seq = NEW.seq, hash = NEW.hash WHERE chain = NEW.chain;
END;
