"""Where the networks and the data are that ``python -m benchmarks.prepare`` makes."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "build" / "bench"
EFFICIENTNET = BENCH / "efficientnet_lite0.onnx"
CALIBRATION, EVALUATION, MANY, SHIFTED = (
    BENCH / f"{name}.npy" for name in ("calibration", "evaluation", "many", "shifted")
)
