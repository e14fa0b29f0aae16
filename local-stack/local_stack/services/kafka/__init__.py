"""The embedded Kafka broker, which keeps everything in memory, and the memory of its topics."""
