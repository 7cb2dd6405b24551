"""Kinds of figures that results hold, with the bounds that the schema of result.json gives them.

A reader does not hold a file to them: a figure that is not finite stays one when it is read again.
"""

from typing import Annotated

from msgspec import Meta

_NOT_NEGATIVE = {"minimum": 0}
Count = Annotated[int, Meta(extra_json_schema=_NOT_NEGATIVE)]
Several = Annotated[int, Meta(extra_json_schema={"minimum": 1})]
Bits = Annotated[int, Meta(extra_json_schema={"minimum": 2, "maximum": 32})]
Size = Annotated[float, Meta(extra_json_schema=_NOT_NEGATIVE)]
Unlimited = Annotated[float, Meta(extra_json_schema={"nullable": True})]  # null: not finite
Part = Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 1})]
Positive = Annotated[float, Meta(extra_json_schema={"exclusiveMinimum": 0})]
Named = Annotated[str, Meta(extra_json_schema={"minLength": 1})]
Digest = Annotated[str, Meta(extra_json_schema={"pattern": "^[0-9a-f]{64}$"})]  # SHA-256
Stamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
FindingCode = Annotated[str, Meta(extra_json_schema={"pattern": "^F[0-9]{3}$"})]
GridName = Annotated[str, Meta(extra_json_schema={"pattern": "^u?int[0-9]+$"})]
