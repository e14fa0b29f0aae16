"""The Kafka event source mapping: source → batch → event → … → outcome."""
