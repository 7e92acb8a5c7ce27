"""What seats say of all nodes together, gathered from what they say of each."""

from gpu_spawner.core.placement.seats import Seats


def room_by_hand(seats: Seats) -> set[str]:
    """Return the names of the nodes with a free seat; counted and judged, each says the same."""
    for name, judged in seats.nodes.items():
        assert seats.nodes.counts(name) == (judged.free, judged.total)
    return {name for name, judged in seats.nodes.items() if judged.free}
