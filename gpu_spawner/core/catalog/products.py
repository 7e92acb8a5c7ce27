"""Read NVIDIA's product label: which GPU model it names, and whether it is sliced or shared.

GPU feature discovery writes ``nvidia.com/gpu.product`` as
``<model>[-MIG-<profile>|-MIG-INVALID][-SHARED]``, suffix last (NVIDIA/k8s-device-plugin,
``internal/lm/resource.go``, ``getProductName``).
"""

from dataclasses import dataclass
from typing import Final

__all__ = ["PRODUCT_LABEL", "Product", "parse_product"]

PRODUCT_LABEL: Final = "nvidia.com/gpu.product"

_SHARED: Final = "-SHARED"
_MIG: Final = "-MIG-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """One product label, taken apart.

    Attributes:
        model: the GPU itself, ``NVIDIA-A100-SXM4-80GB``.
        mig: the MIG profile every slice of the node has (strategy ``single``), ``INVALID`` where
            they differ, empty where the GPU is whole or the strategy is ``mixed``.
        is_shared: whether the resource counts replicas, not GPUs.
    """

    model: str
    mig: str = ""
    is_shared: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether one unit of the resource is one whole GPU."""
        return not self.mig and not self.is_shared

    @property
    def label(self) -> str:
        """The label's value; the inverse of ``parse_product``."""
        mig = f"{_MIG}{self.mig}" if self.mig else ""
        return f"{self.model}{mig}{_SHARED if self.is_shared else ''}"


def parse_product(label: str) -> Product:
    """Take a product label apart.

    >>> parse_product("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED")
    Product(model='NVIDIA-A100-SXM4-40GB', mig='1g.5gb', is_shared=True)
    >>> parse_product("Tesla-T4")
    Product(model='Tesla-T4', mig='', is_shared=False)
    """
    is_shared = label.endswith(_SHARED)
    rest = label.removesuffix(_SHARED)
    model, separator, mig = rest.rpartition(_MIG)
    if not separator or not model or not mig:
        return Product(model=rest, is_shared=is_shared)
    return Product(model=model, mig=mig, is_shared=is_shared)
