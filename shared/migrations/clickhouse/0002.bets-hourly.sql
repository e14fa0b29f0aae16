-- Bets and stakes by hour (UTC). Sum the rows of a period: merging is the engine's own business.
CREATE TABLE IF NOT EXISTS bets_hourly
(
    period       DateTime('UTC'),
    bet_count    UInt64,
    total_amount Decimal(38, 2)
)
ENGINE = SummingMergeTree
ORDER BY period
SETTINGS non_replicated_deduplication_window = 100000;

CREATE MATERIALIZED VIEW IF NOT EXISTS bets_hourly_view TO bets_hourly AS
SELECT
    toStartOfHour(occurred_at) AS period,
    count() AS bet_count,
    sum(amount) AS total_amount
FROM bet_events
WHERE event_type = 'bet.placed'
GROUP BY period;
