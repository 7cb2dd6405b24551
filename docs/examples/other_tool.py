"""Quantize the demo as another tool would: ONNX Runtime's own quantizer, calibrated wrongly.

Usage: python other_tool.py FACTOR OUT.onnx; the calibration images are FACTOR times too bright.
"""

import logging
import sys
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static

from lostbits.verbs.demo import demo_files


class Brightened(CalibrationDataReader):  # type: ignore[misc]
    """The calibration images of the demo, one by one, times a factor."""

    def __init__(self, factor: float) -> None:
        images = np.load(demo_files()["calibration"])["image"]
        self._left = iter(np.float32(factor) * images[:, None])

    def get_next(self) -> dict[str, Any] | None:
        """The next image; None after the last."""
        image = next(self._left, None)
        return None if image is None else {"image": image}


def main(factor: str, out: str) -> None:
    """Write the Q/DQ model: uint8 activations, int8 weights per channel."""
    logging.disable(logging.WARNING)
    quantize_static(
        demo_files()["model"],
        out,
        Brightened(float(factor)),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
