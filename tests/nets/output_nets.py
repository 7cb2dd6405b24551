"""Networks whose outputs need more than one figure: detectors, selections, padded sentences."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from text_models import proto, random

TOKENS, WIDTH = 12, 16

HEAD = """
    c1 = Conv<kernel_shape=[3,3], pads=[1,1,1,1], strides=[2,2]>(x, w1, b1)
    r1 = Relu(c1)
    box = Conv<kernel_shape=[1,1]>(r1, w2, b2)
    pixels = Mul(box, far)
    cls = Conv<kernel_shape=[1,1]>(r1, w3, b3)
    scores = Sigmoid(cls)
    boxes_flat = Reshape(pixels, to_boxes)
    scores_flat = Reshape(scores, to_scores)
"""


def weights(far: float = 300.0) -> dict[str, NDArray[np.generic]]:
    return {
        "w1": random(6, 3, 3, 3, seed=1) / 4,
        "b1": random(6, seed=2) / 10,
        "w2": random(4, 6, 1, 1, seed=3) / 2,
        "b2": random(4, seed=4) / 10,
        "w3": random(3, 6, 1, 1, seed=5),
        "b3": random(3, seed=6) - 2,
        "far": np.array(far, np.float32),
        "to_boxes": np.array([0, 4, -1]),
        "to_scores": np.array([0, 3, -1]),
    }


def detector(far: float = 300.0) -> onnx.ModelProto:
    """Boxes and scores in one output of shape (N, 7, 64)."""
    graph = f"""net (float[N, 3, 16, 16] x) => (float[N, 7, 64] output0) {{{HEAD}
        output0 = Concat<axis=1>(boxes_flat, scores_flat) }}"""
    return proto(graph, **weights(far))


def turned_detector() -> onnx.ModelProto:
    """Two scales of it, one behind the other, with candidates before values: (N, 128, 7)."""
    graph = f"""net (float[N, 3, 16, 16] x) => (float[N, 128, 7] output0) {{{HEAD}
        one = Concat<axis=1>(boxes_flat, scores_flat)
        more = Neg(boxes_flat)
        other = Concat<axis=1>(more, scores_flat)
        both = Concat<axis=2>(one, other)
        output0 = Transpose<perm=[0, 2, 1]>(both) }}"""
    return proto(graph, **weights())


def top_candidates() -> onnx.ModelProto:
    """The best five of 64, as (N, 5, 6): box, score, class; all behind TopK."""
    graph = f"""net (float[N, 3, 16, 16] x) => (float[N, 5, 6] found) {{{HEAD}
        boxes_all = Transpose<perm=[0, 2, 1]>(boxes_flat)
        scores_all = Transpose<perm=[0, 2, 1]>(scores_flat)
        best = ReduceMax<axes=[2], keepdims=0>(scores_all)
        values, places = TopK<axis=1>(best, five)
        column = Unsqueeze(places, last)
        wide = Expand(column, four)
        chosen = GatherElements<axis=1>(boxes_all, wide)
        numbers = ArgMax<axis=2, keepdims=0>(scores_all)
        own = GatherElements<axis=1>(numbers, places)
        real = Cast<to=1>(own)
        score = Unsqueeze(values, last)
        number = Unsqueeze(real, last)
        found = Concat<axis=2>(chosen, score, number) }}"""
    more = {"five": np.array([5]), "last": np.array([2]), "four": np.array([1, 1, 4])}
    return proto(graph, **weights(), **more)


def nonzero_rows() -> onnx.ModelProto:
    """How many rows there are depends on the scores: places of those above a threshold."""
    graph = f"""net (float[N, 3, 16, 16] x) => (int64[3, K] places) {{{HEAD}
        high = Greater(scores_flat, limit)
        places = NonZero(high) }}"""
    return proto(graph, **weights(), limit=np.array(0.2, np.float32))


def segments() -> onnx.ModelProto:
    """A class for each pixel, as ArgMax gives it: no float output is left."""
    graph = """net (float[N, 3, 16, 16] x) => (int64[N, 16, 16] map) {
        c1 = Conv<kernel_shape=[3,3], pads=[1,1,1,1]>(x, w1, b1)
        r1 = Relu(c1)
        logits = Conv<kernel_shape=[1,1]>(r1, w3, b3)
        map = ArgMax<axis=1, keepdims=0>(logits) }"""
    known = weights()
    return proto(graph, **{name: known[name] for name in ("w1", "b1", "w3", "b3")})


def routed() -> onnx.ModelProto:
    """TopK in the middle, with a layer behind it: a step of the network, and not its end."""
    graph = """net (float[N, 16] x) => (float[N, 3] y) {
        h = Gemm(x, w1)
        values, places = TopK<axis=1>(h, five)
        y = Gemm(values, w2) }"""
    parts = {"w1": random(16, 12), "w2": random(5, 3), "five": np.array([5])}
    return proto(graph, **parts)


def sentences(form: str = "ones", length: bool = False) -> onnx.ModelProto:
    """One attention layer over tokens: (N, T, 16), with a mask of the tokens that are some.

    Args:
        form: ``ones`` or ``zeros`` count; ``where`` is a mask that Where reads.
        length: Classes of every token behind it, instead of an embedding.
    """
    masks = {
        "ones": "f = Cast<to=1>(mask) less = Sub(one, f) bias = Mul(less, low)",
        "zeros": "f = Cast<to=1>(mask) bias = Mul(f, low)",
        "where": "b = Cast<to=9>(mask) bias = Where(b, zero, low)",
    }
    end = "tokens = MatMul(h, wc)" if length else "tokens = Identity(h)"
    width = 5 if length else WIDTH
    graph = f"""net (int64[N, T] ids, int64[N, T] mask) => (float[N, T, {width}] tokens) {{
        e = Gather(words, ids)
        q = MatMul(e, wq) k = MatMul(e, wk) v = MatMul(e, wv)
        turned = Transpose<perm=[0, 2, 1]>(k)
        s = MatMul(q, turned)
        {masks[form]}
        row = Unsqueeze(bias, first)
        a = Add(s, row)
        p = Softmax<axis=-1>(a)
        c = MatMul(p, v)
        r = Add(c, e)
        h = LayerNormalization<axis=-1>(r, gain, shift)
        {end} }}"""
    known: dict[str, NDArray[Any]] = {
        "words": random(40, WIDTH, seed=1),
        **{f"w{n}": random(WIDTH, WIDTH, seed=i) / 4 for i, n in enumerate("qkv", 2)},
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.float32),
        "low": np.array(-60, np.float32),
        "first": np.array([1]),
        "gain": 1 + random(WIDTH, seed=8) / 8,
        "shift": random(WIDTH, seed=9) / 8,
        "wc": random(WIDTH, 5, seed=10),
    }
    return proto(graph, **{n: w for n, w in known.items() if n in graph})


def texts(count: int = 12, seed: int = 0) -> dict[str, NDArray[np.int64]]:
    """Sentences of 3 to 12 tokens, filled up with tokens that mean nothing."""
    draw = np.random.default_rng(seed)
    lengths = draw.integers(3, TOKENS + 1, count)
    mask = (np.arange(TOKENS) < lengths[:, None]).astype(np.int64)
    return {"ids": draw.integers(0, 40, (count, TOKENS)), "mask": mask}


def pillars() -> onnx.ModelProto:
    """Points of pillars, (N, 6, 4), of which the first few are some; an input says how many."""
    graph = """net (float[N, 6, 3] x, int64[N] lengths) => (float[N, 6, 4] y) {
        column = Unsqueeze(lengths, one) b = Less(places, column)
        f = Cast<to=1>(b) g = Unsqueeze(f, two)
        h = MatMul(x, w) some = Mul(h, g) y = Add(h, some) }"""
    more = {"places": np.arange(6), "one": np.array([1]), "two": np.array([2])}
    return proto(graph, w=random(3, 4), **more)
