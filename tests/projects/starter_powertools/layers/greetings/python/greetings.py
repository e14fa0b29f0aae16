"""What the functions share: it is in the layer."""

import os


def greet(name):
    return f"{os.environ['GREETING']}, {name}"
