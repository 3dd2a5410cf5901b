"""The routing table of the local API: path -> permission -> facade. Nothing here knows of sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, NamedTuple, TypeVar
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

from gatewayd.clock import Clock
from gatewayd.control.connection import Request
from gatewayd.control.facade import Facade
from gatewayd.control.peer import Caller, Permission, uid_of
from gatewayd.errors import UNDECODABLE, AccessDenied, GatewayError, RequestRefused, TransientError
from gatewayd.model.retention_view import RetainedList, RetainRequest
from gatewayd.model.view import (
    ClearRequest,
    DecisionList,
    ErrorView,
    JournalRequest,
    OverrideList,
    OverrideRequest,
    OverrideSummary,
    RedactRequest,
    ResumeRequest,
    StatusView,
    SyncView,
    TagList,
    TagView,
    View,
)
from gatewayd.model.wanted import Wanted

TAGS_MAX = 10_000
TAGS_DEFAULT = 1_000
WATCH_TAGS_MAX = 1_000
DECISIONS_MAX = 1_000
DECISIONS_DEFAULT = 50
MATCH_CHARS_MAX = 200
_NS_PER_MS = 1_000_000
_ID_MAX = 2**63 - 1
_UID_MAX = 2**32 - 1
_NAMED = ("point", "asset", "tag", "rule")  # what decisions can have in common, by name
_WANTED = ("before", "since_ns", "until_ns", "actor", *_NAMED)
_QUERY_FIELDS_MAX = 16

Body = TypeVar("Body", bound=Struct)
encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class NotFound(RequestRefused):
    """No such path, method or decision.

    Args:
        allowed: the methods the path does have.
    """

    def __init__(self, message: str, *, remedy: str, allowed: tuple[str, ...] = ()) -> None:
        super().__init__(message, remedy=remedy)
        self.allowed = allowed


class BadRequest(RequestRefused):
    """The request is not one this API understands."""


class Stream(NamedTuple):
    """An answer without an end: batches of tags, an empty one when nothing changed."""

    batches: AsyncIterator[list[TagView]]


Answer = View | Stream | None


class Call(Struct, frozen=True):
    """A request on its way to its handler: decoded path parameters and query, raw body."""

    facade: Facade
    clock: Clock
    caller: Caller
    parameters: dict[str, str]
    query: dict[str, str]
    body: bytes


Handler = Callable[[Call], Awaitable[Answer]]


class Route(NamedTuple):
    """One line of the table; a `{name}` segment is a parameter."""

    method: str
    path: tuple[str, ...]
    permission: Permission
    query: tuple[str, ...]
    handler: Handler


async def answer(request: Request, *, caller: Caller, facade: Facade, clock: Clock) -> Answer:
    """Find the route, check the caller, ask the facade.

    Raises:
        NotFound, BadRequest, AccessDenied, or whatever GatewayError the facade raises.
    """
    segments = tuple(unquote(segment) for segment in request.path.strip("/").split("/"))
    route, parameters = _route(request.method, segments)
    if not caller.may(route.permission):
        raise AccessDenied(
            f"{caller.name} has no role that allows to {route.permission.value}",
            remedy="Ask for a group that gateway.toml lists under [roles], or use the gateway's own account.",
        )
    call = Call(facade, clock, caller, parameters, _query(request.query, route.query), request.body)
    return await route.handler(call)


def _route(method: str, segments: tuple[str, ...]) -> tuple[Route, dict[str, str]]:
    allowed = []
    for route in ROUTES:
        parameters = _match(route.path, segments)
        if parameters is None:
            continue
        if route.method == method:
            return route, parameters
        allowed.append(route.method)
    path = "/" + "/".join(segments)
    if allowed:
        raise NotFound(f"{path} has no {method}", remedy=f"Use {' or '.join(allowed)}.", allowed=tuple(allowed))
    raise NotFound(f"there is no {path}", remedy="The local API has " + ", ".join(_paths()) + ".")


def _match(pattern: tuple[str, ...], segments: tuple[str, ...]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters = {}
    for expected, found in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            parameters[expected[1:-1]] = found
        elif expected != found:
            return None
    return parameters


def _paths() -> list[str]:
    return sorted({"/" + "/".join(route.path) for route in ROUTES})


def _query(text: str, known: tuple[str, ...]) -> dict[str, str]:
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), max_num_fields=_QUERY_FIELDS_MAX)
    except ValueError as error:
        raise BadRequest(f"the query {text[:80]!r} cannot be read", remedy="Write name=value&name=value.") from error
    unknown = [name for name, _ in pairs if name not in known]
    if unknown:
        allowed = ", ".join(known) or "nothing"
        raise BadRequest(f"unknown query parameter {unknown[0]!r}", remedy=f"This path takes {allowed}.")
    return dict(pairs)


def _integer(call: Call, name: str, default: int, low: int, high: int) -> int:
    text = call.query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 20 and low <= int(text) <= high):
        raise BadRequest(f"{name} is {text[:40]!r}", remedy=f"Give a whole number from {low} to {high}.")
    return int(text)


def _match_glob(call: Call) -> str:
    glob = call.query.get("match", "")
    if len(glob) > MATCH_CHARS_MAX:
        raise BadRequest(f"match has {len(glob)} characters", remedy=f"Give at most {MATCH_CHARS_MAX}.")
    return glob


def _decoded(call: Call, type_: type[Body]) -> Body:
    try:
        return msgspec.json.decode(call.body, type=type_)
    except (*UNDECODABLE, RecursionError) as error:
        fields = ", ".join(type_.__struct_fields__)
        raise BadRequest(f"the body is not understood: {error}", remedy=f"Send a JSON object with {fields}.") from error


def _decision_id(call: Call) -> int:
    text = call.parameters["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 20 and 0 < int(text) <= _ID_MAX):
        raise BadRequest(f"{text[:40]!r} is not a decision id", remedy="Ids are whole numbers; see `decisions list`.")
    return int(text)


def _no_decision(call: Call) -> NotFound:
    return NotFound(
        f"the journal holds no decision {call.parameters['id']}",
        remedy="`gatewayd decisions list` shows the ids.",
    )


def at_a_glance(status: StatusView) -> StatusView:
    """Return a status without what a caller without a role may not see: names of people, addresses, free text."""
    hidden = f"{len(status.warnings)} warning(s); a role is needed to read them"
    return msgspec.structs.replace(
        status,
        devices=tuple(msgspec.structs.replace(device, last_error="") for device in status.devices),
        overrides=OverrideSummary(count=status.overrides.count, oldest_since_ns=status.overrides.oldest_since_ns),
        sync=_sync_at_a_glance(status.sync),
        warnings=(hidden,) if status.warnings else (),
        mode_reason="",
    )


def _sync_at_a_glance(sync: SyncView | None) -> SyncView | None:
    return None if sync is None else msgspec.structs.replace(sync, broker="", last_error="")


async def _status(call: Call) -> Answer:
    status = await call.facade.status()
    return status if call.caller.may(Permission.READ) else at_a_glance(status)


async def _tags(call: Call) -> Answer:
    limit = _integer(call, "limit", TAGS_DEFAULT, 1, TAGS_MAX)
    tags = await call.facade.tags(_match_glob(call), limit + 1)
    return TagList(now_ns=call.clock.wall_ns(), tags=tags[:limit], truncated=len(tags) > limit)


async def _watch(call: Call) -> Answer:
    glob = _match_glob(call)
    interval_ms = _integer(call, "interval_ms", 1_000, 100, 60_000)
    if len(await call.facade.tags(glob, WATCH_TAGS_MAX + 1)) > WATCH_TAGS_MAX:
        raise BadRequest(
            f"more than {WATCH_TAGS_MAX} tags match {glob or '*'!r}",
            remedy="Watch fewer: give a narrower match, e.g. `pump_1.*`.",
        )
    return Stream(_changes(call.facade, call.clock, glob, interval_ms * _NS_PER_MS))


async def _changes(facade: Facade, clock: Clock, glob: str, interval_ns: int) -> AsyncIterator[list[TagView]]:
    """Yield the tags whose value, quality or anomaly differ from what this watcher saw last; all of them at first.

    A slow watcher asks late and gets the newest values: what lay between is skipped, never queued.
    """
    seen: dict[str, tuple[float | None, int, int | None]] = {}
    while True:
        asked_ns = clock.monotonic_ns()
        tags = await facade.tags(glob, WATCH_TAGS_MAX)
        now = {tag.name: (tag.value, tag.status, tag.anomaly) for tag in tags}
        yield [tag for tag in tags if seen.get(tag.name) != now[tag.name]]
        seen = now
        await clock.sleep_until(asked_ns + interval_ns)


async def _wanted(call: Call) -> Wanted:
    return Wanted(
        before=_integer(call, "before", 0, 0, _ID_MAX),
        since_ns=_integer(call, "since_ns", 0, 0, _ID_MAX),
        until_ns=_integer(call, "until_ns", 0, 0, _ID_MAX),
        actor_uid=await _uid(call),
        **{name: call.query.get(name, "") for name in _NAMED},
    )


async def _uid(call: Call) -> int | None:
    """Return the uid of who is meant, by number or by the system's name for it: the journal is searched by uid alone."""
    actor = call.query.get("actor", "")
    if not actor or actor.isdigit():
        return _integer(call, "actor", 0, 0, _UID_MAX) if actor else None
    uid = await asyncio.to_thread(uid_of, actor)
    if uid is None:
        raise BadRequest(
            f"this system knows no user {actor[:40]!r}",
            remedy="Give the uid; `gatewayd decisions show` tells that of a decision.",
        )
    return uid


