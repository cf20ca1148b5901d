"""The states between chunks of the delta rule as Triton kernels, and their text for XLA.

With z what the state does not yet hold of the values and a what the tokens of a chunk write, before their β,

    z_c = v_c - reads_c S_c    a_c = T_c z_c    y_c = enters_c S_c + scores_c (β a)_c    S_(c+1) = diag(e^(total_c)) S_c + leaves_c^T (β a)_c

T, scores, reads, enters, leaves and total are those of inside.py [batch, chunk, H, ·], beta is float32 [batch, T, H], v, a and y are
[batch, T, H, V]. The forward walks the chunks with P columns of the state in registers and keeps a and the state S_c that enters each
chunk (bf16, [batch, chunk, H, K, V]). The gradient walks them in reverse with the state's gradient, whereby that of z is that of v,
and then takes all chunks at once:

    dz = T^T (β (scores^T dy + leaves dS_(c+1)))    dS_c = enters^T dy + diag(e^(total)) dS_(c+1) - reads^T dz
    dpairs = -dz (β a)^T    dβ = a · dz / β

A β of less than LEAST counts as LEAST, for the quotient.

    python walk.py       compares with float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl

LEAST = tl.constexpr(1e-18)


@triton.jit
def tile(base, i, x, stride, rows, columns):
    return tl.load(base + i[:, None] * stride + x[None, :], mask=(i < rows)[:, None] & (x < columns)[None, :], other=0.0)


@triton.jit
def shares(beta, i, stride, rows):
    b = tl.load(beta + i * stride, mask=i < rows, other=0.0)
    return tl.where(tl.abs(b) < LEAST, LEAST, b)


@triton.jit
def delta_walk(inverse, scores, reads, enters, leaves, total, beta, v, first, y, states, writes, last, T, H, V, CHUNKS,
               K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
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
        row = (b.to(tl.int64) * T + c * Q) * H + h
        out = row * V + i[:, None] * (H * V) + x[None, :]
        live = (i < T - c * Q)[:, None] & (x < V)[None, :]
        entering = state.to(E)
        tl.store(states + cell * (K * V) + entry, entering, mask=some)
        z = tl.load(v + out, mask=live, other=0.0) - tl.dot(tile(reads + cell * (Q * K), i, k, K, Q, K), entering)
        a = tl.dot(tile(inverse + cell * (Q * Q), i, i, Q, Q, Q), z.to(E)).to(E)
        tl.store(writes + out, a, mask=live)
        u = (a * shares(beta + row, i, H, T - c * Q)[:, None]).to(E)
        seen = tl.dot(tile(enters + cell * (Q * K), i, k, K, Q, K), entering)
        seen = tl.dot(tile(scores + cell * (Q * Q), i, i, Q, Q, Q), u, seen)
        tl.store(y + out, seen.to(E), mask=live)
        keep = tl.exp(tl.load(total + cell * K + k))
        state = tl.dot(tl.trans(tile(leaves + cell * (Q * K), i, k, K, Q, K)), u, state * keep[:, None])
    tl.store(last + own + entry, state, mask=some)


@triton.jit
def delta_adjoint(inverse, scores, reads, enters, leaves, total, beta, dy, dlast, dstates, dv, dfirst, T, H, V, CHUNKS,
                  K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """The gradient of the state that leaves each chunk, from the last chunk to the first, and that of the values."""
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
        row = (b.to(tl.int64) * T + c * Q) * H + h
        out = row * V + i[:, None] * (H * V) + x[None, :]
        live = (i < T - c * Q)[:, None] & (x < V)[None, :]
        leaving = d.to(E)
        tl.store(dstates + cell * (K * V) + entry, leaving, mask=some)
        dyv = tl.load(dy + out, mask=live, other=0.0)
        du = tl.dot(tl.trans(tile(scores + cell * (Q * Q), i, i, Q, Q, Q)), dyv)
        du = tl.dot(tile(leaves + cell * (Q * K), i, k, K, Q, K), leaving, du)
        da = (du * shares(beta + row, i, H, T - c * Q)[:, None]).to(E)
        dz = tl.dot(tl.trans(tile(inverse + cell * (Q * Q), i, i, Q, Q, Q)), da).to(E)
        tl.store(dv + out, dz, mask=live)
        keep = tl.exp(tl.load(total + cell * K + k))
        d = tl.dot(tl.trans(tile(enters + cell * (Q * K), i, k, K, Q, K)), dyv, d * keep[:, None])
        d -= tl.dot(tl.trans(tile(reads + cell * (Q * K), i, k, K, Q, K)), dz)
    tl.store(dfirst + own + entry, d, mask=some)


@triton.jit
def delta_walk_backward(total, beta, writes, states, dstates, dv, dy, dpairs, dscores, dreads, denters, dleaves, dtotal, dbeta, T, H, V, CHUNKS,
                        K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = dy.dtype.element_ty
    i = tl.arange(0, Q)
    k = tl.arange(0, K)
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    row = (b.to(tl.int64) * T + c * Q) * H + h
    share = shares(beta + row, i, H, T - c * Q)
    dp = tl.zeros((Q, Q), tl.float32)
    dm = tl.zeros((Q, Q), tl.float32)
    dr = tl.zeros((Q, K), tl.float32)
    dq = tl.zeros((Q, K), tl.float32)
    dk = tl.zeros((Q, K), tl.float32)
    dt = tl.zeros((K,), tl.float32)
    db = tl.zeros((Q,), tl.float32)
    for part in range(0, V, P):
        x = part + tl.arange(0, P)
        a = tile(writes + row * V, i, x, H * V, T - c * Q, V)
        dz = tile(dv + row * V, i, x, H * V, T - c * Q, V)
        dyv = tile(dy + row * V, i, x, H * V, T - c * Q, V)
        state = tile(states + cell * (K * V), k, x, V, K, V)
        ds = tile(dstates + cell * (K * V), k, x, V, K, V)
        u = (a * share[:, None]).to(E)
        dp = tl.dot(dz, tl.trans(u), dp)
        dm = tl.dot(dyv, tl.trans(u), dm)
        dr = tl.dot(dz, tl.trans(state), dr)
        dq = tl.dot(dyv, tl.trans(state), dq)
        dk = tl.dot(u, tl.trans(ds), dk)
        dt += tl.sum(state.to(tl.float32) * ds.to(tl.float32), 1)
        db += tl.sum(a.to(tl.float32) * dz.to(tl.float32), 1)
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    wide = cell * (Q * K) + i[:, None] * K + k[None, :]
    tl.store(dpairs + square, (-dp).to(E))
    tl.store(dscores + square, dm.to(E))
    tl.store(dreads + wide, (-dr).to(E))
    tl.store(denters + wide, dq.to(E))
    tl.store(dleaves + wide, dk.to(E))
    tl.store(dtotal + cell * K + k, dt * tl.exp(tl.load(total + cell * K + k)))
    tl.store(dbeta + row + i * H, db / share, mask=i < T - c * Q)


@triton.jit
def delta_general_walk(inverse, rk, qe, qk, reads, enters, erases, leaves, total, v, first, y, states, writes, last, T, H, V, CHUNKS,
                       K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """a = -T (reads S + rk v)    y = enters S + qe a + qk v    S <- diag(e^total) S + erases^T a + leaves^T v"""
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
        out = ((b.to(tl.int64) * T + c * Q) * H + h) * V + i[:, None] * (H * V) + x[None, :]
        live = (i < T - c * Q)[:, None] & (x < V)[None, :]
        entering = state.to(E)
        tl.store(states + cell * (K * V) + entry, entering, mask=some)
        vv = tl.load(v + out, mask=live, other=0.0)
        z = tl.dot(tile(rk + cell * (Q * Q), i, i, Q, Q, Q), vv)
        z = tl.dot(tile(reads + cell * (Q * K), i, k, K, Q, K), entering, z)
        a = (-tl.dot(tile(inverse + cell * (Q * Q), i, i, Q, Q, Q), z.to(E))).to(E)
        tl.store(writes + out, a, mask=live)
        seen = tl.dot(tile(enters + cell * (Q * K), i, k, K, Q, K), entering)
        seen = tl.dot(tile(qk + cell * (Q * Q), i, i, Q, Q, Q), vv, seen)
        seen = tl.dot(tile(qe + cell * (Q * Q), i, i, Q, Q, Q), a, seen)
        tl.store(y + out, seen.to(E), mask=live)
        keep = tl.exp(tl.load(total + cell * K + k))
        state = tl.dot(tl.trans(tile(leaves + cell * (Q * K), i, k, K, Q, K)), vv, state * keep[:, None])
        state = tl.dot(tl.trans(tile(erases + cell * (Q * K), i, k, K, Q, K)), a, state)
    tl.store(last + own + entry, state, mask=some)


@triton.jit
def delta_general_adjoint(inverse, qe, reads, enters, erases, total, dy, dlast, dstates, dz, dfirst, T, H, V, CHUNKS,
                          K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    """dz = -T^T (qe^T dy + erases dS), the gradient of what T multiplies."""
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
        out = ((b.to(tl.int64) * T + c * Q) * H + h) * V + i[:, None] * (H * V) + x[None, :]
        live = (i < T - c * Q)[:, None] & (x < V)[None, :]
        leaving = d.to(E)
        tl.store(dstates + cell * (K * V) + entry, leaving, mask=some)
        dyv = tl.load(dy + out, mask=live, other=0.0)
        da = tl.dot(tl.trans(tile(qe + cell * (Q * Q), i, i, Q, Q, Q)), dyv)
        da = tl.dot(tile(erases + cell * (Q * K), i, k, K, Q, K), leaving, da)
        dzv = (-tl.dot(tl.trans(tile(inverse + cell * (Q * Q), i, i, Q, Q, Q)), da.to(E))).to(E)
        tl.store(dz + out, dzv, mask=live)
        keep = tl.exp(tl.load(total + cell * K + k))
        d = tl.dot(tl.trans(tile(enters + cell * (Q * K), i, k, K, Q, K)), dyv, d * keep[:, None])
        d = tl.dot(tl.trans(tile(reads + cell * (Q * K), i, k, K, Q, K)), dzv, d)
    tl.store(dfirst + own + entry, d, mask=some)


@triton.jit
def delta_general_walk_backward(rk, qk, leaves, total, v, writes, states, dstates, dz, dy, dre, drk, dqe, dqk, dreads, denters, derases, dleaves,
                                dtotal, dv, T, H, V, CHUNKS, K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = dy.dtype.element_ty
    i = tl.arange(0, Q)
    k = tl.arange(0, K)
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    row = ((b.to(tl.int64) * T + c * Q) * H + h) * V
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    wide = cell * (Q * K) + i[:, None] * K + k[None, :]
    m1 = tl.zeros((Q, Q), tl.float32)
    m2 = tl.zeros((Q, Q), tl.float32)
    m3 = tl.zeros((Q, Q), tl.float32)
    m4 = tl.zeros((Q, Q), tl.float32)
    w1 = tl.zeros((Q, K), tl.float32)
    w2 = tl.zeros((Q, K), tl.float32)
    w3 = tl.zeros((Q, K), tl.float32)
    w4 = tl.zeros((Q, K), tl.float32)
    dt = tl.zeros((K,), tl.float32)
    for part in range(0, V, P):
        x = part + tl.arange(0, P)
        vv = tile(v + row, i, x, H * V, T - c * Q, V)
        a = tile(writes + row, i, x, H * V, T - c * Q, V)
        dzv = tile(dz + row, i, x, H * V, T - c * Q, V)
        dyv = tile(dy + row, i, x, H * V, T - c * Q, V)
        state = tile(states + cell * (K * V), k, x, V, K, V)
        ds = tile(dstates + cell * (K * V), k, x, V, K, V)
        m1 = tl.dot(dzv, tl.trans(a), m1)
        m2 = tl.dot(dzv, tl.trans(vv), m2)
        m3 = tl.dot(dyv, tl.trans(a), m3)
        m4 = tl.dot(dyv, tl.trans(vv), m4)
        w1 = tl.dot(dzv, tl.trans(state), w1)
        w2 = tl.dot(dyv, tl.trans(state), w2)
        w3 = tl.dot(a, tl.trans(ds), w3)
        w4 = tl.dot(vv, tl.trans(ds), w4)
        dt += tl.sum(state.to(tl.float32) * ds.to(tl.float32), 1)
        out = tl.dot(tl.trans(tl.load(rk + square)), dzv)
        out = tl.dot(tl.trans(tl.load(qk + square)), dyv, out)
        out = tl.dot(tl.load(leaves + wide), ds, out)
        tl.store(dv + row + i[:, None] * (H * V) + x[None, :], out.to(E), mask=(i < T - c * Q)[:, None] & (x < V)[None, :])
    tl.store(dre + square, m1.to(E))
    tl.store(drk + square, m2.to(E))
    tl.store(dqe + square, m3.to(E))
    tl.store(dqk + square, m4.to(E))
    tl.store(dreads + wide, w1.to(E))
    tl.store(denters + wide, w2.to(E))
    tl.store(derases + wide, w3.to(E))
    tl.store(dleaves + wide, w4.to(E))
    tl.store(dtotal + cell * K + k, dt * tl.exp(tl.load(total + cell * K + k)))


KEYS = [16, 32, 64, 128]
QUERY, PART = 64, 32
HALF, FULL = "bf16", "fp32"
CHUNK = dict(inverse=HALF, scores=HALF, reads=HALF, enters=HALF, leaves=HALF, total=FULL, beta=FULL)
WALK = dict(CHUNK, v=HALF, first=FULL, y=HALF, states=HALF, writes=HALF, last=FULL)
ADJOINT = dict(CHUNK, dy=HALF, dlast=FULL, dstates=HALF, dv=HALF, dfirst=FULL)
BACKWARD = dict(total=FULL, beta=FULL, writes=HALF, states=HALF, dstates=HALF, dv=HALF, dy=HALF, dpairs=HALF, dscores=HALF, dreads=HALF,
                denters=HALF, dleaves=HALF, dtotal=FULL, dbeta=FULL)
GENERAL = dict({n: HALF for n in "inverse rk qe qk reads enters erases leaves v y states writes".split()}, total=FULL, first=FULL, last=FULL)
GENERAL_ADJOINT = dict({n: HALF for n in "inverse qe reads enters erases dy dstates dz".split()}, total=FULL, dlast=FULL, dfirst=FULL)
GENERAL_BACKWARD = dict({n: HALF for n in ("rk qk leaves v writes states dstates dz dy dre drk dqe dqk dreads denters derases dleaves dv").split()},
                        total=FULL, dtotal=FULL)
KERNELS = {"walk": (delta_walk, WALK), "adjoint": (delta_adjoint, ADJOINT), "walk-backward": (delta_walk_backward, BACKWARD),
           "general-walk": (delta_general_walk, GENERAL), "general-adjoint": (delta_general_adjoint, GENERAL_ADJOINT),
           "general-walk-backward": (delta_general_walk_backward, GENERAL_BACKWARD)}


def texts():
    for K in KEYS:
        for name, (kernel, pointers) in KERNELS.items():
            yield dict(file=f"{name}-{K}", kernel=kernel, pointers=pointers, constants=dict(K=K, P=PART, Q=QUERY))


def check(T, V):
    import torch
    torch.manual_seed(0)
    b, H, K, P, Q = 2, 2, 16, 32, 64
    n = -(-T // Q)
    pairs = torch.randn(b, n, H, Q, Q).tril(-1) / 30
    scores, reads, enters, keys = (torch.randn(b, n, H, Q, size) for size in (Q, K, K, K))
    total, beta, v, first = -torch.rand(b, n, H, K) * 3, torch.rand(b, T, H), torch.randn(b, T, H, V), torch.randn(b, H, K, V)
    beta[:, 0] = 0
    dy, dlast = torch.randn(b, T, H, V), torch.randn(b, H, K, V)

    inputs = [pairs, scores, reads, enters, keys, total, beta, v, first]
    leaves = [t.double().requires_grad_() for t in inputs]
    pair, score, read, enter, key, sums, share, value, state = leaves
    cut = lambda t: torch.cat([t, t.new_zeros(b, n * Q - T, H, t.shape[3])], 1).view(b, n, Q, H, -1).transpose(2, 3)
    share, value = cut((share + LEAST.value * (beta == 0))[..., None]), cut(value)
    inverse = torch.linalg.inv(torch.eye(Q).double() + pair * share.transpose(3, 4))
    ys, entering, writes = [], [], []
    for c in range(n):
        entering.append(state)
        writes.append(inverse[:, c] @ (value[:, c] - read[:, c] @ state))
        u = share[:, c] * writes[-1]
        ys.append(enter[:, c] @ state + score[:, c] @ u)
        state = sums[:, c].exp()[..., None] * state + key[:, c].transpose(2, 3) @ u
    whole = lambda xs: torch.stack(xs, 1).transpose(2, 3).reshape(b, n * Q, H, V)[:, :T]
    y = whole(ys)
    ((y * dy.double()).sum() + (state * dlast.double()).sum()).backward()

    sizes, rest, parts = (T, H, V, n), (K, P, Q), -(-V // P)
    chunk = [inverse.detach().float().contiguous(), scores, reads, enters, keys, total, beta]
    got = [torch.zeros_like(dy), torch.zeros(b, n, H, K, V), torch.zeros_like(v), torch.zeros_like(first)]
    delta_walk[(H, parts, b)](*chunk, v, first, *got, *sizes, *rest)
    dstates, dv, dfirst = torch.zeros_like(got[1]), torch.zeros_like(v), torch.zeros_like(first)
    delta_adjoint[(H, parts, b)](*chunk, dy, dlast, dstates, dv, dfirst, *sizes, *rest)
    grads = [torch.zeros_like(t) for t in inputs[:7]]
    delta_walk_backward[(H, n, b)](total, beta, got[2], got[1], dstates, dv, dy, *grads, *sizes, *rest)
    grads[0] = grads[0].tril(-1)
    bad = 0
    names = "y states writes last dpairs dscores dreads denters dleaves dtotal dbeta dv dfirst".split()
    want = [y, torch.stack(entering, 1), whole(writes), state] + [leaf.grad for leaf in leaves]
    want[4] = want[4].tril(-1)
    for name, x, w in zip(names, got + grads + [dv, dfirst], want):
        ratio = ((x.double() - w.detach()).norm() / w.detach().norm()).item()
        print(f"{name:7} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


def check_general(T, V, gates):
    """All of the general form's kernels against the recurrence, token by token."""
    import inside
    import torch
    torch.manual_seed(0)
    b, H, K, P, Q, S = 1, 2, 32, 16, 64, 16
    n = -(-T // Q)
    unit = lambda t: t / t.norm(dim=-1, keepdim=True)
    q, k, r, v = unit(torch.randn(b, T, H, K)), unit(torch.randn(b, T, H, K)), unit(torch.randn(b, T, H, K)), torch.randn(b, T, H, V)
    r[:, 5:20] = r[:, 4:5]
    e, g, first = r * torch.rand(b, T, H, 1), gates(torch.rand(b, T, H, K)), torch.randn(b, H, K, V)
    dy, dlast = torch.randn(b, T, H, V), torch.randn(b, H, K, V)

    leaves = [t.double().requires_grad_() for t in (q, k, v, r, e, g, first)]
    state, ys = leaves[6], []
    for t in range(T):
        qt, kt, vt, rt, et, gt = (leaf[:, t] for leaf in leaves[:6])
        read = torch.einsum("bhk,bhkv->bhv", rt, state)
        state = gt.exp()[..., None] * state - et[..., None] * read[..., None, :] + kt[..., None] * vt[..., None, :]
        ys.append(torch.einsum("bhk,bhkv->bhv", qt, state))
    y = torch.stack(ys, 1)
    ((y * dy.double()).sum() + (state * dlast.double()).sum()).backward()

    sizes, rest, parts, full = (T, H, V, n), (K, 32, Q), -(-V // 32), lambda *dims: torch.full(dims, float("nan"))
    ofpairs = lambda: [full(b, n, H, Q, Q) for _ in range(4)] + [full(b, n, H, Q, K) for _ in range(4)] + [full(b, n, H, K)]
    i, o = ofpairs(), ofpairs()
    inside.delta_general[(H, n, b)](q, k, r, e, g, *i, T, H, n, K, P, Q, S)
    got, back, dv = [full(*v.shape), full(b, n, H, K, V), full(*v.shape), full(b, H, K, V)], [full(b, n, H, K, V), full(*v.shape), full(b, H, K, V)], full(*v.shape)
    delta_general_walk[(H, parts, b)](*i, v, first, *got, *sizes, *rest)
    delta_general_adjoint[(H, parts, b)](i[0], i[2], *i[4:7], i[8], dy, dlast, *back, *sizes, *rest)
    delta_general_walk_backward[(H, n, b)](i[1], i[3], i[7], i[8], v, got[2], got[1], *back[:2], dy, *o, dv, *sizes, *rest)
    inner = [full(*q.shape) for _ in range(5)]
    inside.delta_general_backward[(H * K // P, n, b)](q, k, r, e, g, *o, *inner, T, H, n, K, P, Q, S)
    bad = 0
    results = [got[0], got[3], *inner[:2], dv, *inner[2:], back[2]]
    for name, x, w in zip("y last dq dk dv dr de dg dfirst".split(), results, [y, state] + [leaf.grad for leaf in leaves]):
        ratio = ((x.double() - w.detach()).norm() / w.detach().norm().clamp(min=1.0)).item()
        print(f"{name:7} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    kinds = (lambda x: -x, lambda x: 0 * x, lambda x: 0 * x - 1e30, lambda x: (-x).where(x < 0.8, -1e30))
    sys.exit(check(150, 64) + check(50, 24) + sum(check_general(T, V, gates) for T, V in ((100, 40), (50, 24)) for gates in kinds))
