"""A copy in a single file of what is a package where the stack is."""

WHOSE = "the function's"
