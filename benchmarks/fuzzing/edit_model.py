"""Edits of a model that know what its parts mean."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from benchmarks.fuzzing import edit_external, edit_proto, hostile

Model = onnx.ModelProto
Edit = Callable[[Model, Random], None]

# Operators that no sound exporter would put where they are put here.
_OPS = (
    "Relu", "Sin", "Log", "Sqrt", "Reciprocal", "Exp", "Neg", "Abs", "Sign", "Erf", "Softmax",
    "Not", "IsNaN", "Shape", "Size", "NonZero", "Identity", "Dropout", "Cast", "Unsqueeze",
    "Squeeze", "Tan", "Flatten", "Transpose", "LSTM", "Loop", "If", "Scan", "NonMaxSuppression",
    "RandomNormalLike", "ConstantOfShape", "TopK", "Unique", "Compress", "StringNormalizer",
    "Optional", "SequenceEmpty", "QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear",
    "BatchNormalization", "Conv", "Gemm", "MatMul", "MaxPool", "GlobalAveragePool",
    "LayerNormalization", "InstanceNormalization", "Gelu", "Einsum", "CumSum", "ReduceMean",
    "ArgMax", "Resize", "GridSample", "Bernoulli", "Det", "Nope", "",
)  # fmt: skip
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "local", "\x1b[31m", "nowhere.example")
_TYPES = (0, 1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 14, 16, 17, 19, 21, 22, 23, 99, -1)
_DIMS = (0, -1, 1, 2, 3, 7, 2**31, 2**40, 2**62, 2**63 - 1)


def edited(model: Model, dice: Random, mildly: bool = False) -> str:
    """Change the model once or a few times; returns the names of the edits.

    Args:
        model: The model.
        dice: What decides.
        mildly: Only by what mostly leaves a model that runs, so that all that comes behind the
            checks is tried as well.
    """
    names = []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        edit = dice.choice(_MILD if mildly else EDITS)
        edit(model, dice)
        names.append(edit.__name__.lstrip("_"))
    return "+".join(names)


# ---- nodes -------------------------------------------------------------------------------------


def _drop_node(model: Model, dice: Random) -> None:
    if model.graph.node:
        del model.graph.node[dice.randrange(len(model.graph.node))]


def _double_node(model: Model, dice: Random) -> None:
    if model.graph.node:
        copy = model.graph.node.add()
        copy.CopyFrom(dice.choice(model.graph.node))
        if dice.random() < 0.5:
            copy.output[:] = [f"{name}_again" for name in copy.output]


def _unsort(model: Model, dice: Random) -> None:
    nodes = list(model.graph.node)
    dice.shuffle(nodes)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _other_op(model: Model, dice: Random) -> None:
    if model.graph.node:
        node = dice.choice(model.graph.node)
        node.op_type = dice.choice(_OPS)
        if dice.random() < 0.3:
            node.domain = dice.choice(_DOMAINS)


def _insert_op(model: Model, dice: Random) -> None:
    """An operator between a node and all that reads it."""
    if not model.graph.node:
        return
    place = dice.randrange(len(model.graph.node))
    node = model.graph.node[place]
    if not node.output:
        return
    inner = f"{node.output[0]}_inner"
    new = helper.make_node(dice.choice(_OPS), [inner], [node.output[0]], name=hostile.name(dice))
    node.output[0] = inner
    model.graph.node.insert(place + 1, new)


def _cycle(model: Model, dice: Random) -> None:
    nodes = [n for n in model.graph.node if n.input and n.output]
    if nodes:
        early, late = (dice.choice(nodes) for _ in range(2))
        early.input[0] = late.output[0]


def _rewire(model: Model, dice: Random) -> None:
    """One input of one node becomes another tensor: of another shape, of nobody, or none."""
    nodes = [n for n in model.graph.node if n.input]
    if nodes:
        node = dice.choice(nodes)
        place = dice.randrange(len(node.input))
        node.input[place] = dice.choice((*_tensors(model), "", "nobody", hostile.name(dice)))


def _fewer_ends(model: Model, dice: Random) -> None:
    if model.graph.node:
        node = dice.choice(model.graph.node)
        ends = dice.choice((node.input, node.output))
        if ends:
            ends.pop()


def _more_ends(model: Model, dice: Random) -> None:
    if model.graph.node:
        node = dice.choice(model.graph.node)
        ends = dice.choice((node.input, node.output))
        ends.extend(
            dice.choice((["more"], [""], list(_tensors(model))[:1], [f"m{i}" for i in range(40)]))
        )


def _same_output(model: Model, dice: Random) -> None:
    nodes = [n for n in model.graph.node if n.output]
    if len(nodes) > 1:
        one, other = dice.sample(nodes, 2)
        one.output[0] = other.output[0]


def _same_node_name(model: Model, dice: Random) -> None:
    name = dice.choice(("same", "", hostile.name(dice)))
    for node in model.graph.node:
        node.name = name


def _tensors(model: Model) -> list[str]:
    graph = model.graph
    made = [name for node in graph.node for name in node.output]
    return [v.name for v in graph.input] + [t.name for t in graph.initializer] + made


# ---- names -------------------------------------------------------------------------------------


def _rename_tensor(model: Model, dice: Random) -> None:
    """A hostile name, everywhere or at one place only."""
    names = _tensors(model)
    if names:
        old, new = dice.choice(names), hostile.name(dice)
        rename(model, {old: new}, everywhere=dice.random() < 0.8)


def _rename_all(model: Model, dice: Random) -> None:
    names = dict.fromkeys(_tensors(model))
    rename(model, {old: f"{hostile.name(dice)}{n}" for n, old in enumerate(names)})
    for node in model.graph.node:
        node.name = hostile.name(dice)


def rename(model: Model, new: dict[str, str], everywhere: bool = True) -> None:
    """Give tensors other names, in the main graph; or only where they are made and given."""
    graph = model.graph
    named: list[Any] = [*graph.input, *graph.output, *graph.value_info, *graph.initializer]
    for value in named:
        value.name = new.get(value.name, value.name)
    for node in graph.node:
        node.output[:] = [new.get(name, name) for name in node.output]
        if everywhere:
            node.input[:] = [new.get(name, name) for name in node.input]


def _rename_node(model: Model, dice: Random) -> None:
    if model.graph.node:
        dice.choice(model.graph.node).name = hostile.name(dice)


def _describe(model: Model, dice: Random) -> None:
    """Names and texts of the model as a whole."""
    model.producer_name, model.producer_version = hostile.name(dice), hostile.name(dice)
    model.doc_string, model.graph.name = hostile.name(dice), hostile.name(dice)
    for _ in range(dice.choice((1, 3, 50))):
        model.metadata_props.add(key=hostile.name(dice), value=hostile.name(dice))


# ---- attributes --------------------------------------------------------------------------------


def _attribute(model: Model, dice: Random) -> None:
    """Another value, or another type."""
    found = [a for node in model.graph.node for a in node.attribute]
    if not found:
        return
    attribute = dice.choice(found)
    if attribute.ints and dice.random() < 0.6:
        place = dice.randrange(len(attribute.ints))
        attribute.ints[place] = hostile.integer(dice)
    elif dice.random() < 0.5:
        attribute.i, attribute.f = (
            hostile.integer(dice),
            min(max(hostile.number(dice), -3e38), 3e38),
        )
    elif attribute.ints and dice.random() < 0.5:
        attribute.ints.append(dice.choice(_DIMS))
    else:
        attribute.CopyFrom(helper.make_attribute(attribute.name, _content(dice)))


def _content(dice: Random) -> Any:
    return dice.choice(
        (
            1,
            -1,
            2.5,
            "text",
            b"\xff",
            [1],
            [1, 2, 3, 4, 5],
            [0, 0],
            [1.0],
            ["a"],
            2**62,
            hostile.name(dice),
        )
    )


def _new_attribute(model: Model, dice: Random) -> None:
    names = (
        "axis", "axes", "perm", "pads", "strides", "dilations", "group", "kernel_shape", "auto_pad",
        "to", "value", "alpha", "transB", "epsilon", "body", "ceil_mode", "keepdims", "mode",
        "allowzero",
    )  # fmt: skip
    if model.graph.node:
        new = helper.make_attribute(dice.choice((*names, hostile.name(dice))), _content(dice))
        dice.choice(model.graph.node).attribute.append(new)


def _drop_attribute(model: Model, dice: Random) -> None:
    nodes = [n for n in model.graph.node if n.attribute]
    if nodes:
        node = dice.choice(nodes)
        del node.attribute[dice.randrange(len(node.attribute))]


def _reference(model: Model, dice: Random) -> None:
    """An attribute that refers to one of a function, where there is none."""
    found = [a for node in model.graph.node for a in node.attribute]
    if found:
        dice.choice(found).ref_attr_name = hostile.name(dice)


# ---- constants ---------------------------------------------------------------------------------


def _constant_type(model: Model, dice: Random) -> None:
    if model.graph.initializer:
        tensor = dice.choice(model.graph.initializer)
        tensor.data_type = dice.choice([t for t in _TYPES if t >= 0])


def _constant_dims(model: Model, dice: Random) -> None:
    if model.graph.initializer:
        tensor = dice.choice(model.graph.initializer)
        match dice.randrange(4):
            case 0:
                del tensor.dims[:]
            case 1:
                tensor.dims.append(dice.choice(_DIMS))
            case 2:
                tensor.dims[:] = reversed(tensor.dims)
            case _ if tensor.dims:
                tensor.dims[dice.randrange(len(tensor.dims))] = dice.choice(_DIMS)


def _constant_bytes(model: Model, dice: Random) -> None:
    """More or fewer bytes than the shape asks for, or another field."""
    if model.graph.initializer:
        tensor = dice.choice(model.graph.initializer)
        content = tensor.raw_data
        tensor.raw_data = dice.choice(
            (b"", content[:-1], content[:-4], content + b"\0" * 4, content * 2)
        )
        if dice.random() < 0.3:
            tensor.float_data.extend([1.0, float("nan")])


def _constant_values(model: Model, dice: Random) -> None:
    """Values that overflow, vanish, or are no numbers."""
    floats = [t for t in model.graph.initializer if t.data_type == 1 and t.raw_data]
    if floats:
        tensor = dice.choice(floats)
        values = np.frombuffer(tensor.raw_data, "<f4").copy()
        with np.errstate(all="ignore"):
            if dice.random() < 0.5:
                values[dice.randrange(values.size) :: dice.choice((1, 3, 10**9))] = hostile.number(
                    dice
                )
            else:
                values *= np.float32(dice.choice((0, 1e-38, 1e-20, 1e10, 1e20, 1e38, -1)))
        tensor.raw_data = values.tobytes()


def _constant_shape(model: Model, dice: Random) -> None:
    """Sound values in another shape: a scalar, an empty one, one with a channel less."""
    floats = [t for t in model.graph.initializer if t.data_type == 1 and t.raw_data]
    if floats:
        tensor = dice.choice(floats)
        array = np.frombuffer(tensor.raw_data, "<f4").copy()
        shapes: tuple[Any, ...] = (array[0], array[:0], array, array[:1], array[None], array[:-1])
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(dice.choice(shapes)), tensor.name))


def _dead_channels(model: Model, dice: Random) -> None:
    """Channels of zeros, of one value, or of quite another size than the rest."""
    floats = [t for t in model.graph.initializer if t.data_type == 1 and t.raw_data and t.dims]
    if floats:
        tensor = dice.choice(floats)
        values = numpy_helper.to_array(tensor).copy()
        channel = dice.randrange(max(1, values.shape[0]))
        factor = np.float32(dice.choice((0, 0, 1e-12, 1e-30, 1e6, 1e15, -1)))
        with np.errstate(all="ignore"):
            values[channel : channel + 1] *= factor
        if dice.random() < 0.3:
            values[:] = dice.choice((0, 1, -0.5, 1e-9))
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def _shared_constant(model: Model, dice: Random) -> None:
    """One constant in the place of all others of its shape."""
    first = dice.choice(list(model.graph.initializer) or [onnx.TensorProto()])
    same = [t.name for t in model.graph.initializer if t.dims == first.dims]
    for node in model.graph.node:
        node.input[:] = [first.name if name in same else name for name in node.input]


def _through(model: Model, dice: Random) -> None:
    """An input that is an output, or a constant that is one."""
    values = list(model.graph.input)
    names = [v.name for v in values] + [t.name for t in model.graph.initializer if t.data_type == 1]
    if names:
        model.graph.output.append(helper.make_tensor_value_info(dice.choice(names), 1, None))


def _identities(model: Model, dice: Random) -> None:
    """Operators that do nothing, before and behind every node."""
    for number, node in enumerate(list(model.graph.node)):
        if node.input and node.input[0] and dice.random() < 0.5:
            name = f"{node.input[0]}_same{number}"
            op = dice.choice(("Identity", "Identity", "Dropout"))
            new = helper.make_node(op, [node.input[0]], [name])
            node.input[0] = name
            model.graph.node.insert(list(model.graph.node).index(node), new)


def _unused_input(model: Model, dice: Random) -> None:
    shapes: tuple[list[str | int | None] | None, ...] = (["N", 3], [], None, [1])
    info = helper.make_tensor_value_info("unused", dice.choice((1, 7, 9)), dice.choice(shapes))
    model.graph.input.insert(dice.randrange(len(model.graph.input) + 1), info)


def _drop_constant(model: Model, dice: Random) -> None:
    if model.graph.initializer:
        del model.graph.initializer[dice.randrange(len(model.graph.initializer))]


def _double_constant(model: Model, dice: Random) -> None:
    if model.graph.initializer:
        copy = model.graph.initializer.add()
        copy.CopyFrom(dice.choice(model.graph.initializer))
        if dice.random() < 0.3:
            copy.name = dice.choice(_tensors(model))


def _sparse_constant(model: Model, dice: Random) -> None:
    """A constant as the values that are not zero, and where they are, or nearly so."""
    floats = [t for t in model.graph.initializer if t.data_type == 1 and t.raw_data and t.dims]
    if not floats:
        return
    tensor = dice.choice(floats)
    values = np.frombuffer(tensor.raw_data, "<f4")
    size = dice.choice((values.size, values.size, 0, 1))
    places = np.arange(size, dtype=np.int64) + dice.choice((0, 0, 0, -1, 5))
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(numpy_helper.from_array(values[:size], tensor.name))
    sparse.indices.CopyFrom(numpy_helper.from_array(places, f"{tensor.name}_places"))
    sparse.dims.extend(tensor.dims)
    if dice.random() < 0.9:
        model.graph.initializer.remove(tensor)


def _constant_as_input(model: Model, dice: Random) -> None:
    """As files of ir_version 3 have it: a constant is listed among the inputs."""
    for tensor in list(model.graph.initializer)[: dice.choice((1, 100))]:
        info = helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        model.graph.input.append(info)


def _constant_as_node(model: Model, dice: Random) -> None:
    if model.graph.initializer:
        tensor = dice.choice(model.graph.initializer)
        node = helper.make_node("Constant", [], [tensor.name])
        node.attribute.add(name="value", type=4).t.CopyFrom(tensor)
        model.graph.node.insert(0, node)
        model.graph.initializer.remove(tensor)


def _huge_constant(model: Model, dice: Random) -> None:
    """A few bytes that ask for very much memory."""
    shape = dice.choice(([2**40], [2**31, 2**31], [100_000, 100_000], [2**20], [-1], [0]))
    dims = numpy_helper.from_array(np.array(shape, np.int64), "huge_shape")
    model.graph.initializer.append(dims)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["huge_shape"], ["huge"]))
    if model.graph.output and dice.random() < 0.8:
        name = model.graph.output[0].name
        model.graph.node.append(helper.make_node("ReduceMax", ["huge"], ["most"], keepdims=0))
        model.graph.node.append(helper.make_node("Add", [name, "most"], ["with_huge"]))
        model.graph.output[0].name = "with_huge"


# ---- the outside, and what is said of the inside ----------------------------------------------


def _input_shape(model: Model, dice: Random) -> None:
    if model.graph.input:
        shape = dice.choice(model.graph.input).type.tensor_type.shape
        match dice.randrange(5):
            case 0:
                shape.dim.add().dim_value = dice.choice(_DIMS)
            case 1 if shape.dim:
                del shape.dim[dice.randrange(len(shape.dim))]
            case 2:
                del shape.dim[:]
            case 3 if shape.dim:
                dice.choice(shape.dim).dim_param = hostile.name(dice)
            case _ if shape.dim:
                dice.choice(shape.dim).dim_value = dice.choice(_DIMS)


def _no_shape(model: Model, dice: Random) -> None:
    ends = [*model.graph.input, *model.graph.output]
    if ends:
        end = dice.choice(ends)
        if dice.random() < 0.5:
            end.type.tensor_type.ClearField("shape")
        else:
            end.ClearField("type")


def _end_type(model: Model, dice: Random) -> None:
    ends = [*model.graph.input, *model.graph.output]
    if ends:
        end = dice.choice(ends)
        match dice.randrange(5):
            case 0:
                end.type.sequence_type.elem_type.tensor_type.elem_type = 1
            case 1:
                end.type.optional_type.elem_type.tensor_type.elem_type = 1
            case 2:
                end.type.map_type.key_type = 7
            case _:
                end.type.tensor_type.elem_type = dice.choice(_TYPES)


def _ends(model: Model, dice: Random) -> None:
    """An input or output too many, too few, twice, or that nobody makes."""
    ends = dice.choice((model.graph.input, model.graph.output))
    match dice.randrange(4):
        case 0 if ends:
            del ends[dice.randrange(len(ends))]
        case 1 if ends:
            ends.add().CopyFrom(dice.choice(ends))
        case 2:
            name = dice.choice((*_tensors(model), hostile.name(dice)))
            ends.append(helper.make_tensor_value_info(name, 1, None))
        case _:
            del ends[:]


def _reverse_ends(model: Model, dice: Random) -> None:
    ends = dice.choice((model.graph.input, model.graph.output))
    copies = list(ends)[::-1]
    del ends[:]
    ends.extend(copies)


def _stale_info(model: Model, dice: Random) -> None:
    """What is said of tensors inside, which is not so."""
    made = [name for node in model.graph.node for name in node.output]
    for name in dice.sample(made, min(len(made), dice.choice((1, 2, 50)))):
        kind = dice.choice((1, 1, 6, 7, 10, 11, 0))
        shape = dice.choice(
            ([1], [2, 3], [0], [None, 7], ["a", "a"], [-1], [2**40], None, [2**62, 4])
        )
        model.graph.value_info.append(helper.make_tensor_value_info(name, kind, shape))


def _opsets(model: Model, dice: Random) -> None:
    match dice.randrange(5):
        case 0:
            del model.opset_import[:]
        case 1:
            model.opset_import.add(domain=dice.choice(_DOMAINS), version=hostile.integer(dice))
        case 2:
            model.ir_version = dice.choice((0, 1, 2, 3, 4, 7, 10, 13, 99, -1, 2**62))
        case _:
            for each in model.opset_import:
                each.version = dice.choice(
                    (0, 1, 6, 7, 9, 10, 11, 12, 13, 16, 18, 20, 21, 22, 23, 24, 99, -1)
                )


def _quantization(model: Model, dice: Random) -> None:
    note = model.graph.quantization_annotation.add(tensor_name=dice.choice((*_tensors(model), "z")))
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value=hostile.name(dice))


def _dead_part(model: Model, dice: Random) -> None:
    """Nodes whose output nobody reads."""
    names = _tensors(model)
    if names:
        node = helper.make_node(
            dice.choice(_OPS), [dice.choice(names)], [f"dead{dice.randrange(9)}"]
        )
        model.graph.node.append(node)


def _inner_as_output(model: Model, dice: Random) -> None:
    made = [name for node in model.graph.node for name in node.output]
    if made:
        new = helper.make_tensor_value_info(dice.choice(made), 1, None)
        model.graph.output.append(new)


# ---- functions and inner graphs ----------------------------------------------------------------


def _function(model: Model, dice: Random) -> None:
    """A function around one operator: sound, recursive, without a body, or with other arguments."""
    function = model.functions.add(name="F", domain="local")
    function.input.append("a")
    function.output.append("b")
    body = dice.choice(("Relu", "Identity", "F", "Nope"))
    domain = "local" if body == "F" else ""
    function.node.append(helper.make_node(body, ["a"], ["b"], domain=domain))
    function.opset_import.add(domain="", version=dice.choice((17, 17, 11, 99)))
    if dice.random() < 0.2:
        del function.node[:]
    if dice.random() < 0.2:
        function.attribute.append("missing")
    _call(model, dice)


def _nested_functions(model: Model, dice: Random) -> None:
    """Each calls the one before several times: few lines that unfold to very many."""
    depth, calls = dice.choice(((3, 2), (12, 2), (24, 2), (40, 3), (300, 1)))
    for number in range(depth):
        function = model.functions.add(
            name=f"F{number}" if number < depth - 1 else "F", domain="local"
        )
        function.input.append("a0")
        function.output.append(f"a{calls}")
        function.opset_import.add(domain="", version=17)
        function.opset_import.add(domain="local", version=1)
        inner = ("Relu", "") if number == 0 else (f"F{number - 1}", "local")
        for call in range(calls):
            ends = [f"a{call}"], [f"a{call + 1}"]
            function.node.append(helper.make_node(inner[0], *ends, domain=inner[1]))
    _call(model, dice)


def _call(model: Model, dice: Random) -> None:
    """Call the function F on an output."""
    if not any(each.domain == "local" for each in model.opset_import):
        model.opset_import.add(domain="local", version=1)
    if model.graph.output:
        name = model.graph.output[0].name
        ends = [name] * dice.choice((1, 1, 1, 0, 3)), ["called"]
        model.graph.node.append(helper.make_node("F", *ends, domain="local"))
        model.graph.output[0].name = "called"


def _inner_graph(model: Model, dice: Random) -> None:
    """The end of the network inside of If, many deep."""
    if not model.graph.output:
        return
    name = model.graph.output[0].name
    condition = numpy_helper.from_array(np.array(True), "condition")
    model.graph.initializer.append(condition)
    inner = helper.make_node("Identity", [name], ["i0"])
    for depth in range(dice.choice((1, 2, 10, 28))):
        result = helper.make_tensor_value_info(f"i{depth}", 1, None)
        branch = helper.make_graph([inner], f"g{depth}", [], [result])
        plain = helper.make_node("Identity", [name], [f"i{depth}"])
        other = helper.make_graph([plain], f"h{depth}", [], [result])
        ends = ["condition"], [f"i{depth + 1}"]
        inner = helper.make_node("If", *ends, then_branch=branch, else_branch=other)
    model.graph.node.append(inner)
    model.graph.output[0].name = inner.output[0]


def _training(model: Model, dice: Random) -> None:
    model.training_info.add().initialization.CopyFrom(model.graph)


EDITS: tuple[Edit, ...] = (
    _drop_node, _double_node, _unsort, _other_op, _other_op, _insert_op, _insert_op, _cycle,
    _rewire, _fewer_ends, _more_ends, _same_output, _same_node_name, _rename_tensor, _rename_tensor,
    _rename_all, _rename_node, _describe, _attribute, _attribute, _new_attribute, _drop_attribute,
    _reference, _constant_type, _constant_dims, _constant_bytes, _constant_values, _constant_values,
    _constant_shape, _drop_constant, _double_constant, _sparse_constant, _constant_as_input,
    _constant_as_node, _huge_constant, _input_shape, _input_shape, _no_shape, _end_type, _ends,
    _ends, _reverse_ends, _stale_info, _stale_info, _opsets, _quantization, _dead_part,
    _inner_as_output, _function, _nested_functions, _inner_graph, _training, edit_proto.edit,
    edit_proto.edit, edit_external.edit,
)  # fmt: skip

_MILD: tuple[Edit, ...] = (
    _unsort, _rename_tensor, _rename_tensor, _rename_all, _rename_node, _describe, _constant_values,
    _constant_values, _dead_channels, _dead_channels, _dead_channels, _shared_constant, _through,
    _identities, _identities, _unused_input, _constant_as_input, _constant_as_node,
    _sparse_constant, _reverse_ends, _stale_info, _dead_part, _inner_as_output, _function,
    _nested_functions, _inner_graph, _quantization, _same_node_name, _training, _insert_op,
    _double_node,
)  # fmt: skip
