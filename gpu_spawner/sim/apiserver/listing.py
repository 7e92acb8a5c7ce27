"""Answering a list: which objects, as of which version, in how large pages.

Pages of one list are consistent: the continue token carries the version of the first page, and the
store gives the later pages as they were then, or 410 where its history no longer reaches back.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from gpu_spawner.sim.apiserver.api_errors import (
    ApiError,
    bad_request,
    expired,
    invalid_options,
    timeout,
)
from gpu_spawner.sim.apiserver.kinds import Resource
from gpu_spawner.sim.apiserver.selectors import Selector, parse_selector
from gpu_spawner.sim.apiserver.store import HistoryGoneError, Record, Store

__all__ = [
    "ListOptions",
    "Page",
    "check_version",
    "list_head",
    "list_page",
    "parse_list_options",
    "render_list",
]

_LIST_EXPIRED: Final = "The resourceVersion for the provided list is too old."
_CONTINUE_EXPIRED: Final = (
    "The provided continue parameter is too old to display a consistent list result. You can "
    "start a new list without the continue parameter, or use the continue token in this response "
    "to retrieve the remainder of the results. Continuing with the provided token results in an "
    "inconsistent list - objects that were created, modified, or deleted between the time the "
    "first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListOptions:
    """The query parameters of list and watch, read as Go reads them."""

    selector: Selector = field(default_factory=Selector)
    version: str = ""
    version_match: str = ""
    limit: int = 0
    token: str = ""
    is_watch: bool = False
    with_bookmarks: bool = False
    sends_initial_events: bool | None = None
    timeout_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A list, or one page of it."""

    records: list[Record]
    version: int
    token: str = ""
    remaining: int | None = None


def parse_list_options(
    resource: Resource, query: Mapping[str, str], *, name: str = ""
) -> ListOptions:
    """Read the query of a list or watch.

    Args:
        resource: the kind asked for.
        query: the parameters; booleans are false only when absent, ``0`` or ``false``.
        name: for a watch on one object, its name.

    Raises:
        ApiError: 400 for what cannot be read, 422 for combinations that are not allowed.
    """
    selector = parse_selector(
        resource, query.get("labelSelector", ""), query.get("fieldSelector", "")
    )
    if name:
        by_name = parse_selector(resource, "", f"metadata.name={name}")
        selector = Selector(selector.labels, (*selector.fields, *by_name.fields))
    options = ListOptions(
        selector=selector,
        version=query.get("resourceVersion", ""),
        version_match=query.get("resourceVersionMatch", ""),
        limit=_integer(query, "limit") or 0,
        token=query.get("continue", ""),
        is_watch=_boolean(query, "watch"),
        with_bookmarks=_boolean(query, "allowWatchBookmarks"),
        sends_initial_events=(
            _boolean(query, "sendInitialEvents") if "sendInitialEvents" in query else None
        ),
        timeout_seconds=_integer(query, "timeoutSeconds"),
    )
    _check_combination(options)
    return options


def check_version(text: str) -> int:
    """Read a ``resourceVersion`` parameter; empty is 0."""
    if not text:
        return 0
    if not text.isascii() or not text.isdigit():
        raise bad_request(
            f'invalid resource version: resourceVersion: Invalid value: "{text}": '
            f'strconv.ParseUint: parsing "{text}": invalid syntax'
        )
    return int(text)


def list_page(
    store: Store, resource: Resource, namespace: str | None, options: ListOptions
) -> Page:
    """Find the objects to answer with."""
    start, at = _where_to_start(store, options)
    try:
        records = store.list_records(resource, namespace, at=at)
    except HistoryGoneError:
        raise _gone(options, start) from None
    version = store.version if at is None else at
    if start:
        records = [record for record in records if record.key >= start]
    if not options.selector.is_empty:
        records = [record for record in records if options.selector.accepts(record)]
    if not options.limit or len(records) <= options.limit:
        return Page(records=records, version=version)
    shown = records[: options.limit]
    return Page(
        records=shown,
        version=version,
        token=_encode_token(f"{shown[-1].key}\0", version),
        remaining=len(records) - len(shown) if options.selector.is_empty else None,
    )


