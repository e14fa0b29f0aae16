"""The parts beside the functions: PostgreSQL, Kafka, ClickHouse, Nginx."""
