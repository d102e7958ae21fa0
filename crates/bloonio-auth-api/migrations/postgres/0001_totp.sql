-- One-time codes (PROTOCOL 4 to 6). Times are Unix milliseconds. The tenant comes first in every key.

-- One seed a pairing.
CREATE TABLE totp_seeds (
    tenant_id            TEXT    NOT NULL,
    relay_user_linked_id TEXT    NOT NULL,
    -- The device that the seed was handed to. A device is handed one in its life, so this tells one seed from the next.
    device_id            TEXT    NOT NULL,
    -- Sealed under the master key; the row's identity is authenticated with it.
    seed_sealed          BYTEA   NOT NULL,
    -- The greatest step whose code was accepted: only a greater one passes. Steps are counted from 1970.
    last_step            BIGINT  NOT NULL DEFAULT -1,
    -- When the latest wrong codes came, as a JSON list; emptied by a right one, and when a lock begins.
    wrong_at             TEXT    NOT NULL DEFAULT '[]',
    -- Locks since the last right code: each is longer than the one before.
    locks                BIGINT  NOT NULL DEFAULT 0 CHECK (locks >= 0),
    locked_until         BIGINT,
    created_at           BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, relay_user_linked_id)
);

-- Codes for pairings that have no seed, or that are none: counted, so that such a code costs the same write as a wrong one
-- of a real seed and takes as long. One row a tenant.
CREATE TABLE totp_misses (
    tenant_id TEXT    NOT NULL PRIMARY KEY,
    misses    BIGINT  NOT NULL,
    last_at   BIGINT  NOT NULL
);
