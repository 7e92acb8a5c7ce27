"""The page's short words: titles of tiles, sizes, ages, facts of images and of servers.

Reasons and diagnoses are not made here: they come with the offers, from ``core.offers.sentences``.
"""

from collections.abc import Callable
from typing import Final

from gpu_spawner.core.catalog.amounts import Amount
from gpu_spawner.core.catalog.mechanisms import ShareFacts, describe_share
from gpu_spawner.core.catalog.model import ANY, Catalog, Choice, Image, Profile, Share
from gpu_spawner.core.catalog.shares import memory_wanted
from gpu_spawner.core.offers.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
)
from gpu_spawner.core.offers.scale_up import ScaleUp
from gpu_spawner.core.wording import gigabytes

__all__ = [
    "age_words",
    "choice_phrase",
    "cores_words",
    "count_words",
    "image_facts",
    "resource_facts",
    "share_facts",
    "tile_title",
    "tile_words",
]

TIMES: Final = "\N{MULTIPLICATION SIGN}"


def _download(size_bytes: int) -> str:
    """Write a download's size in decimal units, as registries and package indexes do."""
    if size_bytes >= 10**9:
        return f"{size_bytes / 10**9:.1f} GB".replace(".0 ", " ")
    return f"{max(1, round(size_bytes / 10**6))} MB"


def age_words(age_seconds: int | None) -> str:
    """Say how old the numbers are."""
    if age_seconds is None:
        return "What is free is not known"
    if age_seconds < 2:
        return "Numbers as of now"
    if age_seconds < 120:
        return f"Numbers as of {age_seconds} s ago"
    return f"Numbers as of {age_seconds // 60} min ago"


def _pull_words(readiness: ImageReadiness) -> str:
    """Say that the image must come first, and how long that takes where it is known."""
    seconds = _pull_time(readiness)
    return f"{seconds} to pull the image" if seconds else "image is pulled first"


def _pull_time(readiness: ImageReadiness) -> str:
    """Write how much longer a start takes that begins with the pull; empty where nobody knows."""
    seconds = readiness.pull_seconds
    if seconds is None:
        return ""
    more = " or more" if readiness.is_least else ""
    if seconds < 90:
        return f"+{max(10, round(seconds / 10) * 10)} s{more}"
    return f"+{round(seconds / 60)} min{more}"


def _warm_words(readiness: ImageReadiness | None) -> str:
    """Say that it starts now, or on how many of the nodes, and how long it takes on the others.

    Where nobody knows which nodes have the image, nothing is promised.
    """
    if readiness is None:
        return "starts now"
    ready, fitting = readiness.ready_nodes, readiness.fitting_nodes
    if fitting and ready >= fitting:
        return "starts now"
    seconds = _pull_time(readiness)
    if not readiness.is_known:
        if ready:
            return f"image on {ready} or more of {fitting} nodes"
        return f"{seconds} if the image must be pulled" if seconds else "image may be pulled first"
    return f"image on {ready} of {fitting} nodes" + (f", else {seconds}" if seconds else "")


def _start_words(scale_up: ScaleUp) -> str:
    """Say how long a node takes that is started first."""
    if scale_up.seconds is None:
        return "takes a few minutes"
    return f"+{max(1, round(scale_up.seconds / 60))} min to start it"


def image_facts(image: Image) -> str:
    """Return the facts of an environment in one line; empty where the admin gave none."""
    named = {name.lower() for name, _ in image.packages}
    facts = []
    if image.pytorch and "pytorch" not in named:
        facts.append(f"PyTorch {image.pytorch}")
    if image.cuda and "cuda" not in named:
        facts.append(f"CUDA {image.cuda}")
    if image.python and "python" not in named:
        facts.append(f"Python {image.python}")
    facts.extend(f"{name} {version}".strip() for name, version in image.packages)
    if image.size_bytes:
        facts.append(f"{_download(image.size_bytes)} download")
    return " · ".join(facts)


def resource_facts(profile: Profile) -> tuple[str, ...]:
    """Return what a server gets beside its GPUs, and when it is stopped."""
    resources = profile.resources
    return tuple(
        fact
        for fact in (
            _cpu_words(resources.cpu, resources.cpu_per_gpu),
            _memory_words(resources.memory, resources.memory_per_gpu),
            profile.lifetime.words,
        )
        if fact
    )


def cores_words(cpu_milli: int) -> str:
    """Write a number of CPUs: 1 core, 0.5 cores."""
    return f"{_cores(cpu_milli)} {'core' if cpu_milli == 1000 else 'cores'}"


