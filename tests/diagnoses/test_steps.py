"""A network that two sites break, each alone: both must be found, and the rest attributed."""

from dataclasses import replace

import numpy as np
import pytest

import lostbits as lb
from lostbits.case import Case
from lostbits.diagnoses.driver import Run
from lostbits.diagnoses.restore import FALLEN_DB, STANDS_DB, Restored, restore_curve
from lostbits.diagnoses.settings import Settings
from lostbits.diagnoses.steps import taken_apart
from lostbits.grid import Affine
from lostbits.runtime.held_out_figures import Judge
from lostbits.verbs.origin import origin_of
from lostbits.workers.pools import InProcess
from lostbits.workers.progress import silent
from smooth_nets import images, network

BROKEN = ("image:activation", "r:activation")


def healthy() -> Case:
    return lb.load(network(), images(1), "snpe")


def shrunk(affine: Affine) -> Affine:
    """A range of a fiftieth: nearly everything is cut off."""
    return replace(affine, scale=np.asarray(affine.scale / 50, np.float32))


def broken() -> Case:
    case = healthy()
    plan = {key: shrunk(a) if key in BROKEN else a for key, a in case.plan.items()}
    return replace(case, plan=plan)


def run_of(case: Case) -> Run:
    run = Run(replace(case, origin=None), origin_of(case).judged.source, Settings(), None)
    run.diagnose(silent)
    return run


@pytest.fixture(scope="module")
def run() -> Run:
    return run_of(broken())


def test_the_sites_that_break_it_are_repaired_and_the_rest_closes(run: Run) -> None:
    steps = taken_apart(run, InProcess(), silent)
    assert steps.repair is not None and steps.network is not None
    assert set(steps.repair.sites) == set(BROKEN)
    assert steps.repair.before_db is not None and steps.repair.after_db is not None
    assert steps.repair.before_db < FALLEN_DB < STANDS_DB <= steps.repair.after_db
    assert abs(steps.network.residual) < 0.05
    assert not set(BROKEN) & set(steps.network.values)


def test_what_breaks_it_is_the_first_finding_with_a_command_for_all_of_it() -> None:
    found = lb.diagnose(broken())
    assert (found.findings[0].code, found.findings[0].reason) == ("F011", "collapse")
    wishes = [f"{key.removesuffix(':activation')}=float" for key in sorted(BROKEN)]
    assert found.findings[0].command.endswith(f", overrides={wishes!r}))")
    assert found.judgement is not None and found.judgement.grade == "broken"


def test_a_network_that_stands_is_not_taken_apart() -> None:
    steps = taken_apart(run_of(healthy()), InProcess(), silent)
    assert steps.repair is None and steps.network is None
    assert steps.restore is not None
    counts = [point.sites for point in steps.restore.points]
    assert counts == [0, 1, 2, 3, 5]


def test_every_point_of_the_curve_is_what_the_network_does(run: Run) -> None:
    source = run.source.slice(0, 4)
    judge = Judge(run.case.model, source)
    curve = restore_curve(Restored(run.case, judge), BROKEN)
    plan = {key: a for key, a in run.case.plan.items() if key not in BROKEN}
    assert curve.points[-1].sqnr_db == judge(replace(run.case, plan=plan)).sqnr_db
    assert curve.points[0].sqnr_db == judge(run.case).sqnr_db
    assert np.all(np.diff([point.sites for point in curve.points]) > 0)
