"""result.json."""

import json
from typing import ClassVar, final

from lostbits.diagnosis import Diagnosis
from lostbits.reporter import Reporter
from lostbits.schema import plain


@final
class Json(Reporter):
    """The result itself, for other programs; layout in result.schema.json."""

    name: ClassVar[str] = "json"
    file: ClassVar[str | None] = "result.json"

    def render(self, result: Diagnosis) -> str:
        """One line a value at the top levels, numbers in full."""
        return json.dumps(plain(result), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
