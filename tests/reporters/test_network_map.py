"""The map of the network: what a layer is computed from, and where its row and lines stand."""

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lostbits.graph.lineage import sources
from lostbits.graph.site import Role
from lostbits.reporters.html.network_map import Stop, blocks, network_map
from lostbits.reporters.html.tables import Row
from made_results import diagnosis, layer, site
from small_nets import Net


def test_sources_pass_over_what_is_no_layer() -> None:
    net = Net(0)
    first = net.conv("x", (4, 3, 1))
    second = net.conv(net.add("Relu", [first]), (4, 4, 1))
    output = net.add("Add", [first, net.add("Relu", [second])])
    graph = ir.from_proto(net.model([3, 4, 4], output, rank=4)).graph
    found = sources(graph, {first, second, output})
    assert found == {first: ["x"], second: [first], output: [first, second]}


def test_a_shape_is_no_source() -> None:
    net = Net(0)
    first = net.conv("x", (4, 3, 1))
    output = net.add("Reshape", [first, net.add("Shape", ["x"])])
    graph = ir.from_proto(net.model([3, 4, 4], output, rank=4)).graph
    assert sources(graph, {output}) == {output: ["x"]}
    assert sources(graph, {first, output}) == {first: ["x"], output: [first]}


def row(number: int, tensor: str, role: Role, node: str, share: float) -> Row:
    return Row(site(tensor, role, node), share, 0.0, number, [])


# A block with a way around it: a is read by b and by the last layer.
BLOCK = [layer("a", "x"), layer("b", "a"), layer("c", "b"), layer("d", "a", "c")]
ROWS = [
    row(0, "w", "weight", "node_b", 0.5),
    row(1, "b", "activation", "node_relu", 0.3),
    row(2, "x", "activation", "", 0.2),
    row(3, "v", "weight", "node_c", -0.1),
]
RESULT = diagnosis(["x"], layers=BLOCK)


def test_every_layer_is_a_stop_with_its_sites_and_what_it_reads() -> None:
    drawn = network_map(RESULT, ROWS)
    assert [r.name for r in drawn.stops] == ["x", "node_a", "node_b", "node_c", "node_d"]
    assert [r.sites for r in drawn.stops] == [[2], [], [0, 1], [3], []]
    assert [r.share for r in drawn.stops] == pytest.approx([0.2, 0.0, 0.8, -0.1, 0.0])
    assert [r.inputs for r in drawn.stops] == [[], [0], [1], [2], [1, 3]]
    assert [r.layer for r in drawn.stops] == [None, 0, 1, 2, 3]
    assert drawn.most == pytest.approx(0.8)
    assert drawn.blocks == []


def test_a_network_without_layers_has_a_map() -> None:
    drawn = network_map(diagnosis([]), [])
    assert (drawn.stops, drawn.blocks, drawn.most) == ([], [], 0.0)


def stops(*named: tuple[str, list[int]]) -> list[Stop]:
    return [Stop(name, "Conv", 0.0, [], inputs, n) for n, (name, inputs) in enumerate(named)]


def chain(names: list[str]) -> list[Stop]:
    return stops(*((name, [n - 1] if n else []) for n, name in enumerate(names)))


@pytest.mark.parametrize("form", ["/model.{}/cv{}/Conv", "block{}.part{}.Conv"])
def test_blocks_are_named_by_what_names_begin_with(form: str) -> None:
    found = blocks(chain([form.format(b, n) for b in range(10) for n in range(6)]))
    assert [(b.first, b.size) for b in found] == [(6 * b, 6) for b in range(10)]
    assert [b.name for b in found] == [
        form.split("{}", maxsplit=1)[0].strip("/") + str(b) for b in range(10)
    ]


def test_a_small_network_is_not_folded() -> None:
    assert blocks(chain([f"/a.{n % 2}/Conv" for n in range(24)])) == []


def test_where_names_say_nothing_blocks_end_where_the_graph_is_narrow() -> None:
    """Of triples with a way around, a block never ends within one."""
    named: list[tuple[str, list[int]]] = [("n0", [])]
    for n in range(1, 121, 3):  # the third reads the second, and what the first reads
        named += [(f"n{n}", [n - 1]), (f"n{n + 1}", [n]), (f"n{n + 2}", [n + 1, n - 1])]
    found = blocks(stops(*named))
    assert 20 <= len(found) <= 40
    assert {(b.first + b.size - 1) % 3 for b in found} == {0}
    assert found[-1].first + found[-1].size == len(named)


@given(st.lists(st.lists(st.integers(0, 9), max_size=3), min_size=25, max_size=120))
def test_blocks_are_runs_that_do_not_meet(reads: list[list[int]]) -> None:
    named = [
        (f"c{n}", sorted({max(n - 1 - r, 0) for r in read} if n else set()))
        for n, read in enumerate(reads)
    ]
    end = 0
    for block in blocks(stops(*named)):
        assert block.first >= end and block.size > 1
        end = block.first + block.size
    assert end <= len(named)
