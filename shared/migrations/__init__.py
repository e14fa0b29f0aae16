"""How the stores come to their present shape."""