def _where_to_start(store: Store, options: ListOptions) -> tuple[str, int | None]:
    """Return the first key of the page, and the version to list as of (None for now)."""
    if options.token:
        if options.version not in {"", "0"}:
            raise bad_request("specifying resource version is not allowed when using continue")
        return _decode_token(options.token)
    version = check_version(options.version)
    if version > store.version:
        raise _too_new(version, store.version)
    is_exact = options.version_match == "Exact" or (not options.version_match and options.limit)
    return "", version if version and is_exact else None


def _gone(options: ListOptions, start: str) -> ApiError:
    if not options.token:
        return expired(_LIST_EXPIRED)
    error = expired(_CONTINUE_EXPIRED)
    error.metadata = {"continue": _encode_token(start, -1)}
    return error


def render_list(resource: Resource, page: Page) -> bytes:
    """Write a page as the list a client receives; items are joined, not encoded again."""
    raw = msgspec.json.encode(list_head(resource, page))[:-1]
    # Items of a list do not repeat their kind, which every stored object begins with.
    kind = f'{{"kind":"{resource.kind}","apiVersion":"{resource.api_version}",'.encode()
    items = b",{".join(record.raw.removeprefix(kind) for record in page.records)
    return raw + b',"items":[' + (b"{" if items else b"") + items + b"]}"


def list_head(resource: Resource, page: Page) -> dict[str, Any]:
    """Return a list without its items."""
    metadata: dict[str, Any] = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    return {
        "kind": resource.list_kind,
        "apiVersion": resource.api_version,
        "metadata": metadata,
    }


def _boolean(query: Mapping[str, str], name: str) -> bool:
    value = query.get(name)
    return value is not None and value != "0" and value.lower() != "false"


def _integer(query: Mapping[str, str], name: str) -> int | None:
    value = query.get(name, "")
    if not value:
        return None
    if value.isascii() and value.removeprefix("-").isdigit():
        return int(value)
    raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax')


def _check_combination(options: ListOptions) -> None:
    """Refuse parameters that contradict each other."""
    match, wants_initial = options.version_match, options.sends_initial_events is not None
    complaints: dict[str, bool]
    if options.is_watch:
        complaints = {
            "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan": (
                wants_initial and match != "NotOlderThan"
            ),
            "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided": (
                bool(match) and not wants_initial
            ),
        }
    else:
        complaints = {
            "resourceVersionMatch is forbidden unless resourceVersion is provided": (
                bool(match) and not options.version
            ),
            'resourceVersionMatch "exact" is forbidden for resourceVersion "0"': (
                match == "Exact" and options.version == "0"
            ),
        }
    complaints["resourceVersionMatch is forbidden when continue is provided"] = bool(
        match and options.token
    )
    problems = [("resourceVersionMatch", text) for text, applies in complaints.items() if applies]
    if wants_initial and not options.is_watch:
        problems.append(("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if problems:
        raise invalid_options("ListOptions.meta.k8s.io", problems)


def _encode_token(start: str, version: int) -> str:
    token = {"v": "meta.k8s.io/v1", "rv": version, "start": start}
    return base64.urlsafe_b64encode(json.dumps(token).encode()).rstrip(b"=").decode()


def _decode_token(token: str) -> tuple[str, int | None]:
    try:
        padded = token + "=" * (-len(token) % 4)
        decoded = json.loads(base64.urlsafe_b64decode(padded))
        start, version = str(decoded["start"]), int(decoded["rv"])
    except (ValueError, KeyError, TypeError) as error:
        raise bad_request(f"invalid continue token: continue key is not valid: {error}") from None
    return start, version if version > 0 else None


def _too_new(version: int, current: int) -> ApiError:
    cause = {
        "reason": "ResourceVersionTooLarge",
        "message": "Too large resource version",
    }
    message = f"Too large resource version: {version}, current: {current}"
    return timeout(message, [cause], retry_after=1)
