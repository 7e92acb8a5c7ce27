"""What must agree among the containers of a profile's pod."""

from collections.abc import Collection, Iterator
from typing import Final

from gpu_spawner.core.catalog.agreement import requests_above_limits
from gpu_spawner.core.catalog.claims import NOTEBOOK
from gpu_spawner.core.catalog.documents import Document, KeyPath
from gpu_spawner.core.catalog.model import Profile, Sidecar
from gpu_spawner.core.errors import Problem
from gpu_spawner.core.wording import did_you_mean, quoted

__all__ = ["NOTEBOOK_PORT", "sidecar_mistakes"]

NOTEBOOK_PORT: Final = 8888
"""What KubeSpawner has the notebook server listen on unless a site says otherwise."""


def sidecar_mistakes(
    document: Document, profile: Profile, images: Collection[str]
) -> Iterator[Problem]:
    """Yield names and ports that are taken, unknown images, GPUs that are not there."""
    names, ports = {NOTEBOOK: "the notebook"}, {NOTEBOOK_PORT: "the notebook server"}
    for index, sidecar in enumerate(profile.sidecars):
        path: KeyPath = ("sidecars", index)
        if sidecar.name in names:
            yield document.problem(
                (*path, "name"),
                f"got '{sidecar.name}', which is the name of {names[sidecar.name]}",
                "Rename it.",
            )
        names.setdefault(sidecar.name, "another sidecar")
        if sidecar.port is not None:
            if sidecar.port in ports:
                yield document.problem(
                    (*path, "port"),
                    f"got {sidecar.port}, on which {ports[sidecar.port]} listens: "
                    "the containers of a server share one network",
                    "Use another port.",
                )
            ports.setdefault(sidecar.port, f"sidecar '{sidecar.name}'")
        yield from _unknown_image(document, (*path, "image"), sidecar, images)
        yield from requests_above_limits(
            document, (*path, "resources"), sidecar.cpu, sidecar.memory
        )
        if sidecar.gpu is not None and not profile.gpu:
            yield document.problem(
                (*path, "gpu"), "is set, but the profile has no gpu", "Add gpu to the profile."
            )


def _unknown_image(
    document: Document, path: KeyPath, sidecar: Sidecar, images: Collection[str]
) -> Iterator[Problem]:
    """Take a plain word for a key: a reference names a registry or at least a tag."""
    is_reference = any(character in sidecar.image for character in "/:@")
    if not is_reference and sidecar.image not in images:
        guess = did_you_mean(sidecar.image, images)
        yield document.problem(
            path,
            f"got {quoted(sidecar.image)}, which is neither a key of images.yaml nor a reference "
            "with a registry or a tag",
            guess or "Add it to images.yaml, or write the reference in full.",
        )
