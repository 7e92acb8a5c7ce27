"""How many times the same claims can be met on one node, one after another.

Decides nothing beyond what ``allocation`` decides: a run meets the claims once, takes what they
got, and meets them again, as far as it is asked to.
"""

from collections.abc import Sequence
from typing import Final

from gpu_spawner.core.devices.allocation import allocate
from gpu_spawner.core.devices.occupancy import Occupancy
from gpu_spawner.core.devices.plan import CannotTellError, DevicePlan, FatalError
from gpu_spawner.core.devices.pools import NodePool
from gpu_spawner.core.devices.results import device_results
from gpu_spawner.core.devices.standing import Standings, standings_of

__all__ = ["MAX_RUN", "DeviceRun"]

MAX_RUN: Final = 1000
"""More pods than this on one node are not counted: a node holds a few hundred."""


class DeviceRun:
    """The same claims, met on one node again and again.

    Each time, no more than ``steps_max`` devices are looked at.

    Attributes:
        count: how often they were met so far.
        pools: what the node can use.
        occupancy: what is held of them by then.
        is_over: whether they cannot be met once more.
        fatal: what the scheduler would fail with then; empty where it just finds no devices.
        unknown: why that cannot be known; empty where it can.
    """

    __slots__ = (
        "_plan",
        "_standings",
        "_steps_max",
        "count",
        "fatal",
        "is_over",
        "occupancy",
        "pools",
        "unknown",
    )

    def __init__(
        self,
        plan: DevicePlan,
        pools: Sequence[NodePool],
        occupancy: Occupancy,
        *,
        steps_max: int,
    ) -> None:
        self._plan: Final = plan
        self._steps_max: Final = steps_max
        self.pools: Final = pools
        self.occupancy: Final = occupancy
        self.count = 0
        self.is_over = False
        self.fatal = ""
        self.unknown = ""
        self._standings: Standings | None = None

    def up_to(self, wanted: int) -> int:
        """Return how often the claims can be met, counting no further than is wanted."""
        wanted = min(wanted, MAX_RUN)
        while self.count < wanted and not self.is_over:
            self._once_more()
        return min(self.count, wanted)

    def can_go_on(self) -> bool:
        """Tell whether the claims can be met once more than was counted."""
        return self.up_to(self.count + 1) > self.count

    def standings(self) -> Standings | None:
        """Say how the devices stood before anything was met; None where that cannot be told."""
        if self._standings is None and not self.count:
            self._standings = standings_of(self._plan, self.pools, self.occupancy)
        return self._standings

    def _once_more(self) -> None:
        try:
            granted = allocate(self._plan, self.pools, self.occupancy, steps_max=self._steps_max)
        except FatalError as error:
            self.fatal = str(error)
            granted = None
        except CannotTellError as error:
            self.unknown = str(error)
            granted = None
        if granted is None:
            self.is_over = True
            return
        self.count += 1
        for entries in granted:
            self.occupancy.add(device_results(entries, self.occupancy))
