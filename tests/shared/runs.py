"""Cases, diagnoses and recoveries that tests need, all through the library's door."""

import json
from dataclasses import replace
from importlib.resources import files
from inspect import signature
from pathlib import Path
from typing import Any

import jsonschema

from benchmarks.cases import planned
from lostbits import Case, Diagnosis, Recovery, diagnose, load, recover
from lostbits.data import Source
from lostbits.language import Message
from lostbits.reporters.schema import plain
from lostbits.verbs.holdout import held_out
from lostbits.verbs.origin import Samples
from lostbits.verbs.recover import saver

SCHEMA = json.loads(files("lostbits").joinpath("result.schema.json").read_text(encoding="utf-8"))
__all__ = [
    "SCHEMA",
    "assert_valid",
    "codes",
    "diagnosed",
    "divided",
    "figures",
    "loaded",
    "planned",
    "recovered",
    "stored",
]
_OF_LOAD = frozenset(signature(load).parameters)


def loaded(
    model: Any, data: Any, target: Any = None, **options: Any
) -> tuple[Case, dict[str, Any]]:
    """The case, and the options that are not those of ``load``."""
    own = {name: value for name, value in options.items() if name in _OF_LOAD}
    others = {name: value for name, value in options.items() if name not in _OF_LOAD}
    return load(model, data, target, **own), others


def diagnosed(model: Any, data: Any, target: Any = None, **options: Any) -> Diagnosis:
    """``load`` and ``diagnose``; both are told of the progress."""
    case, others = loaded(model, data, target, **options)
    told = {name: options[name] for name in ("progress", "workers") if name in options}
    return diagnose(case, **told, **others)


def recovered(model: Any, data: Any, target: Any = None, **options: Any) -> Recovery:
    """``load`` and ``recover``, in the same way."""
    case, others = loaded(model, data, target, **options)
    told = {name: options[name] for name in ("progress", "workers") if name in options}
    return recover(case, **told, **others)


def stored(case: Case, folder: Path) -> Path:
    """The folder, with the case as a recovery keeps it."""
    saver(folder)(case, [])
    return folder


def codes(message: Message) -> set[str]:
    """Its code, and those of the messages in its gaps."""
    inner = (figure for figure in message.figures.values() if isinstance(figure, Message))
    return {message.code}.union(*map(codes, inner))


def divided(source: Source) -> tuple[Source, Source]:
    """Samples to work on, and samples that judge."""
    judges, work = held_out(Samples(source, range(len(source)), len(source)))
    return work.source, judges.source


def figures(found: Diagnosis) -> Diagnosis:
    """Without what a clock, memory, folder or command line decides; equal ones are equal."""
    ledger = [replace(attempt, seconds=0.0) for attempt in found.ledger]
    same = replace(found, created="", seconds={}, peak_memory_bytes=0, command="", ledger=ledger)
    return replace(same, memory=None, next_commands=[])


def assert_valid(found: Diagnosis) -> None:
    """Its JSON is of the schema that is published."""
    jsonschema.validate(plain(found), SCHEMA)
