"""Networks with graphs inside nodes, as exporters write them."""

import numpy as np
import onnx

from text_models import proto, random

W, V = random(12, 16), random(16, 4, seed=1)
_THEN = "t () => (float[N,12] sq) { sq = Squeeze(x, one) }"
_ELSE = "e () => (float[N,12] id) { id = Identity(x) }"
_HEAD = "m = MatMul(s, w) r = Relu(m) y = MatMul(r, v)"


def squeezing(width: str = "1") -> onnx.ModelProto:
    """squeeze(1) of PyTorch: an If on whether axis 1 is 1."""
    return proto(
        f"""g (float[N,{width},12] x) => (float[N,4] y) {{
            one = Constant<value_ints=[1]>() zero = Constant<value_int=1>()
            shape = Shape(x) d = Gather(shape, zero) same = Equal(d, zero)
            [branch] s = If(same)<then_branch = {_THEN}, else_branch = {_ELSE}>
            {_HEAD}
        }}""",
        w=W,
        v=V,
    )


def rated() -> onnx.ModelProto:
    """An If on the sampling rate, which is an input."""
    return proto(
        f"""g (float[N,12] x, int64 rate) => (float[N,4] y) {{
            fast = Constant<value_int=16000>() same = Equal(rate, fast)
            [branch] s = If(same)<
                then_branch = t () => (float[N,12] a) {{ a = Neg(x) }},
                else_branch = e () => (float[N,12] b) {{ b = Identity(x) }}>
            {_HEAD}
        }}""",
        w=W,
        v=V,
    )


def enclosed() -> onnx.ModelProto:
    """All of the network in the branches of an If on an input, weights as well."""
    weights = "w = Constant<value = float[12,2] {" + ",".join(["1", "2"] * 12) + "}>()"
    other = weights.replace("w =", "u =")
    return proto(
        f"""g (float[N,12] x, int64 rate) => (float[N,2] y) {{
            fast = Constant<value_int=16000>() same = Equal(rate, fast)
            [branch] y = If(same)<
                then_branch = t () => (float[N,2] a) {{ {weights} m = MatMul(x, w) a = Relu(m) }},
                else_branch = e () => (float[N,2] b) {{ {other} b = MatMul(x, u) }}>
        }}"""
    )


def gated() -> onnx.ModelProto:
    """An If on values: the first is positive."""
    return proto(
        f"""g (float[1,12] x) => (float[1,4] y) {{
            h = Relu(x) top = ReduceMax<keepdims=0>(x) limit = Constant<value_float=1.8>()
            big = Greater(top, limit)
            [branch] s = If(big)<
                then_branch = t () => (float[1,12] a) {{ a = Mul(h, gain) }},
                else_branch = e () => (float[1,12] b) {{ b = Identity(h) }}>
            {_HEAD}
        }}""",
        w=W,
        v=V,
        gain=random(12, seed=2),
    )


def looped() -> onnx.ModelProto:
    """A Loop of three steps that reads a weight from outside."""
    return proto(
        f"""g (float[N,12] x) => (float[N,4] y) {{
            three = Constant<value_int=3>() go = Constant<value_int=1>() run = Cast<to=9>(go)
            [steps] s = Loop(three, run, x)<body = b (int64 i, bool c, float[N,12] h)
                => (bool d, float[N,12] k) {{ d = Identity(c) p = MatMul(h, u) k = Tanh(p) }}>
            {_HEAD}
        }}""",
        w=W,
        v=V,
        u=random(12, 12, seed=3),
    )


def scanned() -> onnx.ModelProto:
    """A Scan over time: a running sum."""
    return proto(
        f"""g (float[5,12] x) => (float[5,4] y) {{
            z = ReduceSum<keepdims=0>(x, first) zero = Mul(z, none)
            [scan] last, s = Scan(zero, x)<num_scan_inputs = 1, body = b (float[12] h, float[12] i)
                => (float[12] k, float[12] o) {{ k = Add(h, i) o = Tanh(k) }}>
            {_HEAD}
        }}""",
        w=W,
        v=V,
        first=np.array([0]),
        none=np.zeros(1, np.float32),
    )
