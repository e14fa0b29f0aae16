"""A function that brings copies of its own, in its folder and in a layer."""

from importlib import metadata

import click
import idna


def handler(event, context):
    return {
        "click": getattr(click, "WHOSE", click.__file__),
        "idna": getattr(idna, "WHOSE", idna.__file__),
        "version": metadata.version("idna"),
    }
