"""What a folder holds already: results of another kind are not written over."""

import json
from pathlib import Path
from typing import Any, Literal

from lostbits.errors import OutputError
from lostbits.system import files
from lostbits.verbs.case_files import holds_case

Kind = Literal["diagnosis", "recovery"]
_MOST = 1 << 28  # bytes of a result


def check_place(folder: Path, kind: Kind, model: Path, target: str | None) -> None:
    """Refuse a folder whose result would be lost.

    A diagnosis may replace a diagnosis, and a recovery one of the same model on the same target,
    which goes on there.

    Args:
        folder: Where the new result goes.
        kind: Of the new result.
        model: That it is of.
        target: That it is on; None where that is not known yet.

    Raises:
        OutputError: O012.
    """
    found = kind_in(folder)
    if found is None or found == kind == "diagnosis":
        return
    if found != kind:
        raise OutputError("O012.kind", str(folder), f"a {found}", kind=kind)
    held = _told(folder)
    before = (Path(str(held.get("model"))).name, held.get("target"))
    if held and before != (model.name, target or before[1]):
        raise OutputError("O012.model", str(folder), f"{before[0]} on {before[1]}")


def kind_in(folder: Path) -> Kind | None:
    """Of the result that lies in a folder; None where there is none that can be read."""
    if holds_case(folder):
        return "recovery"
    held = _told(folder)
    if not held:
        return None
    return "recovery" if held["recovered"] else "diagnosis"


def _told(folder: Path) -> dict[str, Any]:
    """Model, target and kind of a result; nothing where there is none."""
    try:
        content = json.loads(files.read_file(folder / "result.json", most=_MOST))
        model, target = content["model"]["path"], content["target"]["name"]
        return {"model": model, "target": target, "recovered": content.get("recovered")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
