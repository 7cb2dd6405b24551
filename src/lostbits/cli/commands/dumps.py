"""What ``lostbits verify --dumps`` says."""

from lostbits.cli.terminal import say
from lostbits.results.dumps import DumpedTensor, DumpVerification
from lostbits.system.text_lines import aligned

_SHOWN = 40  # tensors in full
_COLUMNS = ("tensor", "in the dump", "values", "layout", "codes off", "its own", "differ", "dB")


def show_dumps(found: DumpVerification) -> None:
    """Formats, what was compared, the table, what differs and why, and what is wrong."""
    dumped = f"{found.tensors_compared} of {found.tensors_dumped} dumped tensors"
    say(f"{', '.join(found.formats)}: {dumped}, {found.samples} runs", "bold")
    for line in aligned([_COLUMNS, *(_row(each) for each in found.tensors[:_SHOWN])]):
        say(line)
    if found.tensors[_SHOWN:]:
        say(f"... and {len(found.tensors) - _SHOWN} more; --json has all")
    for problem in found.problems:
        say(str(problem), "yellow")
    for deviation in found.other_deviations:
        say(f"also: {deviation.text}")
    say(
        f"{'passed' if found.passed else 'FAILED'}: {found.text}",
        "green" if found.passed else "red",
    )


def _row(row: DumpedTensor) -> tuple[str, ...]:
    figures = (_number(row.codes), _number(row.own_codes), _share(row.share))
    noise = "equal" if row.sqnr_db is None else f"{row.sqnr_db:.1f}"
    return (row.tensor, row.name, row.values, row.layout, *figures, noise)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"