async def _decisions(call: Call) -> Answer:
    decisions = await call.facade.decisions(
        _integer(call, "limit", DECISIONS_DEFAULT, 1, DECISIONS_MAX),
        await _wanted(call),
    )
    return DecisionList(now_ns=call.clock.wall_ns(), decisions=decisions)


async def _decision(call: Call) -> Answer:
    found = await call.facade.decision(_decision_id(call))
    if found is None:
        raise _no_decision(call)
    return found


async def _explain(call: Call) -> Answer:
    found = await call.facade.explain(_decision_id(call), with_trend=_integer(call, "trend", 0, 0, 1) == 1)
    if found is None:
        raise _no_decision(call)
    return found


async def _retained(call: Call) -> Answer:
    return RetainedList(now_ns=call.clock.wall_ns(), retained=await call.facade.retained())


async def _retain(call: Call) -> Answer:
    request = _decoded(call, RetainRequest)
    found = await call.facade.retain(_decision_id(call), request, call.caller.actor())
    if found is None:
        raise _no_decision(call)
    return found


async def _release(call: Call) -> Answer:
    return await call.facade.release(_decision_id(call), _decoded(call, RetainRequest), call.caller.actor())


async def _overrides(call: Call) -> Answer:
    return OverrideList(now_ns=call.clock.wall_ns(), overrides=await call.facade.overrides())


