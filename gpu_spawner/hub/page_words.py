"""The page's short words: titles of tiles, sizes, ages, facts of images and of servers.

Reasons and diagnoses are not made here: they come with the offers, from ``core.offers.sentences``.
"""

from collections.abc import Callable, Sequence

from gpu_spawner.core.catalog.amounts import Amount
from gpu_spawner.core.catalog.mechanisms import ShareFacts
from gpu_spawner.core.catalog.model import ANY, Catalog, Choice, Image, Profile, Share
from gpu_spawner.core.catalog.share_meaning import in_common, meanings
from gpu_spawner.core.catalog.shares import memory_wanted
from gpu_spawner.core.messages import (
    Figure,
    Message,
    figure,
    gettext,
    joined,
    ngettext,
    pgettext,
    sentences,
)
from gpu_spawner.core.offers.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
)
from gpu_spawner.core.offers.scale_up import ScaleUp
from gpu_spawner.core.units import counted_units, counted_units_of, unit_word, units_word
from gpu_spawner.core.wording import gigabytes

__all__ = [
    "age_words",
    "choice_phrase",
    "cores_words",
    "count_words",
    "image_facts",
    "isolation_words",
    "resource_facts",
    "share_facts",
    "tile_title",
    "tile_words",
]


def _download(size_bytes: int) -> str:
    """Write a download's size in decimal units, as registries and package indexes do."""
    if size_bytes >= 10**9:
        size = gettext("{number} GB", number=figure(float(f"{size_bytes / 10**9:.1f}"), ".10g"))
    else:
        size = gettext("{number} MB", number=figure(max(1, round(size_bytes / 10**6)), "d"))
    return gettext("{size} download", size=size)


