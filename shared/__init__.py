"""The Lambda layer: everything that the functions share. It never knows a function."""
