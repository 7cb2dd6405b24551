"""SQNR of a network's output under each range method for all activations.

Usage: python compare_ranges.py [MODEL CALIBRATION OTHERS [TARGET]]; without arguments, the demo.
"""

import sys
from dataclasses import replace
from pathlib import Path

import lostbits as lb
from lostbits.data import open_source
from lostbits.estimators import ALL
from lostbits.runtime.float_reference import input_specs
from lostbits.runtime.held_out_figures import Judge
from lostbits.verbs.demo import demo_files


def sqnr(model: Path, calibration: object, others: object, target: lb.Target) -> float | None:
    """Ranges from ``calibration``, judged on ``others``; None if the outputs are equal."""
    case = lb.load(model, calibration, target)
    return Judge(case.model, open_source(others, input_specs(case.model)))(case).sqnr_db


def main(arguments: list[str]) -> None:
    """One line per method."""
    files = demo_files()
    demo = [str(files[name]) for name in ("model", "calibration", "data")]
    model, calibration, others, *rest = arguments or demo
    target = lb.find_target(rest[0] if rest else "onnxruntime")
    for method in ALL:
        rule = replace(target.activations, method=method.name)
        found = sqnr(Path(model), calibration, others, replace(target, activations=rule))
        print(f"{method.name:14}{'equal' if found is None else f'{found:.1f} dB'}")


if __name__ == "__main__":
    main(sys.argv[1:])
