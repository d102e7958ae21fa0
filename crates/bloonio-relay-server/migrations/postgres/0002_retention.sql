-- What the sweep looks for: rows whose time is over (storage/retention.rs).
CREATE INDEX prompts_by_end ON prompts (expires_at);
CREATE INDEX alerts_by_end ON alerts (expires_at);
CREATE INDEX pushes_by_end ON pushes (expires_at) WHERE state IN ('delivered', 'failed', 'expired');
CREATE INDEX deliveries_by_end ON deliveries (state, settled_at) WHERE state IN ('acknowledged', 'dead');
CREATE INDEX devices_by_end ON devices (removed_at) WHERE status = 'removed';
