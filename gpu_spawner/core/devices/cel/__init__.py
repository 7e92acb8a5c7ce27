"""Device selectors: the expressions in device classes and requests that pick devices."""

from gpu_spawner.core.devices.cel.selector import (
    Selector,
    SelectorError,
    SelectorRuntimeError,
    SelectorUnsupportedError,
    compile_selector,
)

__all__ = [
    "Selector",
    "SelectorError",
    "SelectorRuntimeError",
    "SelectorUnsupportedError",
    "compile_selector",
]
