"""Names and numbers that break programs which were not made for them."""

import os
from random import Random

POISON = "poisoned"  # a file of this name in the working folder says that something was run

_SHELL = f"touch {POISON}"
NAMES = (
    "",
    " ",
    ".",
    "..",
    "/",
    "-",
    "--help",
    "-x",
    "a b",
    "x:weight",
    "a=b",
    "a,b",
    "../../up",
    "/etc/passwd",
    "con\\trol",
    "file",
    "x",
    "y",
    "c0",
    "null",
    "nan",
    "0",
    "[/]",
    "[bold]b[/bold]",
    "[red",
    "[link=file:///etc/passwd]l[/link]",
    "{x}",
    "%s%n%d",
    "{0.__class__}",
    f"$({_SHELL})",
    f"`{_SHELL}`",
    f"a'; {_SHELL}; echo '",
    f'a"; {_SHELL}; echo "',
    f"a\n{_SHELL}\n",
    f"; {_SHELL} #",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x9b31m",
    "a\rb",
    "a\tb",
    "a\x00b",
    "a\x7f\x08\x08b",
    "\u202eright\u202c",
    "\u2066\u2028\u2029",
    "e\u0301\u0301\u0301",
    "層一",
    "🙂",
    "\ufeffbom",
    "\ufffe",
    "a\u00a0b",
    "</script><script>document.title='poisoned'</script>",
    "<img src=x onerror=document.title='poisoned'>",
    "'\"><svg/onload=document.title='poisoned'>",
    "&lt;&amp;",
    "l" * 300,
    "n" * 10_000,
    "/".join("d" * 20),
    "__class__",
    "__proto__",
    "constructor",
    "x__quantized",
    "c0_quantized",
)
RAW_NAMES = (b"\xff\xfe", b"a\xed\xa0\x80b", b"\xc0\xaf", b"\x80abc", b"\xf8\x88\x80\x80\x80")

WHOLE = (
    0, 1, -1, 2, 3, 5, -2, 7, 8, 64, 127, 128, 255, 256, 1000, -9, 99, 65_536, 2**20,
    2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63),
)  # fmt: skip
BROKEN = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, -1e-38, 1e-300, 1e38, -1e38, 3.4e38, 1e308, 1e39,
    float("inf"), float("-inf"), float("nan"), 1e-12, 1e12, 127.5, 2.0**31,
)  # fmt: skip


def name(dice: Random) -> str:
    """A name that is text."""
    return dice.choice(NAMES)


def file_name(dice: Random, suffix: str) -> str:
    """The name of a file that the system takes, with this suffix."""
    usable = [n for n in NAMES if "/" not in n and "\0" not in n and len(n.encode()) < 200]
    usable += [os.fsdecode(name) for name in RAW_NAMES]
    chosen = dice.choice([n for n in usable if n not in ("", ".", "..")])
    return chosen + suffix


def integer(dice: Random) -> int:
    """A whole number that fits 64 bits."""
    return dice.choice(WHOLE)


def number(dice: Random) -> float:
    """A number that float64 can hold, or none."""
    return dice.choice(BROKEN)
