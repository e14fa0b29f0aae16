"""Stand-ins, written by hand, for what would need a process or an outage."""
