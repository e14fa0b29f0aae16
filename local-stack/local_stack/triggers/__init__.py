"""What makes a function run: HTTP, Kafka, schedules, the Invoke API."""
