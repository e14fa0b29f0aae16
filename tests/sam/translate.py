"""Translates SAM templates as AWS does: run by the interpreter that has aws-sam-translator.

Reads a JSON list of `{"text": template, "parameters": {name: value}}` and writes the list of the
CloudFormation templates. Code of this machine stands as an address in S3, as `sam package` leaves
it.
"""

import json
import os
import sys

os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from samtranslator.parser.parser import Parser  # type: ignore[import-not-found]
from samtranslator.translator.translator import Translator  # type: ignore[import-not-found]
from samtranslator.yaml_helper import yaml_parse  # type: ignore[import-not-found]

LOCAL = ("CodeUri", "ContentUri")


def _translated(text: str, parameters: dict[str, str]) -> object:
    document = yaml_parse(text)
    for resource in document["Resources"].values():
        properties = resource.get("Properties", {})
        properties |= {name: "s3://bucket/key" for name in LOCAL if name in properties}
    return Translator({}, Parser()).translate(document, parameters)


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    json.dump([_translated(item["text"], item["parameters"]) for item in wanted], sys.stdout)
