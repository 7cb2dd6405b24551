"""The verb ``overlay``: a result on the graph of another viewer."""

from pathlib import Path

from lostbits.case import Case
from lostbits.reporters.overlay import overlay_files, stem_of
from lostbits.results.diagnosis import Diagnosis, Recovery
from lostbits.verbs.arguments import checked
from lostbits.verbs.output import replace_file


@checked
def overlay(case: Case, result: Diagnosis | Recovery, path: str | Path) -> list[Path]:
    """Write what Google's Model Explorer and Netron show of a result, and return the files.

    ``NAME.json`` is node data for Model Explorer: load ``NAME.netron.onnx`` there, or the model
    itself where the names of its nodes are the same, and add the file to it. ``NAME.netron.onnx``
    is a copy of the float network after normalising, with the figures as metadata of the model and
    of its nodes.

    Args:
        case: That the result is of; of a recovery, the case that it began with.
        result: What ``diagnose`` or ``recover`` returned.
        path: ``NAME.json``. The copy never takes the name of a model of yours.

    Raises:
        ExportError: E010 for a network that no file can hold.
        OutputError: O001.
    """
    found = result.report if isinstance(result, Recovery) else result
    place = Path(path)
    files = overlay_files(case, found, stem_of(place.name))
    written = [place.with_name(name) for name in files]
    for file, content in zip(written, files.values(), strict=True):
        replace_file(file, content)
    return written
