-- What the relay knows of people is sealed like everything else that is nobody's business at rest. SQL cannot seal: profiles
-- and names of before, which nothing has read so far, come back with the next pairing; open offers are made anew.
DROP TABLE pairing_proofs;
CREATE TABLE pairing_proofs (
    tenant_id        TEXT   NOT NULL REFERENCES tenants,
    jti              TEXT   NOT NULL,
    user_socket_hash TEXT   NOT NULL,
    -- PreparePairing as JSON, sealed, until the pairing takes it over.
    profile_sealed   BYTEA  NOT NULL,
    expires_at       BIGINT NOT NULL,
    consumed_at      BIGINT,
    voided_at        BIGINT,
    PRIMARY KEY (tenant_id, jti)
);
CREATE INDEX pairing_proofs_by_user ON pairing_proofs (tenant_id, user_socket_hash);
CREATE INDEX pairing_proofs_by_expiry ON pairing_proofs (expires_at);

-- PreparePairing as JSON, sealed.
ALTER TABLE pairings ADD COLUMN profile_sealed BYTEA;
ALTER TABLE pairings DROP COLUMN backend_user_id;
ALTER TABLE pairings DROP COLUMN display_name;
ALTER TABLE pairings DROP COLUMN user_email;
ALTER TABLE pairings DROP COLUMN user_phone;
ALTER TABLE pairings DROP COLUMN first_name;
ALTER TABLE pairings DROP COLUMN last_name;
ALTER TABLE pairings DROP COLUMN display_logo_url;

-- People name their phones after themselves.
ALTER TABLE devices ADD COLUMN name_sealed BYTEA;
ALTER TABLE devices DROP COLUMN device_name;
