"""The nodes of a tree, one after another."""

from collections.abc import Iterator

from gpu_spawner.core.devices.cel.tree import Call, Fold, ListOf, MapOf, Node, Select

__all__ = ["nodes_of", "parts_of"]


def nodes_of(root: Node) -> Iterator[Node]:
    """Yield a node and all below it."""
    waiting: list[Node] = [root]
    while waiting:
        node = waiting.pop()
        yield node
        waiting.extend(parts_of(node))


def parts_of(node: Node) -> tuple[Node, ...]:
    """Return the nodes a node is made of."""
    match node:
        case Select(operand=operand):
            return (operand,)
        case Call(args=args):
            return args
        case ListOf(elements=elements):
            return elements
        case MapOf(entries=entries):
            return tuple(part for key, value, _ in entries for part in (key, value))
        case Fold():
            return (node.over, node.initial, node.condition, node.step, node.result)
        case _:
            return ()
