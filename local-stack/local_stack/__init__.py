"""The function runtime: runs anybody's SAM project in Python on one machine."""
