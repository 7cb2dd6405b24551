"""Programs that do what no command must do, for the tests of the oracle."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

OUT = Path("../out")


def traceback() -> None:
    raise KeyError("planted")


def status_three() -> None:
    sys.exit(3)


def status_seventy() -> None:
    trace = Path("../tmp/trace.txt").resolve()
    trace.write_text('  File "/x/lostbits/a.py", line 7, in f\nValueError: planted\n')
    sys.stderr.write(f"a bug; see {trace}\n")
    sys.exit(70)


def crash() -> None:
    os.abort()


def busy() -> None:
    while True:
        sum(range(1000))


def idle() -> None:
    time.sleep(3600)


def memory() -> None:
    held = bytearray(b"x") * (1 << 30)
    time.sleep(3600 + len(held))


def escape() -> None:
    sys.stdout.write("name \x1b[31m\n")


def no_code() -> None:
    sys.stderr.write("something is wrong\n")
    sys.exit(2)


def several_lines() -> None:
    sys.stderr.write("D002: x.npy: must be whole: not: write it again\nand more\n")
    sys.exit(2)


def box() -> None:
    sys.stderr.write("╭─ Error ─╮\n│ no │\n╰─────────╯\n")
    sys.exit(2)


def noise() -> None:
    sys.stderr.write("RuntimeWarning: overflow\n")


def not_a_number() -> None:
    (OUT / "copy.json").write_text('{"lo": NaN}')


def no_result() -> None:
    (OUT / "result.json").write_text(json.dumps({"format": "lostbits-result/1"}))


def script() -> None:
    (OUT / "report.html").write_text("<script>document.title='poisoned'</script>")


def deletes() -> None:
    (OUT / "cache" / "mine.npz").unlink()


def overwrites() -> None:
    (OUT / "notes.txt").write_text("theirs")


def outside() -> None:
    Path("result.json").write_text("{}")


def half_written() -> None:
    (OUT / "report.html").write_text("half")
    sys.stderr.write("S003: x: must be finite: NaN: look\n")
    sys.exit(2)


def part() -> None:
    (OUT / ".lostbits-abc.part").write_text("half")


def temporary() -> None:
    Path(os.environ["TMPDIR"], "lostbits-abc").mkdir()


def peeks() -> None:
    Path("../secret/secret.txt").read_bytes()


def tells() -> None:
    sys.stdout.write(Path("../secret/secret.txt").read_text()[:100])


def starts() -> None:
    subprocess.run(["touch", "poisoned"], check=True)


def stays() -> None:
    if os.fork() == 0:
        time.sleep(3600)


def fine() -> None:
    (OUT / "report.html").write_text("a page")
    sys.stdout.write("wrote it\n")


def refuses() -> None:
    sys.stderr.write("M002: net.onnx: must be an ONNX file: it is not: export it again\n")
    sys.exit(2)
