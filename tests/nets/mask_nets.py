"""Small attentions whose scores are masked, in the forms that exporters write."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from text_models import proto, random

LENGTH, WIDTH = 6, 8
LOWEST = float(np.finfo(np.float32).min)

# What makes ``m`` of the scores ``s`` and of the mask ``a``: ones where tokens count.
FORMS = {
    "added": """
        f = Cast <to = 1> (a)
        g = Sub (one, f)
        e = Mul (g, least)
        u = Unsqueeze (e, ax)
        m = Add (s, u)""",
    "chosen": """
        b = Cast <to = 9> (a)
        u = Unsqueeze (b, ax)
        m = Where (u, s, least)""",
    "chosen_then_added": """
        b = Cast <to = 9> (a)
        u = Unsqueeze (b, ax)
        w = Where (u, nought, least)
        m = Add (w, s)""",
    "scaled_behind": """
        f = Cast <to = 1> (a)
        g = Sub (f, one)
        e = Mul (g, most)
        u = Unsqueeze (e, ax)
        d = Div (u, quarter)
        o = Add (s, d)
        m = Max (o, least)""",
}


def attention(form: str, least: float) -> onnx.ModelProto:
    """One head over six tokens; the mask makes ``least`` of scores that do not count."""
    least32 = np.float32(least)
    most = np.float32(-least32 if np.isfinite(least32) else 1e9) * np.float32(0.25)
    return proto(
        f"""net (float[N, {LENGTH}, {WIDTH}] x, int64[N, {LENGTH}] a) => (float[N, 4] y) {{
        q = MatMul (x, wq)
        k = MatMul (x, wk)
        t = Transpose <perm = [0, 2, 1]> (k)
        p = MatMul (q, t)
        s = Div (p, quarter4)
        {FORMS[form]}
        r = Softmax (m)
        i = IsNaN (r)
        c = Where (i, nought, r)
        h = MatMul (c, x)
        z = ReduceMean <axes = [1], keepdims = 0> (h)
        y = Gemm (z, wo, bo)
    }}""",
        one=np.array(1, np.float32),
        nought=np.array(0, np.float32),
        least=np.array(least32),
        most=np.array(most),
        quarter=np.array(0.25, np.float32),
        quarter4=np.array(3.0, np.float32),
        ax=np.array([1], np.int64),
        wq=random(WIDTH, WIDTH, seed=1),
        wk=random(WIDTH, WIDTH, seed=2),
        wo=random(WIDTH, 4, seed=3),
        bo=random(4, seed=4),
    )


def data(samples: int = 16, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Sentences of one to six tokens."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, LENGTH + 1, samples)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype(np.int64)
    x = rng.standard_normal((samples, LENGTH, WIDTH)).astype(np.float32)
    return {"x": x, "a": mask}
