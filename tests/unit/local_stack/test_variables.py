"""The environment variables of an environment, as they were recorded on AWS."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_stack.environments.variables import function_variables
from local_stack.template.functions import RESERVED_VARIABLES
from tests.support.functions import a_function


def _variables(**own: str) -> dict[str, str]:
    function = a_function(
        "PlaceBet", variables=own, memory_mb=512, code_dir=Path("/code/place bet")
    )
    return function_variables(
        function,
        runtime_api="127.0.0.1:9001",
        log_stream="2026/11/24/[$LATEST]0",
        initialization_type="on-demand",
    )


def test_a_function_sees_what_lambda_sets() -> None:
    assert _variables() == {
        "_HANDLER": "app.handler",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "PlaceBet",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_FORMAT": "Text",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/PlaceBet",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/24/[$LATEST]0",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/code/place bet",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "PWD": "/code/place bet",
        "SHLVL": "0",
        "TZ": ":UTC",
    }


def test_a_function_has_its_own_variables_beside_them() -> None:
    assert _variables(COLOUR="blue")["COLOUR"] == "blue"


@pytest.mark.parametrize("name", ["LANG", "PATH", "TZ", "AWS_LAMBDA_LOG_FORMAT"])
def test_a_function_may_override_what_lambda_lets_it(name: str) -> None:
    assert _variables(**{name: "mine"})[name] == "mine"


@pytest.mark.parametrize("name", sorted(RESERVED_VARIABLES & set(_variables())))
def test_a_function_may_not_override_what_is_reserved(name: str) -> None:
    assert _variables(**{name: "mine"})[name] == _variables()[name]
