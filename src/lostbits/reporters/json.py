"""result.json."""

from typing import ClassVar, final

from lostbits.language import say
from lostbits.reporter import Reporter, finite, strict_json
from lostbits.reporters.schema import plain
from lostbits.results.diagnosis import Diagnosis

_SHOWN = 5  # places that the note names


@final
class Json(Reporter):
    """The result itself, for other programs; layout in result.schema.json."""

    name: ClassVar[str] = "json"
    file: ClassVar[str | None] = "result.json"

    def render(self, result: Diagnosis) -> str:
        """A line for a site, a layer or a finding, numbers in full.

        JSON has none that are not finite. They are null, and a note names where they stand.
        """
        content, places = finite(plain(result))
        if places:
            shown = ", ".join(places[:_SHOWN])
            note = say("note.not_finite", count=str(len(places)), places=shown)
            content["notes"].append(plain(note))
        return strict_json(content)
