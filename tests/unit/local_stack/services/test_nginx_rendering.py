"""Nginx's configuration as text; tests/integration asks the real Nginx."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from local_stack.errors import SettingsError
from local_stack.model import Route
from local_stack.services import nginx
from local_stack.settings import Settings


def _settings(**values: object) -> Settings:
    return Settings.model_validate(
        {"project_dir": Path("/project"), "stack_dir": Path("/project/.stack"), **values}
    )


def test_exact_paths_come_before_patterns_and_the_default_last() -> None:
    routes = [
        Route("ANY", "$default"),
        Route("GET", "/files/{path+}"),
        Route("GET", "/api/bets/{userId}"),
        Route("GET", "/api/bets/{userId}/{betId}"),
        Route("GET", "/api/bet"),
        Route("POST", "/api/bet"),
    ]

    found = nginx.locations(routes)

    assert [location.match for location in found] == [
        "= '/api/bet'",
        r"~ '^/api/bets/[^/]+/[^/]+$'",
        r"~ '^/api/bets/[^/]+$'",
        r"~ '^/files/.+$'",
        "/",
    ]
    assert found[0].routes == "GET /api/bet, POST /api/bet"


def test_what_means_something_in_a_pattern_is_taken_literally() -> None:
    (location,) = nginx.locations([Route("GET", "/a.b/{id}/it's")])

    assert location.match == r"~ '^/a\\.b/[^/]+/it\'s$'"


def test_every_host_is_in_both_upstreams() -> None:
    text = nginx.render(_settings(replicas=3), [])

    for port in (14570, 14572, 14574):
        assert f"server 127.0.0.1:{port} " in text
        assert f"server 127.0.0.1:{port + 1} " in text


def test_limits_and_ports_come_from_the_settings() -> None:
    settings = _settings(limits={"http_body_bytes": 65536}, ports={"http": 9000})

    text = nginx.render(settings, [])

    assert "client_max_body_size 65536;" in text
    assert "listen 127.0.0.1:9000 " in text


def test_only_loopback_is_listened_on() -> None:
    lines = nginx.render(_settings(), []).splitlines()

    listens = [line.strip() for line in lines if line.strip().startswith("listen ")]
    assert len(listens) == 3
    assert all(line.startswith("listen 127.0.0.1:") for line in listens)


@pytest.mark.parametrize("page", nginx.http_errors("problem"), ids=lambda page: str(page.status))
def test_problems_have_every_member(page: nginx.ErrorPage) -> None:
    problem = json.loads(page.body.strip("'"))

    assert set(problem) == {"type", "title", "status", "detail", "instance", "code"}
    assert problem["status"] == page.status
    assert page.content_type == "application/problem+json"


def test_the_gateway_style_of_aws_is_kept() -> None:
    pages = {page.status: page for page in nginx.http_errors("aws")}

    assert json.loads(pages[404].body.strip("'")) == {"message": "Not Found"}
    assert json.loads(pages[503].body.strip("'")) == {"message": "Service Unavailable"}


def test_gateway_statuses_become_503() -> None:
    causes = {page.status: page.causes for page in nginx.http_errors("problem")}

    assert causes[503] == "502 503 504 =503"
    assert causes[431] == "494 =431"
    assert causes[404] == "404 405 =404"


def test_a_template_that_does_not_render_is_named(tmp_path: Path) -> None:
    template = tmp_path / "nginx.conf.j2"
    template.write_text("{{ no_such_name }}")

    with pytest.raises(SettingsError, match=r"nginx\.conf\.j2: 'no_such_name' is undefined"):
        nginx.render(_settings(nginx_template=template), [])


def test_paths_without_a_route_go_to_the_gateway_only_if_it_has_a_say() -> None:
    routes = [Route("GET", "/a")]

    assert [location.match for location in nginx.locations(routes)] == ["= '/a'"]
    assert [location.match for location in nginx.locations(routes, every_path=True)] == [
        "= '/a'",
        "/",
    ]
    default = [Route("ANY", "$default")]
    assert len(nginx.locations(default, every_path=True)) == 1


def test_a_function_url_may_be_waited_for_as_long_as_a_function_runs() -> None:
    text = nginx.render(_settings(), [], function_urls=True)

    assert r"server_name ~^[^.]+\.lambda-url\.;" in text
    assert text.count("proxy_read_timeout 910s;") == 2  # and the Lambda API


def test_the_lambda_api_answers_to_loopback_and_to_names_that_are_allowed() -> None:
    text = nginx.render(_settings(allowed_hosts=("place-bet", "host.docker.internal")), [])

    names = "localhost *.localhost 127.0.0.1 [::1] place-bet host.docker.internal"
    assert f"server_name {names};" in text
