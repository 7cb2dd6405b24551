"""One layer of a transformer, in the forms that exporters write its parts."""

from itertools import product

import numpy as np
import onnx
from numpy.typing import NDArray

from text_models import proto, random

TOKENS, HEADS, EACH = 6, 2, 4
WIDTH = HEADS * EACH

# Each makes a tensor ``{o}`` of ``{i}``, with names of its own that begin with ``{o}``.
NORMS = {
    "fused": "{o} = LayerNormalization <axis = -1> ({i}, gain, shift)",
    "written_out": """
        {o}m = ReduceMean <axes = [-1]> ({i})
        {o}c = Sub ({i}, {o}m)
        {o}p = Pow ({o}c, two)
        {o}v = ReduceMean <axes = [-1]> ({o}p)
        {o}e = Add ({o}v, tiny)
        {o}r = Sqrt ({o}e)
        {o}d = Div ({o}c, {o}r)
        {o}k = Mul ({o}d, gain)
        {o} = Add ({o}k, shift)""",
    "root_mean_square": """
        {o}p = Mul ({i}, {i})
        {o}v = ReduceMean <axes = [-1]> ({o}p)
        {o}e = Add ({o}v, tiny)
        {o}r = Sqrt ({o}e)
        {o}q = Reciprocal ({o}r)
        {o}d = Mul ({i}, {o}q)
        {o} = Mul ({o}d, gain)""",
    "mean_of_squares": """
        {o}m = ReduceMean <axes = [-1]> ({i})
        {o}p = Mul ({i}, {i})
        {o}w = ReduceMean <axes = [-1]> ({o}p)
        {o}n = Mul ({o}m, {o}m)
        {o}b = Sub ({o}w, {o}n)
        {o}x = Max ({o}b, none)
        {o}g = Reshape ({o}x, rows)
        {o}e = Add ({o}g, tiny)
        {o}r = Sqrt ({o}e)
        {o}q = Reciprocal ({o}r)
        {o}s = Mul ({o}q, gain)
        {o}c = Sub ({i}, {o}m)
        {o}d = Mul ({o}c, {o}s)
        {o} = Add ({o}d, shift)""",
}
ACTIVATIONS = {
    "erf": """
        {o}d = Div ({i}, root)
        {o}f = Erf ({o}d)
        {o}a = Add ({o}f, one)
        {o}m = Mul ({i}, {o}a)
        {o} = Mul ({o}m, half)""",
    "tanh": """
        {o}p = Pow ({i}, three)
        {o}s = Mul ({o}p, small)
        {o}a = Add ({i}, {o}s)
        {o}m = Mul ({o}a, root)
        {o}t = Tanh ({o}m)
        {o}b = Add ({o}t, one)
        {o}h = Mul ({i}, half)
        {o} = Mul ({o}h, {o}b)""",
    "products": """
        {o}p = Mul (small, {i})
        {o}q = Mul ({i}, {o}p)
        {o}s = Mul ({i}, {o}q)
        {o}a = Add ({i}, {o}s)
        {o}m = Mul ({o}a, root)
        {o}t = Tanh ({o}m)
        {o}b = Add ({o}t, one)
        {o}h = Mul ({o}b, half)
        {o} = Mul ({i}, {o}h)""",
    "gated": """
        {o}l = MatMul ({i}, gate)
        {o}s = Sigmoid ({o}l)
        {o}g = Mul ({o}l, {o}s)
        {o} = Mul ({i}, {o}g)""",
}
SCORES = {
    "divided": "s = MatMul (q, k) z = Div (s, root) r = Softmax (z)",
    "operands": "qs = Mul (q, half) ks = Mul (k, half) s = MatMul (qs, ks) r = Softmax (s)",
    "masked": "s = MatMul (q, k) z = Div (s, root) m = Add (z, mask) r = Softmax (m)",
    "quotient": """s = MatMul (q, k) z = Div (s, root) p = ReduceMax <axes = [-1]> (z)
        b = Sub (z, p) e = Exp (b) t0 = ReduceSum (e, last) r = Div (e, t0)""",
    "guarded": """s = MatMul (q, k) m = Where (seen, s, least) w = Softmax (m)
        n = IsNaN (w) r = Where (n, none, w)""",
}
WRITTEN_OUT = ("mean_of_squares", "products", "quotient")  # as JAX and tf2onnx write them
FORMS = [f for f in product(NORMS, ACTIVATIONS, SCORES) if not {*WRITTEN_OUT} & {*f}]
FORMS.append(WRITTEN_OUT)
TENSORS = {"h1", "q", "k", "v", "r", "c", "h2", "g"}


