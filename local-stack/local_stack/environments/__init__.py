"""Execution environments: one process each, one invocation at a time."""
