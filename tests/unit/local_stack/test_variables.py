"""The environment variables of an environment, as they were recorded on AWS."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from local_stack.environments.variables import function_variables
from local_stack.model import Logging
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
        "_AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
        "_HANDLER": "app.handler",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
        "AWS_LAMBDA_FUNCTION_NAME": "PlaceBet",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/PlaceBet",
        "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/24/[$LATEST]0",
        "AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001",
        "AWS_REGION": "us-east-1",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "127.0.0.1:2000",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LAMBDA_TASK_ROOT": "/code/place bet",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "LD_LIBRARY_PATH": "/lib64:/usr/lib64:/code/place bet:/code/place bet/lib:/opt/lib",
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
        "PWD": "/code/place bet",
        "PYTHONPATH": "/var/runtime",
        "SHLVL": "0",
        "TZ": ":UTC",
    }


def test_a_function_has_its_own_variables_beside_them() -> None:
    assert _variables(COLOUR="blue")["COLOUR"] == "blue"


@pytest.mark.parametrize(
    "name",
    [
        "AWS_LAMBDA_LOG_FORMAT",
        "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS",
        "LANG",
        "LD_LIBRARY_PATH",
        "PATH",
        "PYTHONPATH",
        "TZ",
    ],
)
def test_a_function_may_override_what_lambda_lets_it(name: str) -> None:
    assert _variables(**{name: "mine"})[name] == "mine"


@pytest.mark.parametrize("name", sorted(RESERVED_VARIABLES & set(_variables())))
def test_a_function_may_not_override_what_is_reserved(name: str) -> None:
    assert _variables(**{name: "mine"})[name] == _variables()[name]


# `_X_AMZN_TRACE_ID` is set by awslambdaric, for each invocation.
RECORDED = frozenset(
    [
        "AWS_ACCESS_KEY_ID", "AWS_DEFAULT_REGION", "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_XRAY_CONTEXT_MISSING",
        "AWS_XRAY_DAEMON_ADDRESS", "LAMBDA_RUNTIME_DIR", "LAMBDA_TASK_ROOT", "LANG", "LC_CTYPE",
        "LD_LIBRARY_PATH", "PATH", "PWD", "PYTHONPATH", "SHLVL", "TZ", "_AWS_XRAY_DAEMON_ADDRESS",
        "_AWS_XRAY_DAEMON_PORT", "_HANDLER",
    ]
)  # fmt: skip


def test_the_names_are_exactly_those_that_were_recorded_on_aws() -> None:
    assert set(_variables()) == RECORDED


def test_a_function_that_logs_json_is_told_so() -> None:
    def variables(logging: Logging) -> dict[str, str]:
        return function_variables(
            a_function(logging=logging),
            runtime_api="127.0.0.1:9001",
            log_stream="stream",
            initialization_type="on-demand",
        )

    plain = variables(Logging(format="JSON"))
    chosen = variables(Logging(format="JSON", application_level="WARN", group="ours"))

    assert (plain["AWS_LAMBDA_LOG_FORMAT"], plain["AWS_LAMBDA_LOG_LEVEL"]) == ("JSON", "INFO")
    assert chosen["AWS_LAMBDA_LOG_LEVEL"] == "WARN"
    assert chosen["AWS_LAMBDA_LOG_GROUP_NAME"] == "ours"
