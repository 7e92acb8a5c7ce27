"""What GPUs and their parts are called when they are counted.

A unit is a word of ours, such as ``GPU`` or ``slice``: the JSON of offers has it, and here is how
it is said.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from gpu_spawner.core.messages import Message, gettext, ngettext, npgettext, pgettext

__all__ = ["counted_units", "counted_units_of", "unit_word", "units_word"]

_COUNTED: Final[Mapping[str, Message]] = MappingProxyType(
    {
        "GPU": ngettext("{number} GPU", "{number} GPUs", 1),
        "slice": ngettext("{number} slice", "{number} slices", 1),
        "share": ngettext("{number} share", "{number} shares", 1),
        "partition": ngettext("{number} partition", "{number} partitions", 1),
        "set of devices": ngettext("{number} set of devices", "{number} sets of devices", 1),
        "accelerator": ngettext("{number} accelerator", "{number} accelerators", 1),
        "TPU chip": ngettext("{number} TPU chip", "{number} TPU chips", 1),
        "Neuron core": ngettext("{number} Neuron core", "{number} Neuron cores", 1),
        "Neuron device": ngettext("{number} Neuron device", "{number} Neuron devices", 1),
    }
)

_COUNTED_OF: Final[Mapping[str, Message]] = MappingProxyType(
    {
        "GPU": npgettext("after 'of' or 'with'", "{number} GPU", "{number} GPUs", 1),
        "slice": npgettext("after 'of' or 'with'", "{number} slice", "{number} slices", 1),
        "share": npgettext("after 'of' or 'with'", "{number} share", "{number} shares", 1),
        "partition": npgettext(
            "after 'of' or 'with'", "{number} partition", "{number} partitions", 1
        ),
        "set of devices": npgettext(
            "after 'of' or 'with'", "{number} set of devices", "{number} sets of devices", 1
        ),
        "accelerator": npgettext(
            "after 'of' or 'with'", "{number} accelerator", "{number} accelerators", 1
        ),
        "TPU chip": npgettext("after 'of' or 'with'", "{number} TPU chip", "{number} TPU chips", 1),
        "Neuron core": npgettext(
            "after 'of' or 'with'", "{number} Neuron core", "{number} Neuron cores", 1
        ),
        "Neuron device": npgettext(
            "after 'of' or 'with'", "{number} Neuron device", "{number} Neuron devices", 1
        ),
    }
)

_ONE: Final[Mapping[str, Message]] = MappingProxyType(
    {
        "GPU": pgettext("unit", "GPU"),
        "slice": pgettext("unit", "slice"),
        "share": pgettext("unit", "share"),
        "partition": pgettext("unit", "partition"),
        "set of devices": pgettext("unit", "set of devices"),
        "accelerator": pgettext("unit", "accelerator"),
        "TPU chip": pgettext("unit", "TPU chip"),
        "Neuron core": pgettext("unit", "Neuron core"),
        "Neuron device": pgettext("unit", "Neuron device"),
    }
)

_MANY: Final[Mapping[str, Message]] = MappingProxyType(
    {
        "GPU": pgettext("unit", "GPUs"),
        "slice": pgettext("unit", "slices"),
        "share": pgettext("unit", "shares"),
        "partition": pgettext("unit", "partitions"),
        "set of devices": pgettext("unit", "sets of devices"),
        "accelerator": pgettext("unit", "accelerators"),
        "TPU chip": pgettext("unit", "TPU chips"),
        "Neuron core": pgettext("unit", "Neuron cores"),
        "Neuron device": pgettext("unit", "Neuron devices"),
    }
)


def counted_units(number: int, unit: str) -> Message:
    """Write a number of units.

    >>> counted_units(1, "slice"), counted_units(1200, "GPU")
    ('1 slice', '1,200 GPUs')
    """
    known = _COUNTED.get(unit)
    return known.about(number) if known is not None else _unnamed(number, unit)


def counted_units_of(number: int, unit: str) -> Message:
    """Write a number of units where it stands after "of" or "with"."""
    known = _COUNTED_OF.get(unit)
    return known.about(number) if known is not None else _unnamed(number, unit)


def unit_word(unit: str) -> str:
    """Return the word for one of a unit."""
    return _ONE.get(unit, unit)


def units_word(unit: str) -> str:
    """Return the word for several of a unit.

    >>> units_word("set of devices")
    'sets of devices'
    """
    return _MANY.get(unit, unit)


def _unnamed(number: int, unit: str) -> Message:
    return gettext("{number} {unit}", number=number, unit=unit)
