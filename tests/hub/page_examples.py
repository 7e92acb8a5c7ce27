"""A small catalog and offers for it, made by hand: what the page is laid out from."""

from collections.abc import Mapping, Sequence

from gpu_spawner.core.catalog.amounts import Amount, Resources
from gpu_spawner.core.catalog.flavors import Flavor, LabelIn, Sharing
from gpu_spawner.core.catalog.model import (
    Catalog,
    GpuBlock,
    Image,
    Profile,
    Selection,
    Share,
)
from gpu_spawner.core.offers.availability import (
    Availability,
    ChoiceOffer,
    FlavorCount,
    ImageReadiness,
    ProfileOffer,
)
from gpu_spawner.hub.page_layout import build_page
from gpu_spawner.hub.page_model import Page, Tile
from gpu_spawner.hub.view import View

GIB = 2**30
WHOLE = Share(kind="whole")
SMALL = Share(kind="mig", value="1g.10gb")
LARGE = Share(kind="mig", value="3g.40gb")
REPLICA = Share(kind="replica")

READY, COLD = Availability.READY, Availability.COLD
BUSY, IMPOSSIBLE = Availability.BUSY, Availability.IMPOSSIBLE


def flavor(name: str, display_name: str, memory: int, sharing: Sharing | None = None) -> Flavor:
    return Flavor(
        name=name,
        display_name=display_name,
        memory_bytes=memory * 10**9,
        node_labels=(LabelIn(key="nvidia.com/gpu.product", values=(name,)),),
        sharing=sharing,
    )


CATALOG = Catalog(
    flavors={
        "h100": flavor("h100", "NVIDIA H100", 80),
        "a100": flavor("a100", "NVIDIA A100", 80),
        "t4": flavor("t4", "NVIDIA T4", 16, Sharing(strategy="time-slicing", replicas=4)),
    },
    images={
        "scipy": Image(name="scipy", reference="r/scipy:1", display_name="SciPy", python="3.13"),
        "torch": Image(
            name="torch",
            reference="r/torch:1",
            display_name="PyTorch (CUDA 13)",
            pytorch="2.9",
            cuda="13.0",
            size_bytes=9_800_000_000,
        ),
        "old": Image(name="old", reference="r/torch:0", display_name="PyTorch (CUDA 12)"),
    },
    profiles=(
        Profile(
            slug="cpu",
            display_name="Data science on CPU",
            images=("scipy",),
            is_default=True,
            resources=Resources(
                cpu=Amount(request=1000, limit=4000), memory=Amount(request=4 * GIB, limit=8 * GIB)
            ),
        ),
        Profile(
            slug="whole",
            display_name="PyTorch on whole GPUs",
            images=("torch", "old"),
            gpu=(GpuBlock(flavors=("h100", "a100"), shares=(WHOLE,), counts=(1, 2, 4)),),
        ),
        Profile(
            slug="slice",
            display_name="A slice",
            images=("torch",),
            gpu=(
                GpuBlock(flavors=("a100",), shares=(SMALL, LARGE), counts=(1,)),
                GpuBlock(flavors=("t4",), shares=(REPLICA,), counts=(1,)),
            ),
        ),
    ),
)

State = tuple[Availability | None, int | None, int | None, str]
UNKNOWN: State = (None, None, None, "Unknown: the hub may not list nodes")


def offers(
    states: Mapping[str, State],
    *,
    cold_images: tuple[str, ...] = (),
    catalog: Catalog = CATALOG,
) -> list[ProfileOffer]:
    """Return the offers of a catalog; choices not in ``states`` have three of four free."""
    made = []
    for profile in catalog.profiles:
        choices = []
        for choice in profile.choices:
            state, free, total, because = states.get(choice.key, (READY, 3, 4, "3 of 4 free"))
            choices.append(
                ChoiceOffer(
                    key=choice.key,
                    profile=profile.slug,
                    flavor=choice.flavor,
                    share=choice.share.label if choice.share else "",
                    count=choice.count,
                    state=state,
                    free=free,
                    total=total,
                    because=because,
                    images={
                        image: ImageReadiness(
                            ready_nodes=0 if image in cold_images else 1,
                            fitting_nodes=1,
                            is_known=True,
                            pull_seconds=190.0,
                        )
                        for image in profile.images
                    },
                )
            )
        known = [one.state for one in choices if one.state is not None]
        counts = {
            (choice.flavor, choice.share): FlavorCount(
                flavor=choice.flavor, share=choice.share.label, unit="GPU", free=5, total=16
            )
            for choice in profile.choices
            if choice.share and choice.flavor != "any"
        }
        made.append(
            ProfileOffer(
                slug=profile.slug,
                state=max(known, default=None),
                because=choices[0].because,
                choices=tuple(choices),
                flavors=tuple(counts.values()),
            )
        )
    return made


def all_unknown() -> dict[str, State]:
    return {choice.key: UNKNOWN for profile in CATALOG.profiles for choice in profile.choices}


def pick(key: str, image: str = "torch") -> Selection:
    """Return the selection of a choice's key."""
    slug = key.partition("/")[0]
    profile = CATALOG.profile(slug)
    assert profile is not None
    choice = next(choice for choice in profile.choices if choice.key == key)
    return Selection(
        profile=slug,
        flavor=choice.flavor,
        flavors=choice.flavors,
        share=choice.share,
        count=choice.count,
        image=image,
    )


def page(
    states: Mapping[str, State] | None = None,
    *,
    selected: Selection | None = None,
    cold_images: tuple[str, ...] = (),
    age_seconds: int | None = 3,
) -> Page:
    view = view_of(CATALOG, offers(states or {}, cold_images=cold_images))
    return build_page(view, selected=selected, age_seconds=age_seconds)


def view_of(catalog: Catalog, offered: Sequence[ProfileOffer]) -> View:
    """Return what a user sees."""
    return View(catalog=catalog, offers=tuple(offered))


def tile(page: Page, key: str) -> Tile:
    return page.tiles()[key]
