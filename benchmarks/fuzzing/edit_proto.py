"""Edits of any protobuf message: by its description, without knowing what its fields mean."""

from random import Random
from typing import Any

import onnx
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message import Message

from benchmarks.fuzzing import hostile

_WHOLE = (
    Field.CPPTYPE_INT32, Field.CPPTYPE_INT64, Field.CPPTYPE_UINT32, Field.CPPTYPE_UINT64,
)  # fmt: skip
_FRACTIONS = (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE)
_BITS = {
    Field.CPPTYPE_INT32: (-(2**31), 2**31 - 1),
    Field.CPPTYPE_INT64: (-(2**63), 2**63 - 1),
    Field.CPPTYPE_UINT32: (0, 2**32 - 1),
    Field.CPPTYPE_UINT64: (0, 2**64 - 1),
}


def edit(model: onnx.ModelProto, dice: Random) -> None:
    """Change one field of one message somewhere below the model."""
    message = dice.choice(_messages(model))
    present: list[Any] = [field for field, _ in message.ListFields()]
    fields: list[Any] = (
        present if present and dice.random() < 0.8 else list(message.DESCRIPTOR.fields)
    )
    field = dice.choice(fields)
    if field.is_repeated:
        _edit_several(getattr(message, field.name), field, dice)
    else:
        _edit_one(message, field, dice)


def _messages(root: Message) -> list[Message]:
    found = [root]
    for field, value in root.ListFields():
        if field.message_type is not None:
            inner = value if field.is_repeated else [value]
            found += [message for each in inner for message in _messages(each)]
    return found


def _edit_one(message: Message, field: Field, dice: Random) -> None:
    if field.message_type is not None or dice.random() < 0.2:
        message.ClearField(field.name)
        if field.message_type is not None and dice.random() < 0.5:
            getattr(message, field.name).SetInParent()
        return
    setattr(message, field.name, _value(field, getattr(message, field.name), dice))


def _edit_several(values: Any, field: Field, dice: Random) -> None:
    if not len(values):
        _append(values, field, None, dice)
        return
    number = dice.randrange(len(values))
    match dice.randrange(3):
        case 0:
            del values[number]
        case 1:
            _append(values, field, values[number], dice)
        case _ if field.message_type is not None:
            other = type(values[number])() if dice.random() < 0.5 else dice.choice(list(values))
            values[number].CopyFrom(other)
        case _:
            values[number] = _value(field, values[number], dice)


def _append(values: Any, field: Field, like: Any, dice: Random) -> None:
    """One more: a copy of another one, or, of plain values, perhaps a new one."""
    if field.message_type is not None:
        new = values.add()
        if like is not None:
            new.CopyFrom(like)
    else:
        values.append(_value(field, like, dice) if like is None or dice.random() < 0.5 else like)


def _value(field: Field, old: Any, dice: Random) -> Any:
    """Something of the field's type."""
    kind = field.cpp_type
    if kind in _WHOLE:
        low, high = _BITS[kind]
        near = (old or 0) + dice.choice((-1, 1, 8))
        return min(max(dice.choice((hostile.integer(dice), near)), low), high)
    if kind in _FRACTIONS:
        return min(max(hostile.number(dice), -3e38), 3e38) if dice.random() < 0.7 else old or 0.0
    if kind == Field.CPPTYPE_ENUM:
        return dice.choice([v.number for v in field.enum_type.values])  # type: ignore[union-attr]
    if kind == Field.CPPTYPE_BOOL:
        return not old
    return _text(field, old, dice)


def _text(field: Field, old: Any, dice: Random) -> Any:
    if field.type == Field.TYPE_BYTES:
        content = bytes(old or b"")
        return dice.choice(
            (b"", content[:-1], content + b"\0", content * 2, b"\xff" * len(content))
        )
    return dice.choice((hostile.name(dice), str(old or "") + "x", str(old or "")[:-1]))
