"""Write the JSON Schema of result.json from the dataclasses: python tools/write_schema.py."""

import json
from pathlib import Path

from lostbits.reporters.schema import result_schema

SCHEMA = Path(__file__).resolve().parent.parent / "src" / "lostbits" / "result.schema.json"


def text() -> str:
    """What the file holds."""
    return json.dumps(result_schema(), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
