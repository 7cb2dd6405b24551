"""result.json."""

import json
from typing import ClassVar, final

from lostbits.language import say
from lostbits.reporter import Reporter, Result, finite

_SHOWN = 5  # places that the note names


@final
class Json(Reporter):
    """The result itself, for other programs; layout in result.schema.json."""

    name: ClassVar[str] = "json"
    file: ClassVar[str | None] = "result.json"

    def render(self, result: Result) -> str:
        """One line a value at the top levels, numbers in full.

        JSON has none that are not finite. They are null, and a note names where they stand.
        """
        plain, places = finite(result)
        if places:
            shown = ", ".join(places[:_SHOWN])
            plain["notes"].append(say("note.not_finite", count=str(len(places)), places=shown))
        return json.dumps(plain, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
