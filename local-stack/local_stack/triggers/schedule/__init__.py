"""Schedules: expression → source → event."""
