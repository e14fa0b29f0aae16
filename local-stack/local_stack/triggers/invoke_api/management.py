"""Operations of the Lambda API beside Invoke: what there is, and the one limit that can be set."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from local_stack.errors import (
    FunctionNotFound,
    InvalidParameter,
    InvalidPayload,
    UnsupportedOperation,
    ValidationFailed,
)
from local_stack.model import VERSION, AsyncConfig, function_arn
from local_stack.triggers.invoke_api import outcome as answers
from local_stack.triggers.invoke_api.mappings import mapping_answer, mapping_uuid
from local_stack.triggers.invoke_api.names import PUBLISHED, executed_version, read_reference
from local_stack.triggers.invoke_api.operations import operation_of
from local_stack.triggers.invoke_api.paging import page
from local_stack.triggers.invoke_api.reserved import FORWARDED

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from local_stack.environments.pool import Pool
    from local_stack.http1 import HttpRequest
    from local_stack.invoke.invoker import Invoker
    from local_stack.model import Function, KafkaSource
    from local_stack.triggers.invoke_api.reserved import ReservedConcurrency

    Answer = tuple[int, dict[str, str], bytes]
    Query = Mapping[str, list[str]]
    Reader = Callable[[Sequence[str], Query], dict[str, Any]]
    Writer = Callable[[Sequence[str], HttpRequest], Awaitable[Answer]]

FUNCTIONS_PAGE = 50
MAPPINGS_PAGE = 100
_UNQUALIFIED_ONLY = (
    "This operation is permitted on Lambda functions only. Aliases and versions do not support "
    "this operation. Please specify either a function name or an unqualified function ARN."
)


class Management:
    """Answers every operation but Invoke; what is not done is refused by its name."""

    def __init__(
        self,
        invoker: Invoker,
        sources: Sequence[KafkaSource],
        reserved: ReservedConcurrency,
    ) -> None:
        self._invoker = invoker
        self._sources = {mapping_uuid(source): source for source in sources}
        self._reserved = reserved
        self._readers: dict[str, Reader] = {
            "ListFunctions": self._list_functions,
            "GetFunction": self._get_function,
            "GetFunctionConfiguration": self._get_configuration,
            "GetFunctionConcurrency": self._get_concurrency,
            "GetFunctionEventInvokeConfig": self._get_event_invoke_config,
            "ListVersionsByFunction": self._list_versions,
            "ListAliases": self._list_aliases,
            "GetAlias": self._get_alias,
            "ListEventSourceMappings": self._list_mappings,
            "GetEventSourceMapping": self._get_mapping,
        }
        self._writers: dict[str, Writer] = {
            "PutFunctionConcurrency": self._put_concurrency,
            "DeleteFunctionConcurrency": self._delete_concurrency,
        }

    @property
    def operations(self) -> frozenset[str]:
        """What is done here."""
        return frozenset(self._readers) | frozenset(self._writers)

    async def answer(self, request: HttpRequest) -> Answer:
        """Status, headers and body. Raises `InvokeError`s, `UnsupportedOperation` among them."""
        found = operation_of(request.method, request.path, request.query)
        if found is None:
            msg = f"{request.method} {request.path} is no operation of the Lambda API"
            raise UnsupportedOperation(msg)
        name, values = found
        if name in self._readers:
            query = parse_qs(request.query, keep_blank_values=True)
            return 200, {}, json.dumps(self._readers[name](values, query)).encode()
        if name in self._writers:
            return await self._writers[name](values, request)
        msg = f"{name} is not supported by this runtime"
        raise UnsupportedOperation(msg)

    # --- functions -----------------------------------------------------------------------------

    def _list_functions(self, _values: Sequence[str], query: Query) -> dict[str, Any]:
        functions = [pool.function for pool in self._invoker.pools.values()]
        versions = query.get("FunctionVersion", [""])[0]
        if versions == "ALL":
            shown = [each for function in functions for each in _versions(function)]
        elif versions == "":
            shown = [answers.configuration(function) for function in functions]
        else:
            raise ValidationFailed(versions, "functionVersion", "satisfy enum value set: [ALL]")
        chosen, marker = page(
            shown, lambda each: each["FunctionArn"], query, size_max=FUNCTIONS_PAGE
        )
        return _with_marker({"Functions": chosen}, marker)

    def _get_function(self, values: Sequence[str], query: Query) -> dict[str, Any]:
        pool, qualifier = self._find(values[0], query)
        return answers.function_answer(pool.function, pool.limit, qualifier)

    def _get_configuration(self, values: Sequence[str], query: Query) -> dict[str, Any]:
        pool, qualifier = self._find(values[0], query)
        return answers.configuration(pool.function, qualifier)

    def _get_event_invoke_config(self, values: Sequence[str], query: Query) -> dict[str, Any]:
        pool, qualifier = self._find(values[0], query)
        function = pool.function
        if function.async_config == AsyncConfig():
            arn = f"{function.arn}:{qualifier or VERSION}"
            msg = f"The function {arn} doesn't have an EventInvokeConfig"
            raise FunctionNotFound(msg)
        return answers.event_invoke_answer(function, qualifier)

    def _list_versions(self, values: Sequence[str], query: Query) -> dict[str, Any]:
        pool, _ = self._find(values[0], query)
        versions = _versions(pool.function)
        chosen, marker = page(
            versions, lambda each: each["Version"], query, size_max=FUNCTIONS_PAGE
        )
        return _with_marker({"Versions": chosen}, marker)

    # --- aliases -------------------------------------------------------------------------------

    def _list_aliases(self, values: Sequence[str], query: Query) -> dict[str, Any]:
        pool, _ = self._find(values[0], query)
        version = query.get("FunctionVersion", [PUBLISHED])[0]
        has_one = pool.function.alias is not None and version == PUBLISHED
        aliases = [answers.alias_answer(pool.function)] if has_one else []
        chosen, marker = page(aliases, lambda each: each["Name"], query, size_max=FUNCTIONS_PAGE)
        return _with_marker({"Aliases": chosen}, marker)

    def _get_alias(self, values: Sequence[str], query: Query) -> dict[str, Any]:
        pool, _ = self._find(values[0], query)
        if pool.function.alias is None or values[1] != pool.function.alias:
            msg = f"Cannot find alias arn: {pool.function.arn}:{values[1]}"
            raise FunctionNotFound(msg)
        return answers.alias_answer(pool.function)

    # --- concurrency ---------------------------------------------------------------------------

    def _get_concurrency(self, values: Sequence[str], _query: Query) -> dict[str, Any]:
        return answers.concurrency_answer(self._unqualified(values[0]).limit)

    async def _put_concurrency(self, values: Sequence[str], request: HttpRequest) -> Answer:
        pool = self._unqualified(values[0])
        limit = _read_limit(request.body)
        provisioned = pool.function.provisioned_concurrency
        if limit < provisioned:
            msg = (
                f"ReservedConcurrentExecutions {limit} should not be lower than function's total "
                f"provisioned concurrency [{provisioned}]."
            )
            raise InvalidParameter(msg)
        forwarded = bool(request.header(FORWARDED.encode()))
        await self._reserved.change(pool.function.name, limit, forwarded=forwarded)
        return 200, {}, json.dumps(answers.concurrency_answer(limit)).encode()

    async def _delete_concurrency(self, values: Sequence[str], request: HttpRequest) -> Answer:
        pool = self._unqualified(values[0])
        forwarded = bool(request.header(FORWARDED.encode()))
        await self._reserved.change(pool.function.name, None, forwarded=forwarded)
        return 204, {}, b""

    # --- event source mappings -----------------------------------------------------------------

    def _list_mappings(self, _values: Sequence[str], query: Query) -> dict[str, Any]:
        found = list(self._sources.values())
        if "FunctionName" in query:
            name = read_reference(query["FunctionName"][0]).name
            found = [source for source in found if source.function == name]
        if "EventSourceArn" in query:
            arn = query["EventSourceArn"][0]
            found = [source for source in found if source.source_arn == arn]
        chosen, marker = page(found, mapping_uuid, query, size_max=MAPPINGS_PAGE)
        shown = [mapping_answer(source) for source in chosen]
        return _with_marker({"EventSourceMappings": shown}, marker)

    def _get_mapping(self, values: Sequence[str], _query: Query) -> dict[str, Any]:
        source = self._sources.get(values[0])
        if source is None:
            raise FunctionNotFound("The resource you requested does not exist.")
        return mapping_answer(source)

    # --- what they share -----------------------------------------------------------------------

    def _find(self, raw: str, query: Query) -> tuple[Pool, str]:
        """The pool of a function, and the qualifier it was asked for with, which exists."""
        reference = read_reference(raw, query.get("Qualifier", [""])[0])
        pool = self._invoker.pools.get(reference.name)
        if pool is None:
            arn = function_arn(reference.name)
            suffix = f":{reference.qualifier}" if reference.qualifier else ""
            msg = f"Function not found: {arn}{suffix}"
            raise FunctionNotFound(msg)
        executed_version(pool.function, reference.qualifier)
        return pool, reference.qualifier

    def _unqualified(self, raw: str) -> Pool:
        pool, qualifier = self._find(raw, {})
        if qualifier:
            raise InvalidParameter(_UNQUALIFIED_ONLY)
        return pool


def _versions(function: Function) -> list[dict[str, Any]]:
    published = [] if function.alias is None else [PUBLISHED]
    return [answers.configuration(function, version) for version in (VERSION, *published)]


def _with_marker(body: dict[str, Any], marker: str | None) -> dict[str, Any]:
    return body if marker is None else {**body, "NextMarker": marker}


def _read_limit(body: bytes) -> int:
    try:
        document = json.loads(body)
        limit = document["ReservedConcurrentExecutions"]
    except (ValueError, TypeError, KeyError) as error:
        msg = "Could not parse request body into json: ReservedConcurrentExecutions is missing"
        raise InvalidPayload(msg) from error
    if not isinstance(limit, int) or isinstance(limit, bool):
        msg = "Could not parse request body into json: ReservedConcurrentExecutions is no integer"
        raise InvalidPayload(msg)
    if limit < 0:
        constraint = "have value greater than or equal to 0"
        raise ValidationFailed(limit, "reservedConcurrentExecutions", constraint)
    return limit
