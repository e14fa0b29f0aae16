"""Intrinsics against Python: whatever the nesting, both come to the same."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from local_stack.template.intrinsics import Resolver
from local_stack.template.parameters import NO_VALUE
from local_stack.template.source import LineDict

PARAMETERS = {"A": "a", "B": "b", "Empty": ""}
Known = tuple[Any, Any]  # an expression of the template, and what it is in Python

_texts = st.sampled_from(
    [("x", "x"), ("", ""), ({"Ref": "A"}, "a"), ({"Ref": "B"}, "b"), ({"Ref": "Empty"}, "")]
)


def _nested(inner: st.SearchStrategy[Known]) -> st.SearchStrategy[Known]:
    joined = st.tuples(st.sampled_from(["-", "", "::"]), st.lists(inner, max_size=3)).map(
        lambda given: (
            {"Fn::Join": [given[0], [item[0] for item in given[1]]]},
            given[0].join(item[1] for item in given[1]),
        )
    )
    substituted = st.tuples(inner, inner).map(
        lambda given: (
            {"Fn::Sub": ["${x}/${y}/${A}/${!B}", {"x": given[0][0], "y": given[1][0]}]},
            f"{given[0][1]}/{given[1][1]}/a/${{B}}",
        )
    )
    selected = st.tuples(st.integers(0, 2), st.lists(inner, min_size=3, max_size=3)).map(
        lambda given: (
            {"Fn::Select": [given[0], [item[0] for item in given[1]]]},
            given[1][given[0]][1],
        )
    )
    return joined | substituted | selected


TEXTS = st.recursive(_texts, _nested, max_leaves=8)


def _logical(inner: st.SearchStrategy[Known]) -> st.SearchStrategy[Known]:
    some = st.lists(inner, min_size=2, max_size=4)
    return (
        some.map(lambda g: ({"Fn::And": [i[0] for i in g]}, all(i[1] for i in g)))
        | some.map(lambda g: ({"Fn::Or": [i[0] for i in g]}, any(i[1] for i in g)))
        | inner.map(lambda g: ({"Fn::Not": [g[0]]}, not g[1]))
    )


CONDITIONS = st.recursive(
    st.tuples(TEXTS, TEXTS).map(lambda g: ({"Fn::Equals": [g[0][0], g[1][0]]}, g[0][1] == g[1][1])),
    _logical,
    max_leaves=6,
)


def _resolver(**conditions: Any) -> Resolver:
    declared = {name: {"Type": "String"} for name in PARAMETERS}
    document = LineDict({"Parameters": declared, "Conditions": conditions, "Resources": {}})
    return Resolver(document, PARAMETERS, "template.yaml")


@given(TEXTS)
def test_texts_come_to_what_python_makes_of_them(text: Known) -> None:
    assert _resolver().resolve(text[0], "here") == text[1]


@given(CONDITIONS, TEXTS, TEXTS)
def test_conditions_decide_as_python_does(condition: Known, then: Known, other: Known) -> None:
    resolver = _resolver(It=condition[0])

    assert resolver.condition("It") is condition[1]
    chosen = then if condition[1] else other
    assert resolver.resolve({"Fn::If": ["It", then[0], other[0]]}, "here") == chosen[1]


@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_what_is_joined_can_be_split(items: list[Known]) -> None:
    joined = {"Fn::Join": ["|", [item[0] for item in items]]}

    assert _resolver().resolve({"Fn::Split": ["|", joined]}, "here") == [i[1] for i in items]


@given(st.lists(st.tuples(TEXTS, st.booleans()), max_size=5))
def test_what_has_no_value_is_gone_and_the_rest_keeps_its_order(
    items: list[tuple[Known, bool]],
) -> None:
    values = [item[0] if kept else {"Ref": "AWS::NoValue"} for item, kept in items]

    assert _resolver().resolve(values, "here") == [item[1] for item, kept in items if kept]
    assert _resolver().resolve({"Ref": "AWS::NoValue"}, "here") is NO_VALUE
