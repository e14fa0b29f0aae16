"""HTTP API: source → event → … → outcome."""
