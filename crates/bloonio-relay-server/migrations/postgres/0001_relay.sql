-- The relay's tables. Times are Unix milliseconds. The tenant comes first in every key (ARCHITECTURE, decision 9).

CREATE TABLE tenants (
    tenant_id                  TEXT    NOT NULL PRIMARY KEY,
    tenant_name                TEXT    NOT NULL,
    -- Sealed under the master key; the row's identity is authenticated with it.
    secret_sealed              BYTEA   NOT NULL,
    status                     TEXT    NOT NULL CHECK (status IN ('active', 'suspended')),
    rate_limit_per_min         BIGINT  NOT NULL CHECK (rate_limit_per_min BETWEEN 1 AND 10000),
    -- The other configuration fields of PROTOCOL 3 as one JSON object.
    config                     TEXT    NOT NULL,
    created_at                 BIGINT  NOT NULL,
    rotated_at                 BIGINT
);

-- Signatures and nonces seen, for 90 s (PROTOCOL 2.3).
CREATE TABLE replays (
    tenant_id  TEXT    NOT NULL,
    seen_key   BYTEA   NOT NULL,
    expires_at BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, seen_key)
);
CREATE INDEX replays_by_expiry ON replays (expires_at);

-- One pairing per (tenant, user); it outlives its last device. A revoked one is kept with revoked_at set.
CREATE TABLE pairings (
    tenant_id            TEXT    NOT NULL REFERENCES tenants,
    user_socket_hash     TEXT    NOT NULL,
    relay_user_linked_id TEXT    NOT NULL,
    backend_user_id      TEXT    NOT NULL,
    display_name         TEXT    NOT NULL,
    user_email           TEXT,
    user_phone           TEXT,
    first_name           TEXT,
    last_name            TEXT,
    display_logo_url     TEXT,
    created_at           BIGINT  NOT NULL,
    revoked_at           BIGINT,
    PRIMARY KEY (tenant_id, relay_user_linked_id)
);
CREATE UNIQUE INDEX pairings_live ON pairings (tenant_id, user_socket_hash) WHERE revoked_at IS NULL;

-- Offers to pair. A new one for the same user voids the older ones; a proof is consumed with the device's insertion.
CREATE TABLE pairing_proofs (
    tenant_id        TEXT    NOT NULL REFERENCES tenants,
    jti              TEXT    NOT NULL,
    user_socket_hash TEXT    NOT NULL,
    -- The profile of PreparePairing as JSON, until the pairing takes it over.
    profile          TEXT    NOT NULL,
    expires_at       BIGINT  NOT NULL,
    consumed_at      BIGINT,
    voided_at        BIGINT,
    PRIMARY KEY (tenant_id, jti)
);
CREATE INDEX pairing_proofs_by_user ON pairing_proofs (tenant_id, user_socket_hash);
CREATE INDEX pairing_proofs_by_expiry ON pairing_proofs (expires_at);

CREATE TABLE devices (
    tenant_id            TEXT    NOT NULL,
    device_id            TEXT    NOT NULL,
    relay_user_linked_id TEXT    NOT NULL,
    platform             TEXT    NOT NULL CHECK (platform IN ('android', 'ios', 'web', 'stream')),
    status               TEXT    NOT NULL CHECK (status IN ('active', 'awaiting_confirmation', 'removed')),
    device_name          TEXT,
    app_version          TEXT,
    device_public_key    TEXT,
    -- The push address; NULL for stream devices and for addresses that were given up.
    address_kind         TEXT    CHECK (address_kind IN ('token', 'fid')),
    address              TEXT,
    -- live, dead (a token-specific verdict) or quarantined (SENDER_ID_MISMATCH); PUSH.md 1.5.
    address_state        TEXT    NOT NULL CHECK (address_state IN ('live', 'dead', 'quarantined', 'none')),
    address_reason       TEXT,
    address_changed_at   BIGINT  NOT NULL,
    -- Session tokens carry the generation; older ones work as long as device_grace says.
    generation           BIGINT  NOT NULL,
    created_at           BIGINT  NOT NULL,
    last_seen_at         BIGINT  NOT NULL,
    removed_at           BIGINT,
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, relay_user_linked_id) REFERENCES pairings (tenant_id, relay_user_linked_id)
);
CREATE INDEX devices_by_pairing ON devices (tenant_id, relay_user_linked_id);

-- Superseded session tokens that still work for a moment (PROTOCOL 4): 60 s from their refresh.
CREATE TABLE device_grace (
    tenant_id  TEXT    NOT NULL,
    device_id  TEXT    NOT NULL,
    generation BIGINT  NOT NULL,
    until      BIGINT  NOT NULL,
    PRIMARY KEY (tenant_id, device_id, generation),
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, device_id)
);

