"""Whether one node takes a pod, how often, and every reason why not.

The rules are kube-scheduler 1.36's filters NodeUnschedulable, NodeName, TaintToleration,
NodeAffinity, NodePorts and NodeResourcesFit, one function each, plus three the scheduler does not
have: the architecture and the CUDA version an image needs, and the parts of cards that another
scheduler hands out (``devices.fractions``). Rules that look at more than one node (``barriers``)
arrive as ready-made rejections.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from gpu_spawner.core.cluster.objects import HostPort, Node
from gpu_spawner.core.cluster.selectors import (
    NO_SCHEDULE,
    Taint,
    matches_any_term,
    tolerates,
    untolerated_taints,
)
from gpu_spawner.core.cluster.snapshot import NO_LOAD, NodeLoad, NodeState
from gpu_spawner.core.devices.fractions.counting import count_parts, fraction_asked
from gpu_spawner.core.devices.fractions.shortfalls import shortfalls
from gpu_spawner.core.placement.device_side import DeviceSide
from gpu_spawner.core.placement.pod_request import PodRequest
from gpu_spawner.core.placement.rejections import NodeSeats, Reason, Rejection
from gpu_spawner.core.quantity import format_bytes, format_cpu
from gpu_spawner.core.resources import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, ResourceVector

__all__ = [
    "NodeSeats",
    "Reason",
    "Rejection",
    "check_node",
    "count_on_node",
    "load_against",
    "looks_at_names",
    "room_beside",
    "static_keys",
    "static_rejections",
]

_UNSCHEDULABLE: Final = Taint(key="node.kubernetes.io/unschedulable", effect=NO_SCHEDULE)
_NOT_READY_KEYS: Final = frozenset(
    {"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"}
)
_ARCHITECTURE_LABEL: Final = "kubernetes.io/arch"
# Set by NVIDIA's GPU feature discovery; the second pair is its older spelling.
_CUDA_LABELS: Final = (
    ("nvidia.com/cuda.runtime-version.major", "nvidia.com/cuda.runtime-version.minor"),
    ("nvidia.com/cuda.runtime.major", "nvidia.com/cuda.runtime.minor"),
)
_ALL_ADDRESSES: Final = "0.0.0.0"  # noqa: S104 - the scheduler's word for "any address"


_NO_BARRIERS: Final[Mapping[str, tuple[Rejection, ...]]] = {}


def check_node(
    request: PodRequest,
    state: NodeState,
    barriers: Mapping[str, tuple[Rejection, ...]] = _NO_BARRIERS,
    *,
    is_exclusive: bool = False,
    devices: DeviceSide | None = None,
) -> NodeSeats:
    """Judge one node.

    Args:
        request: what the pod asks for.
        state: the node and what is used on it.
        barriers: rejections of rules that look beyond one node, by node name.
        is_exclusive: whether two such pods would keep each other away from one node.
        devices: what the pod asks of devices; None where it asks for none.
    """
    barred = barriers.get(state.node.name, ())
    free, total = count_on_node(
        request, state, is_barred=bool(barred), is_exclusive=is_exclusive, devices=devices
    )
    if devices is not None:
        request = devices.request_at(state.node)
    load = load_against(request, state.load)
    crowded = _crowding(request) if free and (is_exclusive or request.host_ports) else ()
    return NodeSeats(
        free=free,
        total=total,
        rejections=(
            *static_rejections(request, state.node),
            *_port_rejections(request, load),
            *crowded,
            *_shortages(request, state.node, load, free),
            *_card_rejections(request, state.node, load, free),
            *barred,
            *(devices.rejections(state.node, free) if devices is not None else ()),
        ),
    )


def count_on_node(  # noqa: PLR0913 - all that decides about one node
    request: PodRequest,
    state: NodeState,
    *,
    is_barred: bool = False,
    is_exclusive: bool = False,
    is_open: bool | None = None,
    devices: DeviceSide | None = None,
) -> tuple[int, int]:
    """Return the free and the total seats of one node without saying why.

    Args:
        request: what the pod asks for.
        state: the node and what is used on it.
        is_barred: whether a rule that looks beyond this node keeps the pod away now.
        is_exclusive: as for :func:`check_node`.
        is_open: whether nothing in the node itself refuses, where that is known already.
        devices: as for :func:`check_node`.
    """
    node = state.node
    if devices is not None:
        request = devices.request_at(node)
    if is_open is None:
        is_open = not static_rejections(request, node)
    if not is_open:
        return 0, 0
    most = 1 if is_exclusive or request.host_ports else None
    total = room_beside(request, node.allocatable, NO_LOAD, most=most)
    load = load_against(request, state.load)
    free = 0
    if not (is_barred or any(_port_rejections(request, load))):
        free = room_beside(request, node.allocatable, load, most=most)
    parts = fraction_asked(request.fraction, request.requests, node)
    if parts is not None:
        total = count_parts(parts, node, NO_LOAD, total)
        free = count_parts(parts, node, load, free)
    return (free, total) if devices is None else devices.counts(node, free, total)


def static_rejections(request: PodRequest, node: Node) -> tuple[Rejection, ...]:
    """Return the reasons that lie in the node itself and not in what runs on it."""
    return tuple(
        rejection
        for rule in (
            _check_gates,
            _check_cordon,
            _check_name,
            _check_taints,
            _check_selector,
            _check_architecture,
            _check_driver,
        )
        for rejection in rule(request, node)
    )


def static_keys(request: PodRequest) -> frozenset[str]:
    """Return the node labels that :func:`static_rejections` may look at for a request."""
    keys = {key for key, _ in request.node_selector}
    for term in request.affinity or ():
        keys.update(requirement.key for requirement in term.match_expressions)
    if request.architectures:
        keys.add(_ARCHITECTURE_LABEL)
    if request.min_cuda is not None:
        keys.update(label for pair in _CUDA_LABELS for label in pair)
    return frozenset(keys)


def looks_at_names(request: PodRequest) -> bool:
    """Tell whether :func:`static_rejections` may look at the names of nodes for a request."""
    return bool(request.node_name) or any(term.match_fields for term in request.affinity or ())


def load_against(request: PodRequest, load: NodeLoad) -> NodeLoad:
    """Return the load a request meets: pods that room is being made for, unless below it, count."""
    for pod in load.nominated:
        if pod.priority >= request.priority:
            load = NodeLoad(used=load.used.plus(pod.requests), holders=(*load.holders, pod))
    return load


def room_beside(
    request: PodRequest, capacity: ResourceVector, load: NodeLoad, *, most: int | None = None
) -> int:
    """Return how many pods fit beside a load; the scarcest resource decides."""
    offered, used = capacity.amounts, load.used.amounts
    room = offered.get(PODS, 0) - len(load.holders)
    for name, amount in request.requests.amounts.items():
        fitting = (offered.get(name, 0) - used.get(name, 0)) // amount
        room = min(room, fitting)
    return max(room if most is None else min(room, most), 0)


def _check_gates(request: PodRequest, _node: Node) -> Iterator[Rejection]:
    if request.gates:
        yield Rejection(reason=Reason.GATED, detail=", ".join(request.gates))


def _check_cordon(request: PodRequest, node: Node) -> Iterator[Rejection]:
    if node.is_cordoned and not tolerates(request.tolerations, _UNSCHEDULABLE):
        yield Rejection(reason=Reason.CORDONED)


def _check_name(request: PodRequest, node: Node) -> Iterator[Rejection]:
    if request.node_name and request.node_name != node.name:
        yield Rejection(reason=Reason.WRONG_NODE_NAME, detail=f"wants {request.node_name}")


def _check_taints(request: PodRequest, node: Node) -> Iterator[Rejection]:
    """Yield each taint that is not tolerated; a cordon's own taint goes with the cordon."""
    for taint in untolerated_taints(node.taints, request.tolerations):
        if taint.key in _NOT_READY_KEYS:
            yield Rejection(reason=Reason.NOT_READY, detail=str(taint))
        elif not (node.is_cordoned and taint == _UNSCHEDULABLE):
            yield Rejection(reason=Reason.TAINT, detail=str(taint))


