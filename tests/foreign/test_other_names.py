"""Names of a file that are the model's but for a part."""

import pytest

from lostbits.foreign.other_names import renaming

KNOWN = ("conv1.weight", "conv2.weight", "fc.weight", "/relu/Relu_output_0", "/fc/Gemm_output_0")


@pytest.mark.parametrize(
    "names, code, count, part",
    [
        (["module.conv1.weight", "module.fc.weight", "31"], "match.without", "2", "'module.'"),
        (["conv1.weight.q", "conv2.weight.q", "fc.weight"], "match.without", "2", "'.q'"),
        (["weight_of_none", "conv1", "conv2"], "match.with", "2", "'.weight'"),
        (["conv1/weight", "conv2/weight"], "match.dots", "2", "'.'"),
        ([".relu.Relu_output_0", "relu.x", ".fc.Gemm_output_0"], "match.slashes", "2", "'/'"),
    ],
)
def test_a_part_that_all_names_have_is_told(
    names: list[str], code: str, count: str, part: str
) -> None:
    found = renaming(names, KNOWN)
    assert found is not None
    assert (found.code, found.figures["count"], found.figures["part"]) == (code, count, part)
    assert found.figures["all"] == str(len(names))


def test_one_name_alone_and_names_of_nothing_are_no_renaming() -> None:
    assert renaming(["module.fc.weight", "31", "32"], KNOWN) is None
    assert renaming(["31", "32"], KNOWN) is None
    assert renaming(KNOWN, KNOWN) is None