def _cpu_words(base: Amount, per_gpu: Amount) -> str:
    more = f"+{_span(per_gpu, _cores)} per GPU" if _is_set(per_gpu) else ""
    if not _is_set(base):
        return more and f"{more[1:]} CPU cores"
    plural = "" if _span(base, _cores) == "1" else "s"
    return ", ".join(filter(None, (f"{_span(base, _cores)} CPU core{plural}", more)))


def _memory_words(base: Amount, per_gpu: Amount) -> str:
    more = f"+{_span(per_gpu, gigabytes)} per GPU" if _is_set(per_gpu) else ""
    if not _is_set(base):
        return more and f"{more[1:]} memory"
    return ", ".join(filter(None, (f"{_span(base, gigabytes)} memory", more)))


def _is_set(amount: Amount) -> bool:
    return amount.request is not None or amount.limit is not None


def _cores(cpu_milli: int) -> str:
    return f"{cpu_milli / 1000:.3g}"


def _span(amount: Amount, words: Callable[[int], str]) -> str:
    """Write request and limit as one range, "64 to 128 GB", or as one number where they agree."""
    given = [value for value in (amount.request, amount.limit) if value is not None]
    least, most = words(min(given)), words(max(given))
    if least == most:
        return most
    unit = most.partition(" ")[2]
    return f"{least.removesuffix(f' {unit}')} to {most}"


def share_facts(catalog: Catalog, choice: Choice) -> ShareFacts | None:
    """Say what one share of a choice means; None without GPUs."""
    if choice.share is None:
        return None
    return describe_share(catalog.flavors[choice.flavors[0]], choice.share)


def tile_title(catalog: Catalog, choice: Choice, *, by_share: bool) -> tuple[str, str]:
    """Return a tile's title and the small words beside it.

    ``by_share`` says that the tiles of the row differ in their share rather than in their count.
    """
    facts = share_facts(catalog, choice)
    if facts is None or choice.share is None:
        return "CPU only", ""
    if not by_share:
        return f"{choice.count} {facts.unit if choice.count == 1 else facts.units}", ""
    title, subtitle = _share_title(choice.share, facts)
    return (f"{choice.count} {TIMES} {title}" if choice.count > 1 else title), subtitle


def _share_title(share: Share, facts: ShareFacts) -> tuple[str, str]:
    """Name one share by what was wished, and beside it say what one gets, where that is more."""
    had = facts.memory_bytes
    memory = gigabytes(had) if had else ""
    if share.kind == "memory":
        wanted = gigabytes(memory_wanted(share, None) or 0)
        is_more = bool(memory) and memory != wanted
        return wanted, f"in a {facts.unit} with {memory}" if is_more else ""
    if share.kind == "fraction":
        return f"{share.value} of a GPU", memory
    return share.value or facts.title, memory


def choice_phrase(catalog: Catalog, profile: Profile, choice: Choice) -> str:
    """Name a choice where it stands alone: in the start button, as an alternative."""
    facts = share_facts(catalog, choice)
    if facts is None or choice.share is None:
        return profile.display_name
    flavor = (
        "whichever GPU is free first"
        if choice.flavor == ANY
        else catalog.flavors[choice.flavor].display_name
    )
    if choice.share.kind == "whole":
        return f"{choice.count} {TIMES} {flavor}"
    unit = facts.unit if choice.count == 1 else facts.units
    if not choice.share.value:
        return f"{choice.count} {unit} of {flavor}"
    several = f"{choice.count} {TIMES} " if choice.count > 1 else ""
    if choice.share.kind == "memory":
        return f"{several}{_share_title(choice.share, facts)[0]} of {flavor}"
    if choice.share.kind == "fraction":
        return f"{several}{choice.share.value} of {flavor}"
    return f"{several}{choice.share.value} {unit} of {flavor}"


def count_words(count: FlavorCount | None) -> str:
    """Write the line under a flavor's name: 5 of 16 GPUs free."""
    if count is None:
        return ""
    if count.free is None or count.total is None:
        return "not known"
    unit = count.unit if count.total == 1 else f"{count.unit}s"
    return f"{count.free} of {count.total} {unit} free"


def tile_words(offer: ChoiceOffer, image: str) -> tuple[str, str, str]:
    """Return state, label and detail of a choice with one of the profile's images."""
    if offer.state is None:
        return "unknown", "not known", "may have to wait"
    if offer.scale_up is not None:
        return offer.state.word, "new node", _start_words(offer.scale_up)
    if not offer.starts_now:
        return offer.state.word, "busy" if offer.state is Availability.BUSY else "none", ""
    of_total = "" if offer.total is None else f" of {offer.total}"
    label = "free" if offer.free is None else f"{offer.free}{of_total} free"
    readiness = offer.images.get(image)
    if readiness is not None and readiness.is_cold:
        return "cold", label, _pull_words(readiness)
    return "ready", label, _warm_words(readiness)