def _check_selector(request: PodRequest, node: Node) -> Iterator[Rejection]:
    for key, value in request.node_selector:
        found = node.labels.get(key)
        if found != value:
            has = "is absent" if found is None else f"is {found}"
            yield Rejection(reason=Reason.SELECTOR, detail=f"{key} {has}, wanted {value}")
    if request.affinity is not None and not matches_any_term(
        request.affinity, node.name, node.labels
    ):
        yield Rejection(reason=Reason.SELECTOR, detail="no term of the node affinity matches")


def _check_architecture(request: PodRequest, node: Node) -> Iterator[Rejection]:
    found = node.labels.get(_ARCHITECTURE_LABEL) or node.architecture
    if request.architectures and found and found not in request.architectures:
        wanted = " or ".join(sorted(request.architectures))
        yield Rejection(
            reason=Reason.ARCHITECTURE, detail=f"the node is {found}, the image is for {wanted}"
        )


def _check_driver(request: PodRequest, node: Node) -> Iterator[Rejection]:
    found = _cuda_version(node)
    if request.min_cuda is not None and found is not None and found < request.min_cuda:
        wanted = ".".join(map(str, request.min_cuda))
        offered = ".".join(map(str, found))
        yield Rejection(
            reason=Reason.DRIVER,
            detail=f"the driver offers CUDA {offered}, the image needs {wanted}",
        )


