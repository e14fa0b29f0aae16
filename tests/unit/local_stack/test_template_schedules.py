"""Schedules of a template: what is read, and what is refused with file and line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from local_stack.model import Schedule
from local_stack.template.schedules import INPUT_BYTES_MAX
from tests.support.templates import FUNCTION, Project

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def _text(kind: str, properties: str) -> str:
    lines = "".join(f"            {line}\n" for line in properties.splitlines())
    return (
        f"{FUNCTION}      Events:\n        E:\n          Type: {kind}\n"
        f"          Properties:\n{lines}"
    )


FIRST_LINE = 12  # of the properties, in what `_text` writes


@pytest.mark.parametrize(
    ("properties", "schedule"),
    [
        ("Schedule: rate(1 minute)", Schedule("HelloE", "Hello", "rate(1 minute)")),
        (
            "Schedule: rate(2 days)\nName: nightly\nInput: '{\"a\": 1}'\nDescription: x",
            Schedule("nightly", "Hello", "rate(2 days)", input_json='{"a": 1}'),
        ),
        (
            "Schedule: cron(0 12 * * ? *)\nEnabled: false",
            Schedule("HelloE", "Hello", "cron(0 12 * * ? *)", enabled=False),
        ),
        (
            "Schedule: rate(1 minute)\nEnabled: 'True'\nRoleArn: arn:aws:iam::1:role/x",
            Schedule("HelloE", "Hello", "rate(1 minute)"),
        ),
        (
            "Schedule: rate(1 minute)\nState: DISABLED",
            Schedule("HelloE", "Hello", "rate(1 minute)", enabled=False),
        ),
        (
            "Schedule: rate(1 minute)\nState: ENABLED\nRetryPolicy: {MaximumRetryAttempts: 2}",
            Schedule("HelloE", "Hello", "rate(1 minute)"),
        ),
    ],
)
def test_a_schedule_of_a_rule_is_read(
    project: Project, properties: str, schedule: Schedule
) -> None:
    template = project.load(_text("Schedule", properties))

    assert template.schedules == (schedule,)
    assert template.functions["Hello"].routes == ()


def test_a_schedule_of_scheduler_is_read_with_its_defaults(project: Project) -> None:
    template = project.load(_text("ScheduleV2", "ScheduleExpression: at(2026-01-31T12:00:00)"))

    assert template.schedules == (
        Schedule("HelloE", "Hello", "at(2026-01-31T12:00:00)", kind="scheduler"),
    )


def test_a_schedule_of_scheduler_is_read_whole(project: Project) -> None:
    [schedule] = project.load(
        _text(
            "ScheduleV2",
            "ScheduleExpression: cron(0 12 * * ?)\n"
            "ScheduleExpressionTimezone: Europe/Madrid\n"
            "StartDate: 2026-01-01T00:00:00Z\n"
            "EndDate: '2026-02-01T01:00:00+01:00'\n"
            "FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 15}\n"
            "Input: '{}'\n"
            "Name: nightly\n"
            "GroupName: books\n"
            "State: DISABLED\n"
            "RetryPolicy: {MaximumRetryAttempts: 2, MaximumEventAgeInSeconds: 60}\n"
            "OmitName: true",
        )
    ).schedules

    assert schedule == Schedule(
        "nightly",
        "Hello",
        "cron(0 12 * * ?)",
        enabled=False,
        input_json="{}",
        kind="scheduler",
        timezone="Europe/Madrid",
        group="books",
        starts=datetime(2026, 1, 1, tzinfo=UTC),
        ends=datetime(2026, 2, 1, tzinfo=UTC),
    )


@pytest.mark.parametrize("mode", ["OFF", "'OFF'", "FLEXIBLE, MaximumWindowInMinutes: 1440"])
def test_every_window_is_taken_and_none_is_waited_for(project: Project, mode: str) -> None:
    text = f"ScheduleExpression: rate(1 day)\nFlexibleTimeWindow: {{Mode: {mode}}}"

    template = project.load(_text("ScheduleV2", text))

    assert template.schedules == (Schedule("HelloE", "Hello", "rate(1 day)", kind="scheduler"),)


@pytest.mark.parametrize(
    ("kind", "properties", "message"),
    [
        ("Schedule", "Schedule: cron(0 12 * * * *)", "E.Schedule: schedule 'cron(0 12 * * * *)'"),
        ("Schedule", "Schedule: at(2026-01-01T00:00:00)", "at(…) is an expression of ScheduleV2"),
        ("Schedule", "Schedule: [a]", "E.Schedule: is a text"),
        ("Schedule", "Name: x", "E.Schedule: schedule '' is no schedule"),
        ("Schedule", "Input: '{'\nSchedule: rate(1 day)", "E.Input: is a JSON text"),
        ("Schedule", "Input: {a: 1}\nSchedule: rate(1 day)", "E.Input: is a JSON text"),
        ("Schedule", "State: BUSY\nSchedule: rate(1 day)", "E.State: 'BUSY' is none of ENABLED"),
        ("Schedule", "Enabled: maybe\nSchedule: rate(1 day)", "E.Enabled: 'maybe' is none of"),
        (
            "Schedule",
            "DeadLetterConfig: {Type: SQS}\nSchedule: rate(1 day)",
            "E.DeadLetterConfig: this runtime cannot honour it",
        ),
        ("ScheduleV2", "ScheduleExpression: rate(0 days)", "a rate is 1 or more"),
        (
            "ScheduleV2",
            "ScheduleExpressionTimezone: Mars/North\nScheduleExpression: rate(1 day)",
            "E.ScheduleExpressionTimezone: 'Mars/North' is no time zone of this machine",
        ),
        (
            "ScheduleV2",
            "ScheduleExpressionTimezone: ../etc\nScheduleExpression: rate(1 day)",
            "'../etc' is no time zone",
        ),
        (
            "ScheduleV2",
            "StartDate: soon\nScheduleExpression: rate(1 day)",
            "E.StartDate: 'soon' is no time",
        ),
        (
            "ScheduleV2",
            "EndDate: 2026-01-01T00:00:00Z\nStartDate: 2026-01-01T00:00:00Z\n"
            "ScheduleExpression: rate(1 day)",
            "E.EndDate: is not after StartDate",
        ),
        (
            "ScheduleV2",
            "FlexibleTimeWindow: {Mode: SOME}\nScheduleExpression: rate(1 day)",
            "FlexibleTimeWindow.Mode: 'SOME' is none of OFF, FLEXIBLE",
        ),
        (
            "ScheduleV2",
            "FlexibleTimeWindow: {Mode: FLEXIBLE, MaximumWindowInMinutes: 1441}\n"
            "ScheduleExpression: rate(1 day)",
            "is not a whole number from 1 to 1440",
        ),
        (
            "ScheduleV2",
            "DeadLetterConfig: {Type: SQS}\nScheduleExpression: rate(1 day)",
            "E.DeadLetterConfig: this runtime cannot honour it",
        ),
    ],
)
def test_a_wrong_schedule_is_refused_with_its_line(
    project: Project, kind: str, properties: str, message: str
) -> None:
    refusal = project.refusal(_text(kind, properties))

    assert message in refusal
    line = int(refusal.split(":")[1])
    assert line == FIRST_LINE or "no schedule" in refusal


@pytest.mark.parametrize(
    ("kind", "named", "bytes_max"),
    [
        ("Schedule", "Schedule", 8192),
        ("ScheduleV2", "ScheduleExpression", INPUT_BYTES_MAX),
    ],
)
def test_an_input_has_a_largest_size(
    project: Project, kind: str, named: str, bytes_max: int
) -> None:
    longest = '"' + "x" * (bytes_max - 2) + '"'

    template = project.load(_text(kind, f"{named}: rate(1 day)\nInput: '{longest}'"))
    assert template.schedules[0].input_json == longest
    refusal = project.refusal(_text(kind, f"{named}: rate(1 day)\nInput: ' {longest}'"))
    assert f"has {bytes_max} bytes at most" in refusal
