"""An arithmetic as a recovered folder keeps it: a name, or the table of a TOML file as JSON."""

import dataclasses
from typing import Any

from lostbits.arithmetics import MEMBERS
from lostbits.target import Arithmetic
from lostbits.targets.toml_file import arithmetic_in


def kept_form(own: Arithmetic) -> str | dict[str, Any]:
    """Return the name of a known arithmetic; of another one, the fields that say how it computes.

    >>> from lostbits.arithmetics import TFLITE
    >>> kept_form(TFLITE)
    'tflite'
    >>> kept_form(dataclasses.replace(TFLITE, name="npu", accumulator_bits=20))["accumulator_bits"]
    20
    """
    if own in MEMBERS.all():
        return own.name
    fields = {f.name: getattr(own, f.name) for f in dataclasses.fields(own)}
    told = {name: value for name, value in fields.items() if value is not None}
    told["title"] = str(own.title)
    told["sources"] = [dataclasses.asdict(source) for source in own.sources]
    sets = {name: sorted(value) for name, value in told.items() if isinstance(value, frozenset)}
    return {**told, **sets}


def from_kept_form(value: Any, where: str) -> Arithmetic:
    """The arithmetic that ``kept_form`` was given.

    Args:
        value: What it returned.
        where: Where it stands, for messages.

    Raises:
        TargetError: T050 for a name that is not known here, T003 for a table with a fault.
    """
    return arithmetic_in(value, where)
