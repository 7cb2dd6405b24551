"""Samples that set ranges against samples that are measured, and against what training saw."""

from typing import Any

import numpy as np
import pytest

import lostbits as lb
from lostbits.diagnoses.batch_norm_fit import statistics_fit
from lostbits.verbs.origin import origin_of
from smooth_nets import Images, images, network, trained

NOISE = np.random.default_rng(9).uniform(0, 255, (24, 3, 12, 12)).astype(np.float32)


@pytest.mark.parametrize(
    ("calibration", "mismatch"),
    [
        (images(1), "none"),
        (images(1) / 255, "inputs"),
        ((images(1) - 127) / 74, "inputs"),
        (NOISE, "tensors"),
    ],
    ids=["right", "0_1", "normalised", "noise"],
)
def test_calibration_of_another_kind_is_the_only_finding(
    calibration: Images, mismatch: str
) -> None:
    case = lb.load(network(), images(2), "tensorrt", calibration=calibration)
    found = lb.diagnose(case)
    assert found.samples is not None and found.samples.mismatch == mismatch
    assert found.data.use == "evaluation"
    if mismatch == "none":
        assert all(each.code != "F012" for each in found.findings)
        return
    (only,) = found.findings
    assert (only.code, only.reason) == ("F012", "samples")
    assert not found.treatable
    if mismatch == "inputs":
        assert only.tensor == "image"


def test_what_is_outside_is_counted_with_its_side() -> None:
    data = np.clip(images(2), 0, 100)
    data[:, :, 0, 0] = -9
    case = lb.load(network(), data, "tensorrt", calibration=np.clip(images(1), 0, 50))
    check = lb.diagnose(case).samples
    assert check is not None
    image = check.inputs[0]
    assert image.outside == pytest.approx(np.mean((data < 0) | (data > 50)))
    assert image.side == "both"


def test_data_alone_are_calibration_and_compared_with_nothing() -> None:
    found = lb.diagnose(lb.load(network(), images(1), "tensorrt"))
    assert found.samples is not None
    assert found.samples.inputs == [] and found.samples.mismatch == "none"
    assert found.data.use == "calibration"


def test_samples_without_anything_in_them_are_counted() -> None:
    data = images(1)
    data[[3, 7]] = 0
    found = lb.diagnose(lb.load(network(), data, "tensorrt"))
    assert found.samples is not None and found.samples.constant == {"image": 2}
    assert "samples.constant" in {note.code for note in found.notes}


@pytest.mark.parametrize(
    ("data", "note"),
    [
        (images(1), ""),
        (images(1)[:6], "samples.few"),
        (np.repeat(images(1)[:1], 24, axis=0), "samples.alike"),
        (np.repeat(images(1)[:12], 2, axis=0), "samples.alike"),
        (np.concatenate([images(1)[:13], images(1)[:11]]), ""),
    ],
    ids=["right", "few", "one", "pairs", "just_enough"],
)
def test_samples_that_show_few_others_are_told(data: Images, note: str) -> None:
    found = lb.diagnose(lb.load(network(), data, "tensorrt"))
    told = {n.code for n in found.notes} & {"samples.few", "samples.alike"}
    assert told == ({note} if note else set())
    assert found.samples is not None and found.samples.samples == len(data)


def test_growth_is_that_of_the_halves() -> None:
    data = images(1)
    data[-1] *= 2
    found = lb.diagnose(lb.load(network(), data, "tensorrt"))
    assert found.samples is not None and found.samples.growth is not None
    assert found.samples.growth.samples == len(data)
    assert 0.1 < found.samples.growth.most < 0.3  # one half reaches half as far


@pytest.mark.parametrize(
    ("change", "better"),
    [
        (lambda x: x, ""),
        (lambda x: x[:, ::-1], "channels_reversed"),
        (lambda x: x / 255, "times_255"),
    ],
    ids=["as_trained", "colours", "scale"],
)
def test_statistics_of_training_tell_how_samples_were_prepared(change: Any, better: str) -> None:
    model = trained(images(1, 64))
    data = np.ascontiguousarray(change(images(2, 64)))
    case = lb.load(model, data, "tensorrt")
    plain = origin_of(case).reference.plain
    fit = statistics_fit(plain, origin_of(case).judged.source)
    assert fit is not None and fit.better == better
    assert (fit.distance < 0.1) == (better == "")


def test_a_file_without_normalizations_has_no_statistics() -> None:
    case = lb.load(network(), images(1), "tensorrt")
    assert statistics_fit(origin_of(case).reference.plain, origin_of(case).judged.source) is None
