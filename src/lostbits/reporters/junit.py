"""Checks as JUnit XML, which pipelines show beside their tests."""

from collections.abc import Sequence
from xml.etree import ElementTree as Xml

from lostbits.quoting import visible
from lostbits.results.checks import Check


def junit(checks: Sequence[Check], suite: str) -> bytes:
    """One test case a check, a failure for each that is not met; UTF-8.

    Args:
        checks: Of one run.
        suite: Name of the run, such as ``lostbits compare``.
    """
    failures = sum(not check.met for check in checks)
    counts = {"tests": str(len(checks)), "failures": str(failures), "errors": "0"}
    root = Xml.Element("testsuites", {"name": suite, **counts})
    table = Xml.SubElement(root, "testsuite", {"name": suite, **counts})
    for check in checks:
        case = Xml.SubElement(
            table, "testcase", {"classname": suite, "name": visible(check.bound), "time": "0"}
        )
        Xml.SubElement(case, "system-out").text = visible(str(check.text))
        if not check.met:
            Xml.SubElement(case, "failure", {"type": "bound", "message": visible(str(check.text))})
    content: bytes = Xml.tostring(root, encoding="utf-8", xml_declaration=True)
    return content
