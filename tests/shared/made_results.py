"""Results of no run: small ones made by hand, and others with one part changed."""

import json
from collections.abc import Callable
from typing import Any

from lostbits.diagnoses.fact_sheets import rule_facts
from lostbits.graph.simplify import Normalisation
from lostbits.graph.site import Role
from lostbits.language import verbatim
from lostbits.reporters import Json
from lostbits.reporters.schema import diagnosis_of
from lostbits.results.diagnosis import Diagnosis, LayerReport, NetworkReport
from lostbits.results.facts import Coverage, DataFacts, ModelFacts, TargetFacts
from lostbits.results.sites import SiteReport
from lostbits.runtime.metrics import Baseline
from lostbits.targets import SNPE

Tree = Any  # what JSON holds
NOTHING = verbatim("")


def tree(result: Diagnosis) -> Tree:
    """What result.json holds of it."""
    return json.loads(Json().render(result))


def edited(result: Diagnosis, change: Callable[[Tree], object]) -> Tree:
    """The same with one change, which need not be allowed."""
    content = tree(result)
    change(content)
    return content


def changed(result: Diagnosis, change: Callable[[Tree], object]) -> Diagnosis:
    """The same with one change."""
    return diagnosis_of(edited(result, change))


def site(tensor: str, role: Role = "activation", node: str = "", **parts: Any) -> SiteReport:
    """A site that loses little, and of which little is known."""
    known: dict[str, Any] = {"op": "Conv", "group": tensor, "grid": "uint8", "bits": 8}
    known |= {"scale": [0.1], "zero_point": [128], "axis": None, "lo": -12.8, "hi": 12.7}
    known |= {"mse": 1e-3, "mse_round": 1e-3, "mse_clip": 0.0, "mse_dead_zone": 0.0}
    known |= {"sqnr_db": 30.0, "effective_bits": 7.0, "lost_bits": None, "utilisation": None}
    known |= {"stability": None, "trade_off": None, "histogram": None, "channel_range": None}
    known |= {"levels": None, **parts}
    return SiteReport(tensor=tensor, role=role, node=node, **known)


def layer(name: str, *inputs: str) -> LayerReport:
    """A layer that is computed from these tensors, without an error."""
    figures: tuple[Any, ...] = (0.0, {}, 0.0, 0.0, 0.0, 1.0)
    return LayerReport(f"node_{name}", "Conv", name, list(inputs), *figures)


def diagnosis(inputs: list[str], **parts: Any) -> Diagnosis:
    """A diagnosis of a network with these inputs, in which nothing else was found."""
    digest = 64 * "0"
    rules = (rule_facts(SNPE.weights), rule_facts(SNPE.activations), 32)
    known: dict[str, Any] = {
        "lostbits_version": "0",
        "created": "2000-01-01T00:00:00",
        "command": "lostbits diagnose net.onnx",
        "seconds": {},
        "peak_memory_bytes": 0,
        "verdict": NOTHING,
        "model": ModelFacts("net.onnx", digest, inputs, ["y"], 0, 0, Normalisation(), {}),
        "data": DataFacts("data.npy", 2, False, digest),
        "target": TargetFacts("snpe", NOTHING, *rules, NOTHING, []),
        "coverage": Coverage(0, 0, [], []),
        "baseline": Baseline(None, None, None),
        "sites": [],
        "layers": [],
        "network": NetworkReport("aumann-shapley", "nsr", 0.0, 0.0, 0.0, [], {}, NOTHING),
        "findings": [],
        "notes": [],
    }
    return Diagnosis(**{**known, **parts})
