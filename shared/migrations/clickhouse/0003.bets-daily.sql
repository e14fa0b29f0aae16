-- Bets and stakes by day (UTC).
CREATE TABLE IF NOT EXISTS bets_daily
(
    period       DateTime('UTC'),
    bet_count    UInt64,
    total_amount Decimal(38, 2)
)
ENGINE = SummingMergeTree
ORDER BY period
SETTINGS non_replicated_deduplication_window = 100000;

CREATE MATERIALIZED VIEW IF NOT EXISTS bets_daily_view TO bets_daily AS
SELECT
    toStartOfDay(occurred_at) AS period,
    count() AS bet_count,
    sum(amount) AS total_amount
FROM bet_events
WHERE event_type = 'bet.placed'
GROUP BY period;
