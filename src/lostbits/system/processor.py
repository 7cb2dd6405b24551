"""What the processor of this machine can do."""

from functools import cache
from pathlib import Path


@cache
def has_vnni() -> bool:
    """Whether the processor multiplies int8 into 32 bits at once; unknown counts as yes."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return True
    return "flags" not in flags or "vnni" in flags  # other processors have no such line
