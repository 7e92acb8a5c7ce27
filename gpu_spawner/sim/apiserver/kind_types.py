"""What a served kind is: the shape of one row in the table of :mod:`kinds`."""

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

__all__ = [
    "ALL_VERBS",
    "STATUS_VERBS",
    "Resource",
    "Subresource",
    "proxy_of",
    "scale",
    "status_of",
]

ALL_VERBS: Final = (
    "create",
    "delete",
    "deletecollection",
    "get",
    "list",
    "patch",
    "update",
    "watch",
)
STATUS_VERBS: Final = ("get", "patch", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Subresource:
    """One path under an object, such as ``pods/NAME/binding``."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


def status_of(kind: str) -> Subresource:
    """Return the path through which a kind's status is written."""
    return Subresource(name="status", kind=kind, verbs=STATUS_VERBS)


def scale() -> Subresource:
    """Return the path through which replicas are counted."""
    return Subresource(
        name="scale", kind="Scale", verbs=STATUS_VERBS, group="autoscaling", version="v1"
    )


def proxy_of(kind: str) -> Subresource:
    """Return the path that leads into a running thing."""
    verbs = ("create", "delete", "get", "patch", "update")
    return Subresource(name="proxy", kind=kind, verbs=verbs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One served kind.

    Attributes:
        fields: dotted paths a field selector may use, in the order :class:`store.Record` keeps
            their values; ``metadata.name`` and ``metadata.namespace`` are always understood.
        is_stored: False for kinds that only answer a POST (reviews, bindings).
        missing_controller: what the embedded cluster does not run for this kind; creating such an
            object is refused, because nothing would ever act on it.
        returns_deleted: whether DELETE answers with the object rather than with a Status.
    """

    group: str = ""
    version: str = "v1"
    plural: str
    kind: str
    singular: str = ""
    is_namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[Subresource, ...] = ()
    fields: tuple[str, ...] = ()
    is_stored: bool = True
    missing_controller: str = ""
    returns_deleted: bool = False
    creates_on_update: bool = False
    by_subresource: Mapping[str, Subresource] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        index = {subresource.name: subresource for subresource in self.subresources}
        object.__setattr__(self, "by_subresource", MappingProxyType(index))

    @property
    def api_version(self) -> str:
        """The value of ``apiVersion`` in objects of this kind."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """The resource as error texts name it: ``pods``, ``daemonsets.apps``."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group_kind(self) -> str:
        """The kind as error texts name it: ``Pod``, ``DaemonSet.apps``."""
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def list_kind(self) -> str:
        """The kind of a list of these."""
        return f"{self.kind}List"

    @property
    def singular_name(self) -> str:
        """The singular as discovery shows it."""
        return self.singular or self.kind.lower()

    @property
    def storage_version_hash(self) -> str:
        """Discovery's opaque hash: the first bytes of SHA-256 over ``group/version/kind``."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()

    @property
    def has_status(self) -> bool:
        """Whether status is written through its own subresource."""
        return "status" in self.by_subresource
