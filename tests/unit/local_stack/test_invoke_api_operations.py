"""Every operation of the Lambda API is known by its name, as botocore's service model has it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from local_stack.triggers.invoke_api.operations import operation_of
from tests.support.service_model import lambda_model

if TYPE_CHECKING:
    from collections.abc import Iterator


def _operations() -> Iterator[tuple[str, str, str]]:
    model = lambda_model()
    for name in model.operation_names:
        http = model.operation_model(name).http
        yield name, http["method"], http["requestUri"]


@pytest.mark.parametrize(("name", "method", "address"), list(_operations()))
def test_an_operation_is_found_by_method_and_path(name: str, method: str, address: str) -> None:
    filled = re.sub(r"\{([^}]+)\}", lambda match: f"a%20{match[1]}", address)
    path, _, query = filled.partition("?")

    wanted = tuple(f"a {part}" for part in re.findall(r"\{([^}]+)\}", address))
    assert operation_of(method, path, query) == (name, wanted)
    assert operation_of(method, f"{path.rstrip('/')}/", f"{query}&x=y") == (name, wanted)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/2015-03-31"),
        ("PATCH", "/2015-03-31/functions"),
        ("GET", "/2015-03-31/functions/a/b/c/d/e"),
        ("POST", "/2015-03-30/functions/a/invocations"),
    ],
)
def test_what_is_no_operation_has_no_name(method: str, path: str) -> None:
    assert operation_of(method, path) is None
