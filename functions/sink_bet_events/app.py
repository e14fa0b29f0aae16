"""Kafka topic `bet-events` → ClickHouse `bet_events`: at-least-once in, every event counted once.

What can never be read goes to `bet-events.dead-letter`; what cannot be stored now comes again.
"""

from shared.betting.events import decode_bet_event
from shared.betting.sink_bet_events import sink_bet_events
from shared.kafka_batch import kafka_handler

handler = kafka_handler(sink_bet_events, decode=decode_bet_event)
