"""A handler that draws lots."""

import os
import random
import secrets
import ssl
import uuid

import numpy as np


def handler(event, context):
    return {
        "pid": os.getpid(),
        "drawn": [
            random.random(),
            np.random.random(),
            np.random.default_rng().random(),
            secrets.token_hex(),
            str(uuid.uuid4()),
            ssl.RAND_bytes(8).hex(),
            os.urandom(8).hex(),
        ],
    }
