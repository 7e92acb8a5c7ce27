"""A plan in words, for the admin who asks what preloading would do and why."""

from collections.abc import Iterable, Iterator

from gpu_spawner.core.preload.plan import Outlook, Plan
from gpu_spawner.core.preload.wishes import Pool
from gpu_spawner.core.wording import as_sentence, counted, listed, say_bytes

__all__ = ["describe_plan", "pool_words", "worth_telling"]


def describe_plan(plan: Plan) -> str:
    """Write a plan down: every image with where it is and is to be, then what is to be done.

    Nodes are named, at most twelve at a time.
    """
    lines = [line for outlook in worth_telling(plan.outlooks) for line in _image(outlook)]
    if not plan.outlooks:
        lines.append("No image is to be preloaded.")
    lines += ["", "To do:" if not plan.is_empty else "Nothing to do."]
    for change in plan.changes:
        verb = "create" if change.before is None else "change"
        lines.append(f"  {verb} {change.spec.name}: {as_sentence(change.why)}")
    lines.extend(f"  note on {note.before.name}: {as_sentence(note.why)}" for note in plan.notes)
    lines.extend(
        f"  remove {removal.before.name} ({removal.before.image}): {as_sentence(removal.why)}"
        for removal in plan.removals
    )
    return "\n".join(lines)


def worth_telling(outlooks: Iterable[Outlook]) -> list[Outlook]:
    """Leave out pools without nodes where the image has a place elsewhere.

    A choice may be obtained in several ways, of which a cluster has one.
    """
    outlooks = list(outlooks)
    placed = {outlook.wish.image for outlook in outlooks if _has_nodes(outlook)}
    return [one for one in outlooks if _has_nodes(one) or one.wish.image not in placed]


def _image(outlook: Outlook) -> Iterator[str]:
    wish = outlook.wish
    size = f", {say_bytes(wish.size_bytes)}" if wish.size_bytes else ""
    when = ", on demand" if wish.on_demand else ""
    words = pool_words(wish.pool)
    where = f", where {words}" if words else ""
    yield f"{wish.image}{size}{when}, for {listed(wish.profiles)}{where}"
    places = (
        ("ready", outlook.ready),
        ("pulling", outlook.pulling),
        ("waiting for a turn", outlook.waiting),
        ("paused, not usable now", outlook.paused),
    )
    for what, nodes in places:
        if nodes:
            yield f"  {what}: {_nodes(nodes)}"
    for why, nodes in outlook.blocked.items():
        yield f"  blocked: {_nodes(nodes)}: {as_sentence(why)}"
    if outlook.versions:
        yield (
            f"  The tag has moved: the nodes hold {outlook.versions} different images under it. "
            "Name the image by its digest to keep them alike."
        )
    if not _has_nodes(outlook):
        yield "  No node can use it."


def _has_nodes(outlook: Outlook) -> bool:
    return any((outlook.ready, outlook.pulling, outlook.waiting, outlook.paused, outlook.blocked))


def pool_words(pool: Pool) -> str:
    """Name the labels that the first kind of its nodes has; the others differ in details.

    Empty where every node belongs to it.
    """
    labels = [f"{key} {value}" for key, value in pool.rules.node_selector]
    for term in (pool.rules.affinity or ())[:1]:
        wanted = (one for one in term.match_expressions if one.operator == "In")
        labels.extend(f"{one.key} {listed(one.values, word='or')}" for one in wanted)
    return listed(dict.fromkeys(labels))


def _nodes(names: tuple[str, ...]) -> str:
    return listed(names) if len(names) <= 4 else f"{counted(len(names), 'node')}: {listed(names)}"
