"""Typed results to JSON and back, and the JSON Schema of them; all three from the dataclasses."""

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from typing import Annotated, Any, cast, final, get_args, get_origin, get_type_hints

import msgspec
import numpy as np

from lostbits.language import Language, Message, catalogue, verbatim
from lostbits.results.comparison import FORMAT as COMPARISON_FORMAT
from lostbits.results.comparison import Comparison
from lostbits.results.diagnosis import FORMAT, Diagnosis

OLD_FORMAT = "lostbits-result/1"  # of version 0.1: texts are English, ``sentences`` has their codes
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_FIELD = re.compile(r"^    (\w[\w, ]*): (.*(?:\n {8}.*)*)", re.MULTILINE)  # of a docstring


def plain(result: object) -> Any:
    """Dicts, lists, texts and numbers; a message has its English text beside code and figures."""
    return msgspec.to_builtins(result, enc_hook=_encoded)


def _encoded(value: object) -> Any:
    if isinstance(value, Message):
        return {"text": str(value), **_entry(value)}
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"no JSON for {type(value).__name__}")


def _entry(message: Message) -> dict[str, Any]:
    figures = {n: f if isinstance(f, str) else _entry(f) for n, f in message.figures.items()}
    return {"code": message.code, "figures": figures}


def diagnosis_of(content: Any) -> Diagnosis:
    """The diagnosis that plain data hold, of this format or that of version 0.1.

    Raises:
        ValueError: For the first place that is not of the format.
    """
    known = content.get("sentences", {}) if isinstance(content, dict) else {}
    hook = _Decoder(known if isinstance(known, dict) else {})
    if isinstance(content, dict) and content.get("format") == OLD_FORMAT:
        content = _renewed(content)
    return msgspec.convert(completed(content, Diagnosis), Diagnosis, dec_hook=hook)


def _renewed(content: dict[str, Any]) -> dict[str, Any]:
    """A result of the old format in the new one, but for its texts.

    It had an empty object as the utilisation of a site where nothing was counted.
    """
    sites = content.get("sites")
    if isinstance(sites, list):
        sites = [_counted(each) if isinstance(each, dict) else each for each in sites]
    return {**content, "format": FORMAT} | ({} if sites is None else {"sites": sites})


def _counted(site: dict[str, Any]) -> dict[str, Any]:
    return {**site, "utilisation": site.get("utilisation") or None}


def completed(value: Any, kind: Any) -> Any:
    """The value, with NaN for every null where its kind asks for a number, and with defaults.

    JSON has no number that is not finite, and is given null for it. msgspec leaves defaults to the
    class, and does not write them again.
    """
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    of = get_args(kind)
    if type(None) in of and value is not None:
        return completed(value, next(k for k in of if k is not type(None)))
    match value:
        case None:
            return math.nan if kind is float else None
        case dict() if isinstance(kind, type) and is_dataclass(kind):
            kinds = _kinds(kind)
            known = {n: completed(v, kinds[n]) if n in kinds else v for n, v in value.items()}
            return {**_defaults(kind), **known}
        case dict() if len(of) == 2:
            return {n: completed(v, of[1]) for n, v in value.items()}
        case list() if of:
            return [completed(v, of[0]) for v in value]
    return value


@cache
def _kinds(kind: type) -> dict[str, Any]:
    """Types of the fields of a dataclass."""
    return get_type_hints(kind, include_extras=True)


@final
class _Decoder:
    """Messages of both formats.

    Args:
        known: Of the old one: code and figures by the English text.
    """

    def __init__(self, known: Mapping[str, Any]) -> None:
        self.known = known

    def __call__(self, kind: type, value: Any) -> Any:
        if kind is not Message:
            raise NotImplementedError(f"no {kind.__name__} in JSON")
        if isinstance(value, str):
            return _retold(value, self.known[value]) if value in self.known else verbatim(value)
        return _message(value)


def _retold(text: str, entry: Any) -> Message:
    """The message of an old text; one with parts that this version has no words for stays."""
    return (
        _message(entry) if _codes(entry) <= catalogue(Language.ENGLISH).keys() else verbatim(text)
    )


def _codes(entry: Any) -> set[str]:
    """Of a message and of its parts."""
    match entry:
        case {"code": str(code), "figures": dict(figures)}:
            return {code}.union(*(_codes(f) for f in figures.values() if not isinstance(f, str)))
    return set()


def _message(entry: Any) -> Message:
    """The message of a code that this version knows, whose gaps are all filled."""
    match entry:
        case {"code": str(code), "figures": dict(figures)} if code in catalogue(Language.ENGLISH):
            parts = {n: f if isinstance(f, str) else _message(f) for n, f in figures.items()}
            made = Message(code, parts)
        case {"text": str(text)}:
            return verbatim(text)
        case _:
            raise ValueError("a text is a string, or an object with a known code and figures")
    try:
        str(made)
    except (KeyError, IndexError) as error:
        raise ValueError(f"text {made.code} has no figure {error}") from error
    return made


@cache
def _defaults(kind: type) -> dict[str, Any]:
    """What stands for fields of a dataclass that are missing, but for lists and mappings."""
    found = {f.name: f.default for f in fields(cast("Any", kind))}
    return {name: value for name, value in found.items() if value is not MISSING}


def result_schema() -> dict[str, Any]:
    """JSON Schema of result.json; its descriptions are those of the docstrings."""
    return _schema_of(Diagnosis, FORMAT)


def comparison_schema() -> dict[str, Any]:
    """The same of what ``compare --json`` writes."""
    return _schema_of(Comparison, COMPARISON_FORMAT)


def _schema_of(kind: type, title: str) -> dict[str, Any]:
    (schema,), definitions = msgspec.json.schema_components(
        [kind], schema_hook=_schema, ref_template="#/$defs/{name}"
    )
    described = {name: _described(each) for name, each in definitions.items()}
    return {"$schema": _DIALECT, "title": title, **schema, "$defs": described}


def _schema(kind: type) -> dict[str, Any]:
    if kind is not Message:
        raise NotImplementedError(f"no schema for {kind.__name__}")
    texts = {"text": {"type": "string"}, "code": {"type": "string"}, "figures": {"type": "object"}}
    told = "English text, its code in the catalogues, and what fills its gaps."
    return {"type": "object", "description": told, "required": [*texts], "properties": texts}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a class, where each field has its own part of the docstring."""
    text, _, attributes = schema.get("description", "").partition("\n\nAttributes:\n")
    parts = dict(schema.get("properties", {}))
    for names, told in _FIELD.findall(attributes):
        for name in names.split(", "):
            parts[name] = {**parts[name], "description": " ".join(told.split())}
    parts = {name: _nullable(part) for name, part in parts.items()}
    described = {**schema, "description": " ".join(text.split()), "properties": parts}
    closed = {"required": [*parts], "additionalProperties": False}  # what is written has all
    return described | (closed if parts else {})


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """With null beside the type where the kind of a figure says so: msgspec keeps one type."""
    if "nullable" not in schema:
        return schema
    plain = {name: value for name, value in schema.items() if name != "nullable"}
    return {**plain, "type": [schema["type"], "null"]}
