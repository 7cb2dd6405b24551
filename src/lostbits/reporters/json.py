"""result.json."""

import json
from typing import ClassVar, final

from lostbits.reporter import Reporter, Result


@final
class Json(Reporter):
    """The result itself, for other programs; layout in result.schema.json."""

    name: ClassVar[str] = "json"
    file: ClassVar[str | None] = "result.json"

    def render(self, result: Result) -> str:
        """One line a value at the top levels, numbers in full; NaN is refused."""
        return json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
