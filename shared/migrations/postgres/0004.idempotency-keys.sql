-- The answers to requests that carried an Idempotency-Key, kept for a day.

CREATE TABLE IF NOT EXISTS idempotency_keys (
    user_id     uuid NOT NULL,
    route       text NOT NULL,
    key         text NOT NULL,
    fingerprint text NOT NULL,
    answer      text NOT NULL,
    expires_at  timestamptz NOT NULL DEFAULT now() + interval '24 hours',
    PRIMARY KEY (user_id, route, key)
);

CREATE INDEX IF NOT EXISTS idx_idempotency_keys_expires_at ON idempotency_keys (expires_at);