def age_words(age_seconds: int | None) -> str:
    """Say how old the numbers are; ``script_words`` has the same for the page's script."""
    if age_seconds is None:
        return gettext("What is free is not known")
    if age_seconds < 2:
        return gettext("Numbers as of now")
    if age_seconds < 120:
        return gettext("Numbers as of {seconds} s ago", seconds=age_seconds)
    return gettext("Numbers as of {minutes} min ago", minutes=age_seconds // 60)


def _pull_words(readiness: ImageReadiness) -> str:
    """Say that the image must come first, and how long that takes where it is known."""
    time = _pull_time(readiness)
    if not time:
        return gettext("image is pulled first")
    return gettext("{time} to pull the image", time=time)


def _pull_time(readiness: ImageReadiness) -> str:
    """Write how much longer a start takes that begins with the pull; empty where nobody knows."""
    seconds = readiness.pull_seconds
    if seconds is None:
        return ""
    if seconds < 90:
        time = gettext("{number} s", number=max(10, round(seconds / 10) * 10))
    else:
        time = gettext("{number} min", number=round(seconds / 60))
    if readiness.is_least:
        return gettext("+{time} or more", time=time)
    return gettext("+{time}", time=time)


def _warm_words(readiness: ImageReadiness | None) -> str:
    """Say that it starts now, or on how many of the nodes, and how long it takes on the others.

    Where nobody knows which nodes have the image, nothing is promised.
    """
    if readiness is None:
        return gettext("starts now")
    ready, fitting = readiness.ready_nodes, readiness.fitting_nodes
    if fitting and ready >= fitting:
        return gettext("starts now")
    time = _pull_time(readiness)
    if not readiness.is_known:
        if ready:
            return ngettext(
                "image on {ready} or more of {number} node",
                "image on {ready} or more of {number} nodes",
                fitting,
                ready=ready,
            )
        if time:
            return gettext("{time} if the image must be pulled", time=time)
        return gettext("image may be pulled first")
    said = ngettext(
        "image on {ready} of {number} node",
        "image on {ready} of {number} nodes",
        fitting,
        ready=ready,
    )
    return gettext("{said}, else {time}", said=said, time=time) if time else said


def _start_words(scale_up: ScaleUp) -> str:
    """Say how long a node takes that is started first."""
    if scale_up.seconds is None:
        return gettext("takes a few minutes")
    return gettext("+{minutes} min to start it", minutes=max(1, round(scale_up.seconds / 60)))


def image_facts(image: Image) -> str:
    """Return the facts of an environment in one line; empty where the admin gave none."""
    named = {name.lower() for name, _ in image.packages}
    facts: list[str] = []
    if image.pytorch and "pytorch" not in named:
        facts.append(f"PyTorch {image.pytorch}")
    if image.cuda and "cuda" not in named:
        facts.append(f"CUDA {image.cuda}")
    if image.python and "python" not in named:
        facts.append(f"Python {image.python}")
    facts.extend(f"{name} {version}".strip() for name, version in image.packages)
    if image.size_bytes:
        facts.append(_download(image.size_bytes))
    return joined(" · ", facts)


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
    cores = _cores(cpu_milli)
    return ngettext("{cores} core", "{cores} cores", 1 if cores == "1" else 2, cores=cores)


def _cpu_words(base: Amount, per_gpu: Amount) -> str:
    more = _span(per_gpu, _cores) if _is_set(per_gpu) else ""
    if not _is_set(base):
        return gettext("{cores} per GPU CPU cores", cores=more) if more else ""
    cores = _span(base, _cores)
    said = ngettext("{cores} CPU core", "{cores} CPU cores", 1 if cores == "1" else 2, cores=cores)
    return joined(", ", (said, _per_gpu(more)))


def _memory_words(base: Amount, per_gpu: Amount) -> str:
    more = _span(per_gpu, gigabytes) if _is_set(per_gpu) else ""
    if not _is_set(base):
        return gettext("{memory} per GPU memory", memory=more) if more else ""
    said = gettext("{memory} memory", memory=_span(base, gigabytes))
    return joined(", ", (said, _per_gpu(more)))


def _per_gpu(more: str) -> str:
    return gettext("+{amount} per GPU", amount=more) if more else ""


def _is_set(amount: Amount) -> bool:
    return amount.request is not None or amount.limit is not None


def _cores(cpu_milli: int) -> str:
    return figure(cpu_milli / 1000, ".3g")


def _span(amount: Amount, words: Callable[[int], str]) -> str:
    """Write request and limit as one range, "64 to 128 GB", or as one number where they agree."""
    given = [value for value in (amount.request, amount.limit) if value is not None]
    least, most = words(min(given)), words(max(given))
    if least == most:
        return most
    if isinstance(least, Message) and isinstance(most, Message) and least.msgid == most.msgid:
        least = least.values["number"]  # the unit is said once
    return gettext("{least} to {most}", least=least, most=most)


def share_facts(catalog: Catalog, choice: Choice) -> ShareFacts | None:
    """Say what one share of a choice means, wherever it is had; None without GPUs."""
    each = meanings(catalog, choice)
    return in_common(each) if each else None


def isolation_words(catalog: Catalog, choices: Sequence[Choice]) -> str:
    """Say what keeps neighbours apart in the choices of one row, which have one flavor or any.

    Nothing is promised that depends on what is given.
    """
    of_each = [
        {sentences(one.isolation, one.advice): None for one in meanings(catalog, choice)}
        for choice in choices
    ]
    said = list(dict.fromkeys(words for each in of_each for words in each))
    if len(said) < 2:
        return said[0] if said else ""
    if choices[0].flavor == ANY:
        return gettext("What keeps neighbours apart depends on the GPU you get; see below.")
    if any(len(each) > 1 for each in of_each):
        lead = gettext("What keeps neighbours apart depends on what is free when you start.")
    else:
        lead = gettext("What keeps neighbours apart depends on what you choose.")
    either = gettext("Either: {said}", said=said[0])
    return joined(" ", [lead, either, *(gettext("Or: {said}", said=one) for one in said[1:])])


def tile_title(catalog: Catalog, choice: Choice, *, by_share: bool) -> tuple[str, str]:
    """Return a tile's title and the small words beside it.

    ``by_share`` says that the tiles of the row differ in their share rather than in their count.
    """
    facts = share_facts(catalog, choice)
    if facts is None or choice.share is None:
        return gettext("CPU only"), ""
    if not by_share:
        return counted_units(choice.count, facts.unit), ""
    title, subtitle = _share_title(choice.share, facts)
    return _times(choice.count, title), subtitle


def _times(count: int, what: str) -> str:
    if count == 1:
        return what
    return gettext("{count} \N{MULTIPLICATION SIGN} {what}", count=count, what=what)


def _share_title(share: Share, facts: ShareFacts) -> tuple[str, str]:
    """Name one share by what was wished, and beside it say what one gets, where that is more."""
    had = facts.memory_bytes
    memory = gigabytes(had) if had else ""
    if share.kind == "memory":
        wanted = gigabytes(memory_wanted(share, None) or 0)
        if not memory or memory == wanted:
            return wanted, ""
        unit = unit_word(facts.unit)
        return wanted, gettext("in a {unit} with {memory}", unit=unit, memory=memory)
    if share.kind == "fraction":
        return gettext("{fraction} of a GPU", fraction=Figure(share.value)), memory
    return share.value or facts.title, memory


def choice_phrase(catalog: Catalog, profile: Profile, choice: Choice) -> str:
    """Name a choice where it stands alone: in the start button, as an alternative."""
    facts = share_facts(catalog, choice)
    share = choice.share
    if facts is None or share is None:
        return profile.display_name
    is_any = choice.flavor == ANY
    flavor = "" if is_any else catalog.flavors[choice.flavor].display_name
    if share.kind == "whole":
        # "1 x H100" says that it is one GPU, so it is said of a single one as well.
        what = flavor or gettext("whichever GPU is free first")
        return gettext("{count} \N{MULTIPLICATION SIGN} {what}", count=choice.count, what=what)
    flavor = flavor or pgettext("after 'of' or 'with'", "whichever GPU is free first")
    if not share.value:
        what = counted_units(choice.count, facts.unit)
    elif share.kind == "memory":
        what = _times(choice.count, _share_title(share, facts)[0])
    elif share.kind == "fraction":
        what = _times(choice.count, Figure(share.value))
    else:
        unit = unit_word(facts.unit) if choice.count == 1 else units_word(facts.unit)
        named = gettext("{name} {unit}", name=share.value, unit=unit)
        what = _times(choice.count, named)
    return gettext("{what} of {flavor}", what=what, flavor=flavor)


def count_words(count: FlavorCount | None) -> str:
    """Write the line under a flavor's name: 5 of 16 GPUs free."""
    if count is None:
        return ""
    if count.free is None or count.total is None:
        return gettext("not known")
    units = counted_units_of(count.total, count.unit)
    return gettext("{free} of {units} free", free=count.free, units=units)


def tile_words(offer: ChoiceOffer, image: str) -> tuple[str, str, str]:
    """Return state, label and detail of a choice with one of the profile's images."""
    if offer.state is None:
        return "unknown", gettext("not known"), gettext("may have to wait")
    if offer.scale_up is not None:
        return offer.state.word, gettext("new node"), _start_words(offer.scale_up)
    if not offer.starts_now:
        is_busy = offer.state is Availability.BUSY
        return offer.state.word, gettext("busy") if is_busy else gettext("none"), ""
    label = _free_words(offer.free, offer.total)
    readiness = offer.images.get(image)
    if readiness is not None and readiness.is_cold:
        return "cold", label, _pull_words(readiness)
    return "ready", label, _warm_words(readiness)


def _free_words(free: int | None, total: int | None) -> str:
    if free is None:
        return gettext("free")
    if total is None:
        return gettext("{free} free", free=free)
    return gettext("{free} of {total} free", free=free, total=total)
