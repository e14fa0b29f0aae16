"""The conformance suite: rows of behaviour, each proved by a test and by a break that it catches."""
