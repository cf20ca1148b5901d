"""The states between chunks of the vector gate as Triton kernels, and their text for XLA.

    y_c = enters_c S_c + scores_c v_c        S_(c+1) = diag(e^(total_c)) S_c + leaves_c^T v_c

scores, enters, leaves [batch, chunk, H, Q, ·] and total [batch, chunk, H, K] are those of inside.py; v and y are [batch, T, H, V].
The forward walks the chunks with P columns of the state in registers and keeps the state S_c that enters each chunk (bf16,
[batch, chunk, H, K, V]). The gradient first walks them in reverse with the state's gradient, then takes all chunks at once.

    python walk.py       compares with float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def tile(base, i, x, stride, rows, columns):
    return tl.load(base + i[:, None] * stride + x[None, :], mask=(i < rows)[:, None] & (x < columns)[None, :], other=0.0)


@triton.jit
def vector_walk(scores, enters, leaves, total, v, first, y, states, last, T, H, V, CHUNKS, K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    x = tl.program_id(1) * P + tl.arange(0, P)
    b = tl.program_id(2)
    E = v.dtype.element_ty
    i = tl.arange(0, Q)
    k = tl.arange(0, K)
    some = (k >= 0)[:, None] & (x < V)[None, :]
    entry = k[:, None] * V + x[None, :]
    own = (b * H + h).to(tl.int64) * (K * V)
    state = tl.load(first + own + entry, mask=some, other=0.0)
    for c in range(0, CHUNKS):
        cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
        token = ((b.to(tl.int64) * T + c * Q) * H + h) * V
        vv = tile(v + token, i, x, H * V, T - c * Q, V)
        entering = state.to(E)
        tl.store(states + cell * (K * V) + entry, entering, mask=some)
        out = tl.dot(tile(enters + cell * (Q * K), i, k, K, Q, K), entering)
        out = tl.dot(tile(scores + cell * (Q * Q), i, i, Q, Q, Q), vv, out)
        tl.store(y + token + i[:, None] * (H * V) + x[None, :], out.to(E), mask=(i < T - c * Q)[:, None] & (x < V)[None, :])
        keep = tl.exp(tl.load(total + cell * K + k))
        state = tl.dot(tl.trans(tile(leaves + cell * (Q * K), i, k, K, Q, K)), vv, state * keep[:, None])
    tl.store(last + own + entry, state, mask=some)


@triton.jit
def vector_adjoint(enters, total, dy, dlast, dstates, dfirst, T, H, V, CHUNKS, K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """The gradient of the state that leaves each chunk, from the last chunk to the first."""
    h = tl.program_id(0)
    x = tl.program_id(1) * P + tl.arange(0, P)
    b = tl.program_id(2)
    E = dy.dtype.element_ty
    i = tl.arange(0, Q)
    k = tl.arange(0, K)
    some = (k >= 0)[:, None] & (x < V)[None, :]
    entry = k[:, None] * V + x[None, :]
    own = (b * H + h).to(tl.int64) * (K * V)
    d = tl.load(dlast + own + entry, mask=some, other=0.0)
    for step in range(0, CHUNKS):
        c = CHUNKS - 1 - step
        cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
        tl.store(dstates + cell * (K * V) + entry, d.to(E), mask=some)
        dyv = tile(dy + ((b.to(tl.int64) * T + c * Q) * H + h) * V, i, x, H * V, T - c * Q, V)
        keep = tl.exp(tl.load(total + cell * K + k))
        d = tl.dot(tl.trans(tile(enters + cell * (Q * K), i, k, K, Q, K)), dyv, d * keep[:, None])
    tl.store(dfirst + own + entry, d, mask=some)


@triton.jit
def vector_walk_backward(scores, leaves, total, v, states, dstates, dy, dscores, denters, dleaves, dtotal, dv, T, H, V, CHUNKS,
                         K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = dy.dtype.element_ty
    i = tl.arange(0, Q)
    k = tl.arange(0, K)
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    token = ((b.to(tl.int64) * T + c * Q) * H + h) * V
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    wide = cell * (Q * K) + i[:, None] * K + k[None, :]
    m = tl.trans(tl.load(scores + square))
    kl = tl.load(leaves + wide)
    dm = tl.zeros((Q, Q), tl.float32)
    dq = tl.zeros((Q, K), tl.float32)
    dk = tl.zeros((Q, K), tl.float32)
    dt = tl.zeros((K,), tl.float32)
    for part in range(0, V, P):
        x = part + tl.arange(0, P)
        vv = tile(v + token, i, x, H * V, T - c * Q, V)
        dyv = tile(dy + token, i, x, H * V, T - c * Q, V)
        state = tile(states + cell * (K * V), k, x, V, K, V)
        ds = tile(dstates + cell * (K * V), k, x, V, K, V)
        dm = tl.dot(dyv, tl.trans(vv), dm)
        dq = tl.dot(dyv, tl.trans(state), dq)
        dk = tl.dot(vv, tl.trans(ds), dk)
        dt += tl.sum(state.to(tl.float32) * ds.to(tl.float32), 1)
        out = tl.dot(m, dyv)
        out = tl.dot(kl, ds, out)
        tl.store(dv + token + i[:, None] * (H * V) + x[None, :], out.to(E), mask=(i < T - c * Q)[:, None] & (x < V)[None, :])
    tl.store(dscores + square, dm.to(E))
    tl.store(denters + wide, dq.to(E))
    tl.store(dleaves + wide, dk.to(E))
    tl.store(dtotal + cell * K + k, dt * tl.exp(tl.load(total + cell * K + k)))


KEYS = [16, 32, 64, 128]
QUERY, PART = 64, 32
HALF, FULL = "bf16", "fp32"
WALK = dict(scores=HALF, enters=HALF, leaves=HALF, total=FULL, v=HALF, first=FULL, y=HALF, states=HALF, last=FULL)
ADJOINT = dict(enters=HALF, total=FULL, dy=HALF, dlast=FULL, dstates=HALF, dfirst=FULL)
BACKWARD = dict(scores=HALF, leaves=HALF, total=FULL, v=HALF, states=HALF, dstates=HALF, dy=HALF, dscores=HALF, denters=HALF, dleaves=HALF,
                dtotal=FULL, dv=HALF)
KERNELS = {"walk": (vector_walk, WALK), "adjoint": (vector_adjoint, ADJOINT), "walk-backward": (vector_walk_backward, BACKWARD)}


def texts():
    for K in KEYS:
        for name, (kernel, pointers) in KERNELS.items():
            yield dict(file=f"{name}-{K}", kernel=kernel, pointers=pointers, constants=dict(K=K, P=PART, Q=QUERY))


def check(T, V):
    import torch
    torch.manual_seed(0)
    b, H, K, P, Q = 2, 2, 16, 32, 64
    n = -(-T // Q)
    inputs = [torch.randn(b, n, H, Q, Q), torch.randn(b, n, H, Q, K), torch.randn(b, n, H, Q, K), -torch.rand(b, n, H, K) * 3,
              torch.randn(b, T, H, V), torch.randn(b, H, K, V)]
    dy, dlast = torch.randn(b, T, H, V), torch.randn(b, H, K, V)

    leaves = [t.double().requires_grad_() for t in inputs]
    scores, enters, keys, total, v, state = leaves
    v = torch.cat([v, v.new_zeros(b, n * Q - T, H, V)], 1).view(b, n, Q, H, V).transpose(2, 3)
    ys, entering = [], []
    for c in range(n):
        entering.append(state)
        ys.append(enters[:, c] @ state + scores[:, c] @ v[:, c])
        state = total[:, c].exp()[..., None] * state + keys[:, c].transpose(2, 3) @ v[:, c]
    y = torch.stack(ys, 1).transpose(2, 3).reshape(b, n * Q, H, V)[:, :T]
    ((y * dy.double()).sum() + (state * dlast.double()).sum()).backward()

    sizes, rest, parts = (T, H, V, n), (K, P, Q), -(-V // P)
    got = [torch.zeros_like(dy), torch.zeros(b, n, H, K, V), torch.zeros_like(dlast)]
    vector_walk[(H, parts, b)](*inputs, *got, *sizes, *rest)
    dstates, dfirst = torch.zeros_like(got[1]), torch.zeros_like(dlast)
    vector_adjoint[(H, parts, b)](inputs[1], inputs[3], dy, dlast, dstates, dfirst, *sizes, *rest)
    grads = [torch.zeros_like(t) for t in inputs[:5]]
    vector_walk_backward[(H, n, b)](inputs[0], *inputs[2:5], got[1], dstates, dy, *grads, *sizes, *rest)
    bad = 0
    names = ("y", "states", "last", "dscores", "denters", "dleaves", "dtotal", "dv", "dfirst")
    for name, x, want in zip(names, got + grads + [dfirst], [y, torch.stack(entering, 1), state] + [leaf.grad for leaf in leaves]):
        ratio = ((x.double() - want.detach()).norm() / want.detach().norm()).item()
        print(f"{name:7} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check(150, 64) + check(50, 24))
