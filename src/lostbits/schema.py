"""Whether a result that was read has the form that ``result.schema.json`` says.

Of JSON Schema this is what a reader needs not to fail: types, fields, and lengths of lists. Bounds
of numbers and patterns of text are for those that write; tests hold both to the whole standard.
"""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

Schema = Mapping[str, Any]
_TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (float, int),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}


@cache
def result_schema() -> Schema:
    """The schema that is shipped."""
    text = files("lostbits").joinpath("result.schema.json").read_text(encoding="utf-8")
    schema: Schema = json.loads(text)
    return schema


def misfit(result: Any) -> str:
    """The first place that is not as the schema says, and why; nothing where all is.

    A null where it says number is what JSON makes of one that is not finite, and becomes NaN.
    """
    return next(_misfits(result, result_schema(), ""), "")


def _misfits(value: Any, schema: Schema, place: str) -> Iterator[str]:
    schema = _resolved(schema)
    if "type" in schema and not _is_of(value, schema["type"]):
        yield f"{place or 'the whole'} is no {_listed(schema['type'])}"
        return
    known = schema.get("enum", [schema["const"]] if "const" in schema else [value])
    if value not in known:
        yield f"{place} is none of {_listed(known)}"
    yield from _of_alternatives(value, schema, place)
    if isinstance(value, dict):
        yield from _of_object(value, schema, place)
    elif isinstance(value, list):
        yield from _of_list(value, schema, place)


def _of_alternatives(value: Any, schema: Schema, place: str) -> Iterator[str]:
    alternatives = schema.get("anyOf", schema.get("oneOf", ()))
    found = [next(_misfits(value, each, place), "") for each in alternatives]
    if found and all(found):  # of those that fail, the one that came furthest says most
        yield max(found, key=lambda text: text.partition(" ")[0].count("."))


def _of_object(value: dict[str, Any], schema: Schema, place: str) -> Iterator[str]:
    inside = f"{place}." if place else ""
    yield from (f"no {inside}{name}" for name in schema.get("required", ()) if name not in value)
    fields, others = schema.get("properties", {}), schema.get("additionalProperties", True)
    for name, each in value.items():
        rule = fields.get(name, others)
        if rule is False:
            yield f"{inside}{name} is no field of this version"
        elif rule is not True:
            yield from _of_part(value, name, each, rule, f"{inside}{name}")


def _of_list(value: list[Any], schema: Schema, place: str) -> Iterator[str]:
    if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", len(value)):
        yield f"{place} has {len(value)} entries"
    for number, each in enumerate(value):
        yield from _of_part(value, number, each, schema.get("items", {}), f"{place}[{number}]")


def _of_part(whole: Any, key: Any, part: Any, schema: Schema, place: str) -> Iterator[str]:
    if part is None and _resolved(schema).get("type") == "number":
        whole[key] = float("nan")
    else:
        yield from _misfits(part, schema, place)


def _resolved(schema: Schema) -> Schema:
    if "$ref" not in schema:
        return schema
    found: Any = result_schema()
    for name in schema["$ref"].removeprefix("#/").split("/"):
        found = found[name]
    return {**_resolved(found), **{k: v for k, v in schema.items() if k != "$ref"}}


def _is_of(value: Any, kinds: str | list[str]) -> bool:
    names = [kinds] if isinstance(kinds, str) else kinds
    is_bool = isinstance(value, bool)
    return any(isinstance(value, _TYPES[n]) and is_bool == (n == "boolean") for n in names)


def _listed(names: Any) -> str:
    return names if isinstance(names, str) else " or ".join(map(str, names))
