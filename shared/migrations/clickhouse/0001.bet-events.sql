-- Every event of a bet, once. The sink looks ids up in a span of time, and its inserts carry a
-- token made of their event ids. The window is how many tokens are remembered; insert_token is the
-- token that a row came with, so that an insert which never reached its views can be repeated.
CREATE TABLE IF NOT EXISTS bet_events
(
    event_id       UUID,
    event_type     LowCardinality(String),
    occurred_at    DateTime64(6, 'UTC'),
    bet_id         UUID,
    user_id        UUID,
    game_id        UUID,
    amount         Decimal(18, 2),
    bet_type       LowCardinality(String),
    bet_value      Nullable(String),
    odds           Decimal(9, 2),
    potential_win  Decimal(18, 2),
    transaction_id UUID,
    new_balance    Decimal(18, 2),
    insert_token   UUID,
    inserted_at    DateTime64(3, 'UTC') DEFAULT now64(3, 'UTC')
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(occurred_at)
ORDER BY (occurred_at, event_id)
SETTINGS non_replicated_deduplication_window = 100000;
