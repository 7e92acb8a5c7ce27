"""A start that pulls first: what the progress page says meanwhile, and how long it may take."""

from collections.abc import Iterator

import pytest
from hub_profiles import PROFILES, MakeHub
from running_hub import RunningHub

# The nodes pull a gigabyte a second, and the hub expects as much: ten seconds, of which the timeout
# of other starts would leave two. What the pull really moves takes four.
COLD = f"""{PROFILES}
c.GPUSpawner.preload = False
c.GPUSpawner.pull_bytes_per_second = 1e9
c.KubeSpawner.start_timeout = 2
c.GPUSpawner.images["huge"] = {{
    "image": "example.org/huge:1",
    "display_name": "Much of everything",
    "size": "10GB",
}}
c.GPUSpawner.profiles["10-cpu"]["images"] = ["huge"]
"""


@pytest.fixture
def cold(make_hub: MakeHub) -> Iterator[RunningHub]:
    hub = make_hub(COLD)
    hub.add_user("cora")
    hub.wait_counted()  # which nodes have the image, for one
    yield hub
    hub.stop("cora")


def test_it_says_what_is_pulled_and_has_the_time_for_it(cold: RunningHub) -> None:
    answer = cold.start("cora", {"profile": "cpu"})
    assert answer.status_code in (201, 202), answer.text
    with cold.progress("cora") as steps:
        told = list(steps)
    messages = [step["message"] for step in told]

    assert "Pulling a 10 GB image (about 10 s)." in messages
    assert told[-1].get("ready"), messages
    # What comes after the pull may be told or not: the stream ends when the server answers.
    node, pull = (
        next(number for number, message in enumerate(messages) if words in message)
        for words in ("A node was found", "Pulling a 10 GB image")
    )
    assert node < pull
