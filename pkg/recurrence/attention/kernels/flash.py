"""Causal softmax attention as Triton kernels, one program per (block of tokens, head, sequence), and their text for XLA.

    y_i = Σ_{j≤i} p_ij v_j        p_ij = exp(q_i·k_j) / Σ_{j≤i} exp(q_i·k_j) = 2^(log2(e) q_i·k_j - lse_i)

q (scaled), y and their gradients are bf16 [batch, T, H, D], k and v [batch, T, H / PER, D]; dk and dv are those of one query head,
[batch, T, H, D]; lse and delta = Σ dy ⊙ y are float32 [batch, H, T]. Scores stay on the chip (arXiv 2307.08691): a program holds
OWN tokens and walks the others STEP at a time, first those that it sees whole, then those of its own block, masked; or the
reverse. STEP divides OWN. A token from T on counts as zeros and is not written.

    python flash.py      compares with float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl

LOG2E = tl.constexpr(1.4426950408889634)


@triton.jit
def attention_forward(q, k, v, y, lse, T, H, PER, D: tl.constexpr, OWN: tl.constexpr, STEP: tl.constexpr):
    first = (tl.cdiv(T, OWN) - 1 - tl.program_id(0)) * OWN  # the longest walks begin first
    h = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    E = q.dtype.element_ty
    own = first + tl.arange(0, OWN)
    e = tl.arange(0, D)
    KV = H // PER
    here = ((b * T + first) * H + h) * D + tl.arange(0, OWN)[:, None] * (H * D) + e[None, :]
    hop = tl.arange(0, STEP)[:, None] * (KV * D) + e[None, :]
    query = tl.load(q + here, mask=own[:, None] < T, other=0.0)
    top = tl.full((OWN,), float("-inf"), tl.float32)
    total = tl.zeros((OWN,), tl.float32)
    read = tl.zeros((OWN, D), tl.float32)
    for inside in tl.static_range(2):
        for start in range(inside * first, first + inside * OWN, STEP):
            step = start + tl.arange(0, STEP)
            at = ((b * T + start) * KV + h // PER) * D + hop
            key = tl.load(k + at, mask=step[:, None] < T, other=0.0)
            scores = tl.dot(query, tl.trans(key))
            if inside:
                scores = tl.where(own[:, None] >= step[None, :], scores, float("-inf"))
            higher = tl.maximum(top, tl.max(scores, 1) * LOG2E)
            p = tl.exp2(scores * LOG2E - higher[:, None])
            shrink = tl.exp2(top - higher)
            total = total * shrink + tl.sum(p, 1)
            value = tl.load(v + at, mask=step[:, None] < T, other=0.0)
            read = tl.dot(p.to(E), value, read * shrink[:, None])
            top = higher
    tl.store(y + here, (read / total[:, None]).to(E), mask=own[:, None] < T)
    tl.store(lse + (b * H + h) * T + own, top + tl.log2(total), mask=own < T)


@triton.jit
def attention_queries(q, k, v, y, lse, dy, dq, delta, T, H, PER, D: tl.constexpr, OWN: tl.constexpr, STEP: tl.constexpr):
    """The gradient of the queries of a block, and its delta."""
    first = (tl.cdiv(T, OWN) - 1 - tl.program_id(0)) * OWN
    h = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    E = q.dtype.element_ty
    own = first + tl.arange(0, OWN)
    e = tl.arange(0, D)
    KV = H // PER
    here = ((b * T + first) * H + h) * D + tl.arange(0, OWN)[:, None] * (H * D) + e[None, :]
    hop = tl.arange(0, STEP)[:, None] * (KV * D) + e[None, :]
    query = tl.load(q + here, mask=own[:, None] < T, other=0.0)
    dyv = tl.load(dy + here, mask=own[:, None] < T, other=0.0)
    out = tl.load(y + here, mask=own[:, None] < T, other=0.0)
    rows = (b * H + h) * T + own
    drop = tl.sum(dyv.to(tl.float32) * out.to(tl.float32), 1)
    tl.store(delta + rows, drop, mask=own < T)
    level = tl.load(lse + rows, mask=own < T, other=0.0)
    grad = tl.zeros((OWN, D), tl.float32)
    for inside in tl.static_range(2):
        for start in range(inside * first, first + inside * OWN, STEP):
            step = start + tl.arange(0, STEP)
            at = ((b * T + start) * KV + h // PER) * D + hop
            key = tl.load(k + at, mask=step[:, None] < T, other=0.0)
            value = tl.load(v + at, mask=step[:, None] < T, other=0.0)
            scores = tl.dot(query, tl.trans(key))
            if inside:
                scores = tl.where(own[:, None] >= step[None, :], scores, float("-inf"))
            p = tl.exp2(scores * LOG2E - level[:, None])
            ds = p * (tl.dot(dyv, tl.trans(value)) - drop[:, None])
            grad = tl.dot(ds.to(E), key, grad)
    tl.store(dq + here, grad.to(E), mask=own[:, None] < T)


@triton.jit
def attention_keys(q, k, v, lse, dy, delta, dk, dv, T, H, PER, D: tl.constexpr, OWN: tl.constexpr, STEP: tl.constexpr):
    """The gradients of the keys and values of a block, of one query head."""
    first = tl.program_id(0) * OWN
    h = tl.program_id(1)
    b = tl.program_id(2).to(tl.int64)
    E = q.dtype.element_ty
    own = first + tl.arange(0, OWN)
    e = tl.arange(0, D)
    KV = H // PER
    there = ((b * T + first) * KV + h // PER) * D + tl.arange(0, OWN)[:, None] * (KV * D) + e[None, :]
    hop = tl.arange(0, STEP)[:, None] * (H * D) + e[None, :]
    key = tl.load(k + there, mask=own[:, None] < T, other=0.0)
    value = tl.load(v + there, mask=own[:, None] < T, other=0.0)
    rows = (b * H + h) * T
    dkv = tl.zeros((OWN, D), tl.float32)
    dvv = tl.zeros((OWN, D), tl.float32)
    for outside in tl.static_range(2):
        for start in range(first + outside * OWN, T if outside else first + OWN, STEP):
            step = start + tl.arange(0, STEP)
            at = ((b * T + start) * H + h) * D + hop
            query = tl.load(q + at, mask=step[:, None] < T, other=0.0)
            level = tl.load(lse + rows + step, mask=step < T, other=0.0)
            scores = tl.dot(key, tl.trans(query))
            if not outside:
                scores = tl.where(own[:, None] <= step[None, :], scores, float("-inf"))
            p = tl.exp2(scores * LOG2E - level[None, :])
            dyv = tl.load(dy + at, mask=step[:, None] < T, other=0.0)
            dvv = tl.dot(p.to(E), dyv, dvv)
            drop = tl.load(delta + rows + step, mask=step < T, other=0.0)
            ds = p * (tl.dot(value, tl.trans(dyv)) - drop[None, :])
            dkv = tl.dot(ds.to(E), query, dkv)
    here = ((b * T + first) * H + h) * D + tl.arange(0, OWN)[:, None] * (H * D) + e[None, :]
    tl.store(dk + here, dkv.to(E), mask=own[:, None] < T)
    tl.store(dv + here, dvv.to(E), mask=own[:, None] < T)


SIZES = [16, 32, 64, 128]
BLOCKS = dict(OWN=128, STEP=64)
FORWARD = [("q", "bf16"), ("k", "bf16"), ("v", "bf16"), ("y", "bf16"), ("lse", "fp32")]
QUERIES = FORWARD + [("dy", "bf16"), ("dq", "bf16"), ("delta", "fp32")]
KEYS = [("q", "bf16"), ("k", "bf16"), ("v", "bf16"), ("lse", "fp32"), ("dy", "bf16"), ("delta", "fp32"), ("dk", "bf16"), ("dv", "bf16")]
KERNELS = {"forward": (attention_forward, FORWARD), "queries": (attention_queries, QUERIES), "keys": (attention_keys, KEYS)}


def texts():
    for D in SIZES:
        for name, (kernel, pointers) in KERNELS.items():
            yield dict(file=f"{name}-{D}", kernel=kernel, pointers=dict(pointers), constants=dict(D=D, **BLOCKS))


def check(T, D, heads=2, shared=1, scale=1.0, half=False):
    """How many of y and the gradients differ from float64; shared heads read the same keys, scores have the standard deviation scale."""
    import torch
    torch.manual_seed(0)
    b, KV = 2, heads // shared
    q, dy = torch.randn(b, T, heads, D) * (scale * D ** -0.5), torch.randn(b, T, heads, D)
    k, v = torch.randn(b, T, KV, D), torch.randn(b, T, KV, D)
    if half:
        q, k, v, dy = (x.half() for x in (q, k, v, dy))  # as bfloat16, which the interpreter does not multiply
    leaves = [x.double().requires_grad_() for x in (q, k, v)]
    wide = lambda x: x.repeat_interleave(shared, 2)
    scores = torch.einsum("bihd,bjhd->bhij", leaves[0], wide(leaves[1]))
    scores = scores.masked_fill(torch.ones(T, T).triu(1) > 0, -torch.inf)
    want = torch.einsum("bhij,bjhd->bihd", scores.softmax(-1), wide(leaves[2]))
    want.backward(dy.double())

    y, dq, dk, dv = (torch.full_like(q, torch.nan) for _ in range(4))
    lse, delta = torch.full((b, heads, T), torch.nan), torch.full((b, heads, T), torch.nan)
    grid, rest = (-(-T // BLOCKS["OWN"]), heads, b), (T, heads, shared, D, BLOCKS["OWN"], BLOCKS["STEP"])
    attention_forward[grid](q, k, v, y, lse, *rest)
    attention_queries[grid](q, k, v, y, lse, dy, dq, delta, *rest)
    attention_keys[grid](q, k, v, lse, dy, delta, dk, dv, *rest)
    each = lambda x: x.double().view(b, T, KV, shared, D).sum(3)
    bad, line = 0, f"T {T} D {D} heads {heads}/{KV} scores {scale:g} {q.dtype}:"
    for name, got, ref in (("y", y, want), ("dq", dq, leaves[0].grad), ("dk", each(dk), leaves[1].grad), ("dv", each(dv), leaves[2].grad),
                           ("lse", lse.double() / LOG2E.value, scores.logsumexp(-1))):
        ratio = ((got.double() - ref).norm() / dy.double().norm().maximum(ref.norm())).item()
        line += f" {name} {ratio:.1e}"
        bad += not ratio < (2e-3 if half else 1e-6 * max(10, scale))
    print(line)
    return bad


if __name__ == "__main__":
    sys.exit(sum(check(T, D) for D in SIZES for T in (1, 64, 130, 300)) + check(150, 32, 4, 2) + check(150, 32, 3, 3) + check(300, 64, scale=1e4) +
             check(300, 64, half=True))
