"""Answering ``pods/NAME/log``: which container is meant, and whose words are passed on.

The text itself comes from a source that the kubelet registers with the server.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gpu_spawner.sim.apiserver.api_errors import bad_request, not_implemented
from gpu_spawner.sim.apiserver.store import Record

__all__ = ["LogRequest", "LogSource", "LogUnavailableError", "parse_log_request"]

_CONTAINER_LISTS: Final = ("initContainers", "containers", "ephemeralContainers")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """Which lines of which container are wanted.

    Attributes:
        uid: of the pod, so that a namesake that came later is not mistaken for it.
        tail_lines: only so many at the end; None for all.
        follow: go on until the container ends.
        is_previous: of the container's last run, not of this one.
        since_seconds: only what was written in this time; None for all.
        with_timestamps: each line begins with the time it was written.
    """

    namespace: str
    name: str
    uid: str
    container: str
    tail_lines: int | None = None
    follow: bool = False
    is_previous: bool = False
    since_seconds: int | None = None
    limit_bytes: int | None = None
    with_timestamps: bool = False


LogSource = Callable[[LogRequest], AsyncIterator[bytes]]
"""Gives the bytes of a log; raises LogUnavailableError before the first if there is none."""


class LogUnavailableError(Exception):
    """There is no log yet or any more; the message is for the user."""


def parse_log_request(record: Record, query: Mapping[str, str]) -> LogRequest | None:
    """Read the query of a log request; None where the pod has no node and so no log.

    Raises:
        ApiError: 400 when the container is not clear.
    """
    pod = record.decode()
    spec = pod["spec"]
    names = [container["name"] for key in _CONTAINER_LISTS for container in spec.get(key) or ()]
    container = query.get("container", "")
    if not container:
        container = _only_container(pod)
    elif container not in names:
        raise bad_request(f"container {container} is not valid for pod {record.name}")
    if query.get("stream", "All") != "All":
        raise not_implemented("choosing one stream of a log")
    if not spec.get("nodeName"):
        return None
    return LogRequest(
        namespace=record.namespace,
        name=record.name,
        uid=record.uid,
        container=container,
        tail_lines=_integer(query, "tailLines"),
        follow=_boolean(query, "follow"),
        is_previous=_boolean(query, "previous"),
        since_seconds=_integer(query, "sinceSeconds"),
        limit_bytes=_integer(query, "limitBytes"),
        with_timestamps=_boolean(query, "timestamps"),
    )


def _only_container(pod: dict[str, Any]) -> str:
    names = [container["name"] for container in pod["spec"]["containers"]]
    if len(names) == 1:
        return str(names[0])
    message = (
        f"a container name must be specified for pod {pod['metadata']['name']}, choose one of: "
        f"[{' '.join(names)}]"
    )
    init_names = [container["name"] for container in pod["spec"].get("initContainers", ())]
    if init_names:
        message += f" or one of the init containers: [{' '.join(init_names)}]"
    raise bad_request(message)


def _integer(query: Mapping[str, str], key: str) -> int | None:
    value = query.get(key, "")
    if not value:
        return None
    try:
        return int(value)
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{value}": invalid syntax') from None


def _boolean(query: Mapping[str, str], key: str) -> bool:
    return key in query and query[key].lower() not in {"0", "false"}
