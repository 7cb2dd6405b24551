"""Write the JSON Schemas of result.json and of comparisons: python tools/write_schema.py."""

import json
from pathlib import Path

from lostbits.reporters.schema import comparison_schema, result_schema

_PACKAGE = Path(__file__).resolve().parent.parent / "src" / "lostbits"
SCHEMAS = {
    _PACKAGE / "result.schema.json": result_schema,
    _PACKAGE / "comparison.schema.json": comparison_schema,
}


if __name__ == "__main__":
    for path, schema in SCHEMAS.items():
        path.write_text(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n", "utf-8")