async def _set_override(call: Call) -> Answer:
    return await call.facade.set_override(_decoded(call, OverrideRequest), call.caller.actor())


async def _clear_override(call: Call) -> Answer:
    request = _decoded(call, ClearRequest)
    return await call.facade.clear_override(call.parameters["point"], request, call.caller.actor())


async def _apply_rules(call: Call) -> Answer:
    return await call.facade.apply_rules(call.caller.actor())


async def _redact(call: Call) -> Answer:
    return await call.facade.redact(_decoded(call, RedactRequest), call.caller.actor())


async def _care(call: Call) -> Answer:
    return await call.facade.care(_decoded(call, JournalRequest), call.caller.actor())


async def _resume(call: Call) -> Answer:
    return await call.facade.resume(_decoded(call, ResumeRequest), call.caller.actor())


async def _sync(call: Call) -> Answer:
    return await call.facade.sync_status()


def _at(path: str) -> tuple[str, ...]:
    return tuple(path.strip("/").split("/"))


ROUTES: tuple[Route, ...] = (
    Route("GET", _at("/v1/status"), Permission.GLANCE, (), _status),
    Route("GET", _at("/v1/tags"), Permission.READ, ("match", "limit"), _tags),
    Route("GET", _at("/v1/tags/watch"), Permission.READ, ("match", "interval_ms"), _watch),
    Route("GET", _at("/v1/decisions"), Permission.READ, ("limit", *_WANTED), _decisions),
    Route("GET", _at("/v1/decisions/{id}"), Permission.READ, (), _decision),
    Route("GET", _at("/v1/decisions/{id}/explain"), Permission.READ, ("trend",), _explain),
    Route("POST", _at("/v1/decisions/{id}/retention"), Permission.OPERATE, (), _retain),
    Route("DELETE", _at("/v1/decisions/{id}/retention"), Permission.OPERATE, (), _release),
    Route("GET", _at("/v1/retained"), Permission.READ, (), _retained),
    Route("GET", _at("/v1/overrides"), Permission.READ, (), _overrides),
    Route("POST", _at("/v1/overrides"), Permission.OPERATE, (), _set_override),
    Route("DELETE", _at("/v1/overrides/{point}"), Permission.OPERATE, (), _clear_override),
    Route("POST", _at("/v1/rules"), Permission.OPERATE, (), _apply_rules),
    Route("POST", _at("/v1/journal/redactions"), Permission.OPERATE, (), _redact),
    Route("POST", _at("/v1/journal"), Permission.OPERATE, (), _care),
    Route("POST", _at("/v1/resume"), Permission.OPERATE, (), _resume),
    Route("GET", _at("/v1/sync"), Permission.READ, (), _sync),
)


def http_status(error: GatewayError) -> int:
    """Return the HTTP status that tells a client what kind of refusal an error is."""
    match error:
        case NotFound():
            return 405 if error.allowed else 404
        case BadRequest():
            return 400
        case AccessDenied():
            return 403
        case RequestRefused():
            return 409
        case TransientError():
            return 503
        case _:
            return 500


def error_body(error: GatewayError) -> bytes:
    """Return an error as the JSON every client gets."""
    return encode(ErrorView(error=error.message, remedy=error.remedy, code=error.exit_code))
