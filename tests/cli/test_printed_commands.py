"""Every printed command runs as it stands; benchmarks.printed_commands has more situations."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.printed_commands import check
from lostbits.command_lines import CommandLine, as_diagnosis, as_recovery, repeated, shortened
from small_nets import cnn, samples


def uneven(folder: Path) -> None:
    """A small network with channels of unlike size, which snpe's scale per tensor breaks."""
    model = cnn(1)
    for tensor in model.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.ndim == 4 and values.shape[1] == 1:
            factors = np.geomspace(1, 200, len(values), dtype=np.float32).reshape(-1, 1, 1, 1)
            tensor.CopyFrom(onnx.numpy_helper.from_array(values * factors, tensor.name))
    onnx.save(model, folder / "net.onnx")
    for seed, name in enumerate(("data.npz", "more.npz")):
        np.savez(folder / name, x=samples(seed, 8, 3, 16, 16))
    np.save(folder / "labels.npy", np.arange(8) % 5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["few samples", "after a recovery", "odd names", "arrays from Python"]
)
def test_what_is_printed_runs_and_takes_nobodys_place(name: str) -> None:
    session = check(name, uneven, most=2)
    assert session.failed == []
    assert session.lost == []


BASE = "lostbits diagnose n.onnx --data d.npy --target snpe --set a=mse --samples 4 --out o -q"


def test_a_recovery_leaves_out_what_was_tried_and_what_it_cannot_take() -> None:
    line = CommandLine.parse(f"{BASE} --plan p.json --metric kl --goal 'sqnr_db>=9'")
    assert line is not None
    assert str(as_recovery(line)) == "lostbits recover n.onnx --data d.npy --target snpe"
    assert as_diagnosis(line).value("--plan") == "p.json"


def test_old_data_of_a_recovery_keep_their_meaning() -> None:
    line = CommandLine.parse("lostbits recover n.onnx --data teach.npy --evaluation judge.npy")
    assert line is not None
    made = as_diagnosis(line)
    assert (made.value("--data"), made.value("--calibration")) == ("judge.npy", "teach.npy")


def test_a_wish_takes_the_place_of_an_older_one() -> None:
    line = CommandLine.parse(BASE)
    assert line is not None
    assert [v for n, v in line.wishing(["a=16bit", "b=float"]).options if n == "--set"] == [
        "a=16bit",
        "b=float",
    ]


@pytest.mark.parametrize(
    ("command", "short"),
    [
        (BASE.replace("--out o -q", "--out t"), "lostbits diagnose --again o --out t"),
        (
            "lostbits recover n.onnx --data d.npy --target snpe --methods ranges --out r",
            "lostbits recover --again o --methods ranges --out r",
        ),
        ("lostbits recover m.onnx --data d.npy --target snpe", None),  # another model
        ("lostbits diagnose n.onnx --data d.npy --set a=mse --samples 4", None),  # no target
        ("lb.diagnose(case)", None),
    ],
)
def test_a_short_command_stands_for_the_same(command: str, short: str | None) -> None:
    assert shortened(command, BASE, "snpe", "o") == (short or command)
    if short is not None:
        line, told = CommandLine.parse(command), CommandLine.parse(short)
        assert line is not None and told is not None
        known = repeated(line.verb, BASE, "snpe")
        assert known is not None
        rest = [option for option in told.options if option[0] != "--again"]
        assert sorted([*known.options, *rest]) == sorted(line.options)
