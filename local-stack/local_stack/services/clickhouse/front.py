"""The ASGI application: HTTP in, executions on worker threads, HTTP out.

It speaks for one `Engine`. Everything that a client can make wait, grow or break is bounded by
`Limits`. It logs no query, no parameter and no header: they may hold secrets.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from local_stack.services.clickhouse.admission import Admission
from local_stack.services.clickhouse.errors import ClickHouseError, Code
from local_stack.services.clickhouse.exchange import Exchange
from local_stack.services.clickhouse.execution import Execution
from local_stack.services.clickhouse.protocol import after_waiting, form_boundary, parse_request
from local_stack.services.clickhouse.sessions import Sessions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
    from concurrent.futures import Future

    from local_stack.services.clickhouse.engine import Engine
    from local_stack.services.clickhouse.limits import Limits
    from local_stack.services.clickhouse.protocol import Request
    from local_stack.services.clickhouse.sessions import Session

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

LOGGER = logging.getLogger(__name__)
KILL_AGAIN_S = 0.2
WAITED_S_MIN = 0.05  # a shorter wait is not worth a connection with a time limit of its own
GONE_NOTICED_S = 0.005  # for the loop to see that a client has left while it waited
SESSION_SWEEP_S = 5.0
_HEALTH_PATHS = frozenset({"/ping", "/replicas_status"})
_QUERY_PATHS = frozenset({"/", "/query"})
_LOCAL_HOSTS = frozenset({"", "localhost", "[::1]"})

T = TypeVar("T")


class Front:
    """The application. Made on the event loop it is to run on."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits
        self._admission = Admission(limits)
        self._sessions = Sessions()
        self._workers = ThreadPoolExecutor(limits.running, thread_name_prefix="query")
        self._killer = ThreadPoolExecutor(1, thread_name_prefix="kill")
        self._running: dict[Future[Any], Execution] = {}
        self._sweeping = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        exchange = Exchange(send, self._limits.send_idle_s)
        try:
            _refuse_foreign(headers)
            await self._route(scope, headers, receive, exchange)
        except ClickHouseError as error:
            await exchange.fail(error, self._engine.version)
        except TimeoutError:
            LOGGER.warning("a client did not take its answer; its connection was closed")
        except Exception:
            LOGGER.exception("a defect in the ClickHouse front")
            defect = ClickHouseError(Code.STD_EXCEPTION, "Internal error of the ClickHouse front")
            await exchange.fail(defect, self._engine.version)

    async def close(self, timeout_s: float) -> bool:
        """Stop what is still running; whether everything has ended. The server must have ended."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while self._running and loop.time() < deadline:
            for execution in set(self._running.values()):
                await asyncio.wrap_future(self._killer.submit(execution.kill))
            jobs = [asyncio.wrap_future(job) for job in list(self._running)]
            if jobs:
                await asyncio.wait(jobs, timeout=KILL_AGAIN_S)
        if self._running:
            return False
        self._workers.shutdown()
        self._killer.shutdown()
        self._sessions.close()
        return True

    async def _route(
        self, scope: Message, headers: Mapping[str, str], receive: Receive, exchange: Exchange
    ) -> None:
        method, path = scope["method"], scope["path"]
        if method not in {"GET", "HEAD", "POST"}:
            await exchange.text(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET, HEAD or POST.\n")
        elif path in _HEALTH_PATHS or (
            path == "/" and method != "POST" and not scope["query_string"]
        ):
            await exchange.text(HTTPStatus.OK, "Ok.\n")
        elif path not in _QUERY_PATHS:
            hint = "Send queries with POST / or GET /?query=…; GET /ping says whether I am here.\n"
            await exchange.text(HTTPStatus.NOT_FOUND, f"There is no {path[:200]!r} here. {hint}")
        else:
            request = parse_request(method, scope["query_string"], headers)
            exchange.query_id = request.query_id or str(uuid.uuid4())
            arrived = asyncio.get_running_loop().time()
            async with self._admission.place():
                await self._query(request, headers, receive, exchange, arrived)

    async def _query(
        self,
        request: Request,
        headers: Mapping[str, str],
        receive: Receive,
        exchange: Exchange,
        arrived: float,
    ) -> None:
        body = await self._read_body(headers, receive)
        form = form_boundary(headers.get("content-type", ""))
        gone = asyncio.ensure_future(_gone(receive))
        try:
            waited_s = asyncio.get_running_loop().time() - arrived
            if waited_s > WAITED_S_MIN:
                request = after_waiting(request, waited_s)
                await asyncio.wait({gone}, timeout=GONE_NOTICED_S)
                if gone.done():  # nobody would hear of what we did
                    raise ClickHouseError(Code.ABORTED, "The client is gone")
            with self._session(request) as session:
                may_keep = self._sessions.may_keep()
                execution = Execution(
                    self._engine, request, body, form=form, session=session, may_keep=may_keep
                )
                await self._execute(execution, gone, exchange)
        finally:
            gone.cancel()

    async def _execute(
        self, execution: Execution, gone: asyncio.Future[None], exchange: Exchange
    ) -> None:
        try:
            answer = await self._work(execution, execution.begin, gone)
            await exchange.start(answer)
            if not answer.complete:
                await self._send_rest(execution, gone, exchange)
        finally:
            if not execution.closed:
                await asyncio.wrap_future(self._submit(execution, execution.close))

    @contextmanager
    def _session(self, request: Request) -> Iterator[Session | None]:
        asked = request.session
        if asked is None:
            yield None
            return
        loop = asyncio.get_running_loop()
        session = self._sessions.enter(asked, loop.time())
        try:
            yield session
        finally:
            self._sessions.leave(session, loop.time(), close=asked.close)
            self._sweep_later()

    async def _send_rest(
        self, execution: Execution, gone: asyncio.Future[None], exchange: Exchange
    ) -> None:
        last = False
        while not last and not gone.done():
            try:
                data, last = await self._work(execution, execution.more, gone)
            except ClickHouseError as error:
                text = error.text(self._engine.version)
                data, last = execution.ending(text, exchange.tag), True
            await exchange.send(data, last=last)

    async def _work(
        self, execution: Execution, call: Callable[[], T], gone: asyncio.Future[None]
    ) -> T:
        """Run one call of an execution on a worker; when the client is gone, have it killed."""
        future = asyncio.wrap_future(self._submit(execution, call))
        either: set[asyncio.Future[Any]] = {future, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        while not future.done():
            if execution.cancellable:
                await asyncio.wrap_future(self._killer.submit(execution.kill))
            await asyncio.wait({future}, timeout=KILL_AGAIN_S)
        return future.result()

    def _submit(self, execution: Execution, call: Callable[[], T]) -> Future[T]:
        job = self._workers.submit(call)
        self._running[job] = execution
        job.add_done_callback(lambda done: self._running.pop(done, None))
        return job

    async def _read_body(self, headers: Mapping[str, str], receive: Receive) -> bytes:
        limit = self._limits.body_bytes
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > limit:
            raise _too_large(limit)
        pieces: list[bytes] = []
        size = 0
        more = True
        try:
            async with asyncio.timeout(self._limits.body_s):
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise ClickHouseError(Code.ABORTED, "The client is gone")
                    pieces.append(message.get("body", b""))
                    size += len(pieces[-1])
                    if size > limit:
                        raise _too_large(limit)
                    more = message.get("more_body", False)
        except TimeoutError:
            msg = f"The body did not come within {self._limits.body_s:g} s"
            raise ClickHouseError(Code.SOCKET_TIMEOUT, msg) from None
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _sweep_later(self) -> None:
        if not self._sweeping and len(self._sessions):
            self._sweeping = True
            asyncio.get_running_loop().call_later(SESSION_SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        self._sweeping = False
        self._sessions.expire(asyncio.get_running_loop().time())
        self._sweep_later()


def _too_large(limit: int) -> ClickHouseError:
    return ClickHouseError(Code.QUERY_IS_TOO_LARGE, f"The body is over {limit} bytes")


def _refuse_foreign(headers: Mapping[str, str]) -> None:
    """No web page may talk to the engine through somebody's browser."""
    host = headers.get("host", "").rsplit(":", 1)[0].lower()
    if "origin" in headers or not (host in _LOCAL_HOSTS or host.startswith("127.")):
        msg = "Requests of web pages and for other hosts are refused"
        raise ClickHouseError(Code.ACCESS_DENIED, msg)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
