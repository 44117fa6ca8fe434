"""Serving one request: authenticate, admit, bind, call, and see the handler through to its answer.

What can be done at once is done at once: a handler that never waits is driven to its end without a Deferred,
and an authenticator that knows the token from its cache costs a call. Only what really waits pays for
waiting.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextvars import Context, copy_context
from types import CoroutineType
from typing import Any

import structlog
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from homeserver.errors import Forbidden, GuestForbidden, MissingToken, UserLocked, UserSuspended
from homeserver.http.endpoint import Auth
from homeserver.http.rate_limit import RateLimiter
from homeserver.http.refusals import INTERNAL_ERROR, refusal
from homeserver.http.request import Request
from homeserver.http.requester import Requester
from homeserver.http.responses import Answer
from homeserver.http.router import Route, path_arguments
from homeserver.runtime.context import enter_request

_log = structlog.get_logger(__name__)

_TOKEN_NEEDED = frozenset((Auth.ACCESS_TOKEN, Auth.ADMIN, Auth.APPSERVICE))

Reply = Callable[[Request, Answer], None]


def dispatch(request: Request, route: Route, values: list[str], limiter: RateLimiter, reply: Reply) -> None:
    """Serve a request; `reply` is called exactly once with its answer, perhaps before this returns."""
    context = copy_context()
    try:
        answer = context.run(_begin, request, route, values, limiter)
    except Exception as error:  # noqa: BLE001 - whatever it is, the client gets an answer
        reply(request, answer_error(error, request))
        return
    if hasattr(answer, "__await__"):
        _Drive(_as_coroutine(answer), context, request, reply).step(None)
    else:
        reply(request, answer)


def _begin(request: Request, route: Route, values: list[str], limiter: RateLimiter) -> Any:
    """The answer, or an awaitable of it."""
    enter_request(request.request_id)
    declaration = route.declaration
    request.operation = declaration.operation
    who = None
    if route.authenticate is not None:
        who = route.authenticate(request, declaration)
        if hasattr(who, "__await__"):
            return _after_authentication(who, request, route, values, limiter)
    pending = _admit(who, request, route, limiter)
    if pending is not None:
        return _after_admission(pending, who, request, route, values)
    return _call(who, request, route, values)


async def _after_authentication(
    pending: Awaitable[Any], request: Request, route: Route, values: list[str], limiter: RateLimiter
) -> Any:
    who = await pending
    limited = _admit(who, request, route, limiter)
    if limited is not None:
        await limited
    answer = _call(who, request, route, values)
    return await answer if hasattr(answer, "__await__") else answer


async def _after_admission(
    pending: Awaitable[None], who: Any, request: Request, route: Route, values: list[str]
) -> Any:
    await pending
    answer = _call(who, request, route, values)
    return await answer if hasattr(answer, "__await__") else answer


def _admit(who: Any, request: Request, route: Route, limiter: RateLimiter) -> Awaitable[None] | None:
    """Refuse whom the endpoint is not for, and who comes too often."""
    declaration = route.declaration
    key = request.client_address
    if isinstance(who, Requester):
        request.user = who.user_id
        if who.is_locked and not declaration.locked:
            raise UserLocked()
        if who.is_suspended and not declaration.suspended:
            raise UserSuspended("this account is suspended")
        if who.is_guest and not declaration.guests:
            raise GuestForbidden("guests may not do this")
        if declaration.auth is Auth.ADMIN and not who.is_admin:
            raise Forbidden("only server administrators may do this")
        if not who.is_rate_limited:
            return None
        key = who.user_id
    elif who is not None:
        request.user = key = str(who)
    elif declaration.auth in _TOKEN_NEEDED:
        raise MissingToken("no access token")
    limit = declaration.rate_limit
    if limit is None:
        return None
    if limit.by_address:
        key = request.client_address
    pending = limiter.check(limit.name, key)
    if not limit.also_by_address or key == request.client_address:
        return pending
    if pending is not None:
        return _then_by_address(pending, limit.name, request.client_address, limiter)
    return limiter.check(f"{limit.name}_address", request.client_address)


async def _then_by_address(pending: Awaitable[None], name: str, address: str, limiter: RateLimiter) -> None:
    await pending
    by_address = limiter.check(f"{name}_address", address)
    if by_address is not None:
        await by_address


def _call(who: Any, request: Request, route: Route, values: list[str]) -> Any:
    parameters = route.parameters
    arguments = path_arguments(route, values) if values else {}
    if parameters.wants_who:
        arguments["who"] = who
    elif parameters.wants_origin:
        arguments["origin"] = who
    if parameters.query is not None:
        arguments["query"] = parameters.query.parse(request.query_string)
    if parameters.body is not None:
        arguments["body"] = parameters.body.parse(request.body)
        # The parsed body is all that anybody needs; the bytes may be large.
        request.body = b""
    if parameters.wants_request:
        arguments["request"] = request
    return route.handler(**arguments)


def answer_error(error: Exception, request: Request) -> Answer:
    """What the client is told; of a bug it is told nothing, but the log is."""
    answer = refusal(error)
    if answer is None:
        if not request.is_disconnected:
            # The context of the request has been left already, so its ID is said here.
            _log.error(
                "request failed", operation=request.operation, request=request.request_id, exc_info=error
            )
        return INTERNAL_ERROR
    return answer


async def _await(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


def _as_coroutine(awaitable: Any) -> Coroutine[Any, Any, Any]:
    return awaitable if type(awaitable) is CoroutineType else _await(awaitable)


class _Drive:
    """A handler that may wait, driven from one Deferred it awaits to the next."""

    __slots__ = ("_context", "_coroutine", "_reply", "_request")

    def __init__(
        self, coroutine: Coroutine[Any, Any, Any], context: Context, request: Request, reply: Reply
    ) -> None:
        self._coroutine = coroutine
        self._context = context
        self._request = request
        self._reply = reply

    def _throw(self, error: BaseException) -> Any:
        return self._coroutine.throw(error)

    def step(self, result: object) -> None:
        """Run until the handler waits again or is done.

        A result need not be passed on: an awaited Deferred hands it to the coroutine by itself. A failure
        must, as a Deferred that is running its callbacks does not.
        """
        try:
            if isinstance(result, Failure) and result.value is not None:
                error = result.value.with_traceback(result.getTracebackObject())
                waiting = self._context.run(self._throw, error)
            else:
                waiting = self._context.run(self._coroutine.send, None)
        except StopIteration as stop:
            answer = stop.value
        except Exception as bad:  # noqa: BLE001 - whatever it is, the client gets an answer
            answer = answer_error(bad, self._request)
        else:
            assert isinstance(waiting, Deferred), f"{self._request.operation} awaited {waiting!r}"
            waiting.addBoth(self.step)
            return
        self._reply(self._request, answer)
