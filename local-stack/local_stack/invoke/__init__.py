"""The only door to execution environments."""