def _cuda_version(node: Node) -> tuple[int, int] | None:
    for major, minor in _CUDA_LABELS:
        found = node.labels.get(major, ""), node.labels.get(minor, "0")
        if all(text.isascii() and text.isdigit() for text in found):
            return int(found[0]), int(found[1])
    return None


def _shortages(request: PodRequest, node: Node, load: NodeLoad, placed: int) -> Iterator[Rejection]:
    """Yield what is too little for one pod more than ``placed``, the pod limit first."""
    allocatable = node.allocatable
    limit = allocatable.amount(PODS)
    count = len(load.holders) + placed
    if count + 1 > limit:
        yield Rejection(
            reason=Reason.INSUFFICIENT,
            resource=PODS,
            detail=f"{count} of {limit} pods",
            short_by=count + 1 - limit,
            is_permanent=limit < 1,
        )
    for name, amount in sorted(request.requests.items(), key=_builtin_first):
        offered = allocatable.amount(name)
        left = offered - load.used.amount(name) - placed * amount
        if amount > left:
            yield Rejection(
                reason=Reason.INSUFFICIENT,
                resource=name,
                detail=f"{_show(name, amount)} asked,"
                f" {_show(name, max(left, 0))} of {_show(name, offered)} free",
                short_by=amount - left,
                is_permanent=amount > offered,
            )


def _card_rejections(
    request: PodRequest, node: Node, load: NodeLoad, placed: int
) -> Iterator[Rejection]:
    """Yield why no further part of a card is left after ``placed`` pods got theirs."""
    parts = fraction_asked(request.fraction, request.requests, node)
    for found in shortfalls(parts, node, load, placed) if parts is not None else ():
        yield Rejection(
            reason=Reason.CARD_SHARE, detail=found.detail, is_permanent=found.is_permanent
        )


def _builtin_first(item: tuple[str, int]) -> tuple[int, str]:
    order = {CPU: 0, MEMORY: 1, EPHEMERAL_STORAGE: 2}
    return order.get(item[0], len(order)), item[0]


def _show(name: str, amount: int) -> str:
    if name == CPU:
        return format_cpu(amount)
    if name in (MEMORY, EPHEMERAL_STORAGE) or name.startswith("hugepages-"):
        return format_bytes(amount)
    return str(amount)


def _port_rejections(request: PodRequest, load: NodeLoad) -> Iterator[Rejection]:
    taken = [port for pod in load.holders for port in pod.host_ports] if request.host_ports else []
    for wanted in request.host_ports:
        if any(_conflict(wanted, port) for port in taken):
            yield Rejection(
                reason=Reason.PORT,
                detail=f"{wanted[1]} port {wanted[2]} of the host is in use",
                is_permanent=False,
            )


def _conflict(wanted: HostPort, taken: HostPort) -> bool:
    return wanted[1:] == taken[1:] and (
        wanted[0] == taken[0] or _ALL_ADDRESSES in (wanted[0], taken[0])
    )


def _crowding(request: PodRequest) -> tuple[Rejection, ...]:
    """Return why a second such pod cannot join the first on a node."""
    if request.host_ports:
        port = request.host_ports[0]
        detail = f"{port[1]} port {port[2]} of the host would be in use"
        return (Rejection(reason=Reason.PORT, detail=detail, is_permanent=False),)
    return (Rejection(reason=Reason.ANTI_AFFINITY, detail="one per node", is_permanent=False),)
