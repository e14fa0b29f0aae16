-- What ReconcileBets remembers from run to run: one row.

CREATE TABLE IF NOT EXISTS reconciliation (
    is_only     boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    verified_to timestamptz,  -- every bet before it was found in ClickHouse, once
    resent_at   timestamptz,  -- when missing bets were last announced again
    checked_at  timestamptz NOT NULL DEFAULT now(),
    report      jsonb NOT NULL DEFAULT '{}'
);
