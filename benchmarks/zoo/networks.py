"""The networks, the samples that they come with, and what their answers are judged by."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.prepared import ROOT

Samples = dict[str, NDArray[Any]]
USUAL = ("onnxruntime", "openvino")
# Targets with a runtime on this machine; of others the Q/DQ file is run as it is written.
BACKENDS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "qnn-htp": "qnn-htp"}


@dataclass(frozen=True)
class Network:
    """One network.

    Attributes:
        name: Of the row.
        model: File in the folder ``models``, without its ending.
        data: File in ``data``, without its ending: samples to work on; NAME_eval judges.
        metric: Of ``lostbits.metrics``, beside the decibels.
        targets: Those that are measured.
        transformer: Whether NNCF is told so.
        alone: Whether a sample is run without an axis in front, because the network has none.
        mask: Input that is 1 where an output is no padding, or empty.
    """

    name: str
    model: str
    data: str
    metric: str
    targets: tuple[str, ...] = USUAL
    transformer: bool = False
    alone: bool = False
    mask: str = ""

    def path(self, folder: Path) -> Path:
        """The float network."""
        return folder / "models" / f"{self.model}.onnx"

    def samples(self, folder: Path, *, judge: bool = False) -> Path:
        """Samples to work on, or those that judge."""
        return folder / "data" / f"{self.data}{'_eval' if judge else ''}.npz"

    def feeds(self, samples: Samples) -> list[Samples]:
        """One feed a sample."""
        count = len(next(iter(samples.values())))
        places = (i if self.alone else slice(i, i + 1) for i in range(count))
        return [{name: x[at] for name, x in samples.items()} for at in places]


ALL = (
    Network("MiniLM", "minilm", "text", "retrieval", transformer=True, mask="attention_mask"),
    Network(
        "MiniLM, SDPA", "minilm_sdpa", "text", "retrieval", USUAL, True, False, "attention_mask"
    ),
    Network("ViT-S saliency", "vit_s_focus", "vit", "psnr", transformer=True),
    Network("PP-OCRv6 recognition", "ppocrv6_rec", "lines", "ctc", transformer=True),
    Network("CREPE", "crepe_full", "crepe", "agreement"),
    Network("Magika", "magika", "magika", "agreement"),
    Network("Silero VAD", "silero_16k", "silero", "cosine", alone=True),
    Network("3-D U-Net", "deepbet3d", "mri", "sqnr", (*USUAL, "tensorrt")),
    Network("YOLOv8n DocLayNet", "yolov8n_doclaynet", "pages", "matched"),
)


def folder() -> Path:
    """Where the networks are: ``LOSTBITS_ZOO``, or build/zoo."""
    return Path(os.environ.get("LOSTBITS_ZOO", ROOT / "build" / "zoo"))


def load(path: Path) -> Samples:
    """Arrays by input; axis 0 counts samples."""
    with np.load(path) as stored:
        return {name: stored[name] for name in stored.files}