CREATE TABLE prompts (
    tenant_id            TEXT    NOT NULL REFERENCES tenants,
    instruction_id       TEXT    NOT NULL,
    relay_user_linked_id TEXT    NOT NULL,
    -- SHA-256 of the request's canonical body: the same id with another body is a conflict.
    request_sha256       BYTEA   NOT NULL,
    -- The AuthChallenge and the asker's name as JSON, sealed: names and amounts are nobody's business at rest.
    content_sealed       BYTEA   NOT NULL,
    status               TEXT    NOT NULL CHECK (status IN ('pending', 'answered', 'cancelled')),
    wrong_codes          BIGINT  NOT NULL DEFAULT 0,
    created_at           BIGINT  NOT NULL,
    expires_at           BIGINT  NOT NULL,
    decided_at           BIGINT,
    -- The ApprovalEvent as JSON, once there is one.
    event                TEXT,
    -- The PushReceipt as JSON, once the first attempts are over.
    receipt              TEXT,
    PRIMARY KEY (tenant_id, instruction_id),
    FOREIGN KEY (tenant_id, relay_user_linked_id) REFERENCES pairings (tenant_id, relay_user_linked_id)
);
CREATE INDEX prompts_by_pairing ON prompts (tenant_id, relay_user_linked_id, created_at);

CREATE TABLE alerts (
    tenant_id            TEXT    NOT NULL REFERENCES tenants,
    notification_id      TEXT    NOT NULL,
    relay_user_linked_id TEXT    NOT NULL,
    request_sha256       BYTEA   NOT NULL,
    -- title, body and kind as JSON, sealed.
    content_sealed       BYTEA   NOT NULL,
    created_at           BIGINT  NOT NULL,
    expires_at           BIGINT  NOT NULL,
    receipt              TEXT,
    PRIMARY KEY (tenant_id, notification_id),
    FOREIGN KEY (tenant_id, relay_user_linked_id) REFERENCES pairings (tenant_id, relay_user_linked_id)
);
CREATE INDEX alerts_by_pairing ON alerts (tenant_id, relay_user_linked_id, created_at);

-- One row a device and message: the delivery status, and the queue of pushes still to be sent.
CREATE TABLE pushes (
    tenant_id       TEXT    NOT NULL,
    -- instruction_id or notification_id, by kind
    subject_id      TEXT    NOT NULL,
    kind            TEXT    NOT NULL CHECK (kind IN ('auth_challenge', 'security_alert', 'challenge_cancelled')),
    device_id       TEXT    NOT NULL,
    platform        TEXT    NOT NULL,
    -- due: waits for next_at; sending: leased; delivered, failed, expired: final
    state           TEXT    NOT NULL CHECK (state IN ('due', 'sending', 'delivered', 'failed', 'expired')),
    attempts        BIGINT  NOT NULL DEFAULT 0,
    next_at         BIGINT  NOT NULL,
    lease_until     BIGINT,
    lease_token     TEXT,
    expires_at      BIGINT  NOT NULL,
    fcm_message_id  TEXT,
    error           TEXT,
    sent_at         BIGINT,
    seen_at         BIGINT,
    PRIMARY KEY (tenant_id, subject_id, kind, device_id)
);
CREATE INDEX pushes_open ON pushes (next_at) WHERE state IN ('due', 'sending');

-- The outbox of callbacks.
CREATE TABLE deliveries (
    tenant_id      TEXT    NOT NULL REFERENCES tenants,
    -- Also the webhook-id.
    delivery_id    TEXT    NOT NULL,
    -- instruction_id for decisions, device_id for pairing events.
    subject_id     TEXT    NOT NULL,
    flow           TEXT    NOT NULL,
    url            TEXT    NOT NULL,
    -- Tenant and origin of the url: within a lane a slow receiver delays itself alone.
    lane           TEXT    NOT NULL,
    payload        TEXT    NOT NULL,
    -- due, sending (leased), acknowledged, dead
    state          TEXT    NOT NULL CHECK (state IN ('due', 'sending', 'acknowledged', 'dead')),
    attempts       BIGINT  NOT NULL DEFAULT 0,
    -- When the row may be claimed: the next attempt's time, or the end of the lease under which it is being sent.
    next_at        BIGINT  NOT NULL,
    lease_token    TEXT,
    created_at     BIGINT  NOT NULL,
    -- Origin of the retry schedule: created_at, or the operator's order to send again.
    scheduled_from BIGINT  NOT NULL,
    give_up_at     BIGINT  NOT NULL,
    settled_at     BIGINT,
    last_status    BIGINT,
    last_error     TEXT,
    PRIMARY KEY (tenant_id, delivery_id),
    UNIQUE (tenant_id, subject_id, flow)
);
CREATE INDEX deliveries_open ON deliveries (next_at) WHERE state IN ('due', 'sending');
-- What a claim reads: it costs the same whatever waits in other lanes, or further back in its own.
CREATE INDEX deliveries_in_lanes ON deliveries (lane, (attempts > 0), next_at) WHERE state IN ('due', 'sending');
CREATE INDEX deliveries_in_flight ON deliveries (lane, next_at) WHERE state = 'sending';
-- Operators name a delivery by its id alone.
CREATE UNIQUE INDEX deliveries_by_id ON deliveries (delivery_id);
CREATE INDEX deliveries_by_age ON deliveries (tenant_id, created_at);
