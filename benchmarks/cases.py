"""Cases to measure, made by the library's door."""

from dataclasses import replace
from typing import Any

from lostbits import Case, load
from lostbits.data import Source
from lostbits.verbs.origin import origin_of


def planned(model: Any, data: Any, target: Any = None, **options: Any) -> tuple[Source, Case]:
    """Return the samples and their case, without where it comes from: as workers get it."""
    case = load(model, data, target, **options)
    return origin_of(case).judged.source, replace(case, origin=None)
