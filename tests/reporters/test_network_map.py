"""The map of the network: what a layer is computed from, and where its row and lines stand."""

import onnx_ir as ir
import pytest

from lostbits.graph.lineage import sources
from lostbits.graph.site import Role
from lostbits.reporters.html.network_map import ROW, network_map
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


def test_every_layer_has_its_row_and_its_sites() -> None:
    rows = network_map(RESULT, ROWS).rows
    assert [r.name for r in rows] == ["x", "node_a", "node_b", "node_c", "node_d"]
    assert [r.sites for r in rows] == [[2], [], [0, 1], [3], []]
    assert [r.share for r in rows] == pytest.approx([0.2, 0.0, 0.8, -0.1, 0.0])
    assert [r.y for r in rows] == [ROW * (i + 0.5) for i in range(5)]
    assert rows[2].fill == 1.0 and rows[3].fill == 0.0 and 0 < rows[0].fill < 1


def test_a_way_around_a_block_keeps_its_lane() -> None:
    drawn = network_map(RESULT, ROWS)
    x, a, b, c, d = (r.x for r in drawn.rows)
    assert x == a == d
    assert b == c > a
    assert len(drawn.paths) == 5
    straight = [path for path in drawn.paths if "C" not in path]
    assert len(straight) == 3  # x to a, b to c, and a to d beside them
    assert drawn.width > b


def test_many_lanes_are_pressed_together() -> None:
    layers = [layer(f"l{i}", "x") for i in range(40)]
    readers = [layer("end", *(f"l{i}" for i in range(40)))]
    drawn = network_map(diagnosis(["x"], layers=layers + readers), [])
    assert drawn.width < 180
    assert len({r.x for r in drawn.rows}) == 40  # the last one ends where the first line does


def test_a_network_without_layers_has_a_map() -> None:
    drawn = network_map(diagnosis([]), [])
    assert (drawn.rows, drawn.paths, drawn.most) == ([], [], 0.0)
