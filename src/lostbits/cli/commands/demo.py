"""``lostbits demo``."""

from pathlib import Path

from lostbits import quoting
from lostbits.cli.commands.delivery import Delivery, JsonTo, Quiet
from lostbits.cli.commands.language_option import Lang
from lostbits.cli.commands.options import Force, TargetName
from lostbits.cli.terminal import Out, guarded, progress_bars
from lostbits.language import Language
from lostbits.verbs import output
from lostbits.verbs.demo import demo as demonstration
from lostbits.verbs.demo import demo_files
from lostbits.verbs.result_kind import check_place


def demo(
    target: TargetName = "snpe",
    out: Out = Path("lostbits-demo"),
    force: Force = False,
    lang: Lang = Language.ENGLISH,
    quiet: Quiet = False,
    json: JsonTo = None,
) -> None:
    """Diagnose and recover the embedded network: a small CNN on real digits that int8 breaks.

    Example: **lostbits demo --target tensorrt --out demo**
    """
    files = {name: str(_short(path)) for name, path in demo_files().items()}
    command = ["lostbits", "diagnose", files["model"], "--target", target, "--out", str(out)]
    for name in ("data", "calibration", "labels"):
        command += [f"--{name}", files[name]]
    with guarded(out):
        delivery = Delivery.of("console,json,html", lang, quiet, json)
        output.check_writable(out)
        if not force:
            check_place(out, "recovery", demo_files()["model"], target)
        with progress_bars(quiet) as listener:
            better = demonstration(target, out, quoting.command(command), listener)
        delivery(better.report, out)


def _short(path: Path) -> Path:
    """Relative to the current folder where that is shorter to read and to type."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