def _head(o: str, turned: str) -> str:
    return f"""
        {o}l = MatMul (h1, w{o})
        {o}b = Add ({o}l, b{o})
        {o}r = Reshape ({o}b, heads)
        {o} = Transpose <perm = [0, 2, {turned}]> ({o}r)"""


def layer(norm: str, activation: str, scores: str) -> onnx.ModelProto:
    """Pre-norm: ``x + attention(norm(x))``, then ``x + mlp(norm(x))``, then a norm."""
    text = f"""net (float[N, {TOKENS}, {WIDTH}] x) => (float[N, {TOKENS}, {WIDTH}] y) {{
        {NORMS[norm].format(i="x", o="h1")}
        {_head("q", "1, 3")} {_head("k", "3, 1")} {_head("v", "1, 3")}
        {SCORES[scores]}
        a = MatMul (r, v)
        t = Transpose <perm = [0, 2, 1, 3]> (a)
        c = Reshape (t, flat)
        o = MatMul (c, wo)
        ob = Add (o, bo)
        x1 = Add (x, ob)
        {NORMS[norm].format(i="x1", o="h2")}
        u = MatMul (h2, w1)
        ub = Add (u, b1)
        {ACTIVATIONS[activation].format(i="ub", o="g")}
        d = MatMul (g, w2)
        db = Add (d, b2)
        x2 = Add (db, x1)
        {NORMS[norm].format(i="x2", o="y")}
    }}"""
    return proto(text, opset=17, **{k: v for k, v in _constants().items() if _read(k, text)})


def _read(name: str, text: str) -> bool:
    return any(f"{before}{name}{behind}" in text for before in " (" for behind in ",)")


def _constants() -> dict[str, NDArray[np.generic]]:
    square = {f"w{o}": random(WIDTH, WIDTH, seed=i) for i, o in enumerate("qkvo")}
    vectors = {f"b{o}": random(WIDTH, seed=9 + i) for i, o in enumerate("qkvo")}
    wide = {"w1": random(WIDTH, 16, seed=20), "w2": random(16, WIDTH, seed=21)}
    biases = {"b1": random(16, seed=22), "b2": random(WIDTH, seed=23)}
    numbers = {"two": 2, "tiny": 1e-5, "root": 2**0.5, "one": 1, "half": 0.5, "three": 3}
    scalars = {k: np.array(v, np.float32) for k, v in numbers.items()}
    scalars |= {"small": np.array(0.044715, np.float32), "none": np.array(0, np.float32)}
    triangle = np.tril(np.ones((TOKENS, TOKENS), bool))
    masks: dict[str, NDArray[np.generic]] = {
        "mask": np.where(triangle, 0, -1e9).astype(np.float32),
        "seen": triangle,
        "least": np.array(-np.inf, np.float32),
    }
    shapes = {
        "heads": np.array([0, TOKENS, HEADS, EACH]),
        "flat": np.array([0, TOKENS, WIDTH]),
        "rows": np.array([0, TOKENS, 1]),
        "last": np.array([-1]),
    }
    gains: dict[str, NDArray[np.generic]] = {
        "gain": 1 + random(WIDTH, seed=30) / 4,
        "shift": random(WIDTH, seed=31),
    }
    more = {"gate": random(16, 16, seed=32)}
    return {**square, **vectors, **wide, **biases, **scalars, **masks, **shapes, **gains, **more}
