"""What the vector gate does inside a chunk as Triton kernels, one program per (head, chunk, sequence), and their text for XLA.

With c_i the log decay from the chunk's start to after token i, r_i that to where it reads (c_i, or c_(i-1) with BEFORE), of a
chunk of Q tokens in blocks of S:

    scores_ij = Σ_k q_ik k_jk e^(r_ik - c_jk) for j < i, Σ_k q_ik k_ik u_k for j = i, 0 for j > i        [batch, chunk, H, Q, Q]
    enters_i = q_i e^(r_i)    leaves_j = k_j e^(total - c_j)    [batch, chunk, H, Q, K]        total = c_Q    [batch, chunk, H, K]

q and k are [batch, T, H, K], g (log decays, not positive) float32 of the same shape, u float32 [models, H, K], a model has ROWS
sequences. Pairs of one block are compared key by key. Of others, e^(r_i - c_j) is one factor up to the start of i's block and one
from there. Every exponent is the sum of its own gates, never a difference of longer sums: none is positive, and a gate of -1e30
hides none of its neighbours.

    python inside.py     compares with float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def rows(base, i, x, stride, mask):
    return tl.load(base + i[:, None] * stride + x[None, :], mask=mask[:, None], other=0.0).to(tl.float32)


@triton.jit
def vector_inside(q, k, g, u, scores, enters, leaves, total, T, H, BEFORE, ROWS, CHUNKS,
                  K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = q.dtype.element_ty
    i = tl.arange(0, Q)
    at = i % S
    block = i // S
    left = T - c * Q  # tokens from here to the sequence's end
    token = ((b.to(tl.int64) * T + c * Q) * H + h) * K
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    # Pairs of one block: a token of its later half, with those before it, and the one as far from the start as that is from the end
    # have S - 1 pairs together, one for each step.
    r = tl.arange(0, Q // 2)
    start = r // (S // 2) * S
    high = S // 2 + r % (S // 2)
    steps = tl.arange(0, P)
    near = tl.zeros((Q // 2, P), tl.float32)
    own = tl.zeros((Q,), tl.float32)
    far = tl.zeros((Q, Q), tl.float32)
    for part in range(0, K, P):
        x = part + tl.arange(0, P)
        qv = rows(q + token, i, x, H * K, i < left)
        kv = rows(k + token, i, x, H * K, i < left)
        uv = tl.load(u + (b // ROWS * H + h) * K + x)
        own += tl.sum(qv * kv * uv[None, :], 1)
        decays = tl.zeros((Q // 2, P), tl.float32)
        some = tl.zeros((Q // 2, P), tl.float32)
        for step in range(1, S):
            d = tl.where(step <= high, step, step - high)
            reads = start + tl.where(step <= high, high, S - 1 - high)
            gate = rows(g + token, reads - d + 1, x, H * K, (reads < left) & (d > BEFORE))
            decays = tl.where((d == 1)[:, None], 0.0, decays) + gate
            pair = rows(q + token, reads, x, H * K, reads < left) * rows(k + token, reads - d, x, H * K, reads < left)
            some = tl.where(steps[None, :] == step, tl.sum(pair * tl.exp(decays), 1)[:, None], some)
        near += some
        # from the block's start to where i reads, and from after i to the block's end
        late = rows(g + token, i - BEFORE, x, H * K, (i < left) & (at >= BEFORE))
        late = tl.reshape(tl.cumsum(tl.reshape(late, (Q // S, S, P)), 1), (Q, P))
        early = rows(g + token, i + 1, x, H * K, (i + 1 < left) & (at + 1 < S))
        early = tl.reshape(tl.cumsum(tl.reshape(early, (Q // S, S, P)), 1, reverse=True), (Q, P))
        qe = qv * tl.exp(late)
        kl = kv * tl.exp(early)
        ql = qe.to(E)
        gv = rows(g + token, i, x, H * K, i < left)
        sums = tl.zeros((P,), tl.float32)
        for a in tl.static_range(1, Q // S + 1):
            whole = tl.sum(tl.where((block == a - 1)[:, None], gv, 0.0), 0)
            sums += whole
            decay = tl.exp(whole)[None, :]
            kl = tl.where((block < a - 1)[:, None], kl * decay, kl)  # from the start of block a
            qe = tl.where((block >= a)[:, None], qe * decay, qe)
            if a < Q // S:
                qa = tl.where((block == a)[:, None], ql, 0.0).to(E)
                kb = tl.where((block < a)[:, None], kl, 0.0).to(E)
                far = tl.dot(qa, tl.trans(kb), far)
        out = cell * (Q * K) + i[:, None] * K + x[None, :]
        tl.store(enters + out, qe.to(E))
        tl.store(leaves + out, kl.to(E))
        tl.store(total + cell * K + x, sums)
    square = scores + cell * (Q * Q)
    tl.store(square + i[:, None] * Q + i[None, :], far.to(E), mask=(block[:, None] != block[None, :]) | (i[:, None] < i[None, :]))
    tl.store(square + i * Q + i, own.to(E))
    step = steps[None, :] + tl.zeros((Q // 2, 1), tl.int32)
    first = step <= high[:, None]
    reads = start[:, None] + tl.where(first, high[:, None], S - 1 - high[:, None])
    tl.store(square + reads * Q + reads - tl.where(first, step, step - high[:, None]), near.to(E), mask=(step > 0) & (step < S))


@triton.jit
def vector_inside_backward(q, k, g, u, dscores, denters, dleaves, dtotal, dq, dk, dg, du, T, H, BEFORE, ROWS, CHUNKS,
                           K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    """The gradients of P keys; du [batch, chunk, H, K] is of one chunk."""
    h = tl.program_id(0) // (K // P)
    x = tl.program_id(0) % (K // P) * P + tl.arange(0, P)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = q.dtype.element_ty
    i = tl.arange(0, Q)
    at = i % S
    block = i // S
    left = T - c * Q
    token = ((b.to(tl.int64) * T + c * Q) * H + h) * K
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    pairs = dscores + cell * (Q * Q)
    qv = rows(q + token, i, x, H * K, i < left)
    kv = rows(k + token, i, x, H * K, i < left)
    late = tl.zeros((Q, P), tl.float32)
    decays = tl.zeros((Q, P), tl.float32)
    dqv = tl.zeros((Q, P), tl.float32)
    dkv = tl.zeros((Q, P), tl.float32)
    for step in range(1, S):  # the other S - 1 tokens of the block: those before i, nearest first, then those after
        back = step <= at
        d = tl.where(back, step, step - at)
        there = tl.where(back, i - d, i + d)
        gate = tl.where(back, there + 1, there - BEFORE)
        decays = tl.where((d == 1)[:, None], 0.0, decays) + rows(g + token, gate, x, H * K, (tl.maximum(i, gate) < left) & (d > BEFORE))
        live = tl.maximum(i, there) < left
        pair = tl.load(pairs + tl.maximum(i, there) * Q + tl.minimum(i, there), mask=live, other=0.0).to(tl.float32)
        both = pair[:, None] * tl.exp(decays)
        dqv += both * rows(k + token, there, x, H * K, live & back)
        dkv += both * rows(q + token, there, x, H * K, live & (step > at))
        late = tl.where((step == at)[:, None], decays, late)
    # from the block's start to where i reads, and from after i to the block's end
    late += rows(g + token, i - at, x, H * K, (i < left) & (at >= BEFORE))
    end = i - at + S - 1
    early = tl.where((at == S - 1)[:, None], 0.0, decays) + rows(g + token, end, x, H * K, (end < left) & (i < end) & (BEFORE > 0))
    late = tl.exp(late)
    enter = late
    leave = tl.exp(early)
    ql = (qv * late).to(E)
    gv = rows(g + token, i, x, H * K, i < left)
    # What a pair gives to the sums at both its ends is made of the same rounded factors and cancels in the gates outside of it.
    reads = qv * dqv
    writes = kv * dkv
    far = tl.zeros((Q, P), tl.float32)
    for a in tl.static_range(1, Q // S + 1):
        decay = tl.exp(tl.sum(tl.where((block == a - 1)[:, None], gv, 0.0), 0))[None, :]
        leave = tl.where((block < a - 1)[:, None], leave * decay, leave)
        enter = tl.where((block >= a)[:, None], enter * decay, enter)
        if a < Q // S:
            qa = tl.where((block == a)[:, None], ql, 0.0).to(E)
            kb = tl.where((block < a)[:, None], kv * leave, 0.0).to(E)
            mine = (block[:, None] == a) & (block[None, :] < a)
            da = tl.load(pairs + i[:, None] * Q + i[None, :], mask=mine, other=0.0)
            far = tl.dot(da, kb, far)
            change = tl.dot(tl.trans(da), qa)
            dkv += leave * change
            writes += kb.to(tl.float32) * change
    out = cell * (Q * K)
    entering = enter * rows(denters + out, i, x, K, i < Q)
    leaving = leave * rows(dleaves + out, i, x, K, i < Q)
    dqv += late * far + entering
    dkv += leaving
    reads += ql.to(tl.float32) * far + qv * entering
    writes += kv * leaving
    flow = tl.cumsum(reads.to(tl.float64) - writes.to(tl.float64), 0, reverse=True)
    if BEFORE > 0:
        flow -= reads.to(tl.float64)
    flow += (tl.sum(kv * leaving, 0) + tl.load(dtotal + cell * K + x))[None, :].to(tl.float64)
    own = tl.load(pairs + i * Q + i).to(tl.float32)[:, None]
    uv = tl.load(u + (b // ROWS * H + h) * K + x)[None, :]
    tl.store(du + cell * K + x, tl.sum(own * qv * kv, 0))
    out = token + i[:, None] * (H * K) + x[None, :]
    live = (i < left)[:, None] & (x >= 0)[None, :]
    tl.store(dg + out, flow.to(tl.float32), mask=live)
    tl.store(dq + out, (dqv + own * kv * uv).to(E), mask=live)
    tl.store(dk + out, (dkv + own * qv * uv).to(E), mask=live)


KEYS = [16, 32, 64, 128]
QUERY, BLOCK, PART = 64, 16, 32
HALF, FULL = "bf16", "fp32"
INSIDE = dict(q=HALF, k=HALF, g=FULL, u=FULL, scores=HALF, enters=HALF, leaves=HALF, total=FULL)
BACKWARD = dict(q=HALF, k=HALF, g=FULL, u=FULL, dscores=HALF, denters=HALF, dleaves=HALF, dtotal=FULL, dq=HALF, dk=HALF, dg=FULL, du=FULL)
KERNELS = {"inside": (vector_inside, INSIDE), "inside-backward": (vector_inside_backward, BACKWARD)}


def texts():
    for K in KEYS:
        for name, (kernel, pointers) in KERNELS.items():
            constants = dict(K=K, P=min(K, PART), Q=QUERY, S=BLOCK)
            yield dict(file=f"{name}-{K}", kernel=kernel, pointers=pointers, constants=constants)


def check(T, before, gates):
    import torch
    torch.manual_seed(0)
    b, H, K, P, Q, S = 2, 2, 32, 16, 64, 16
    n = -(-T // Q)
    q, k, u = torch.randn(b, T, H, K), torch.randn(b, T, H, K), torch.randn(b, H, K)  # two models of one row
    g = gates(torch.rand(b, T, H, K))
    adjoints = [torch.randn(b, n, H, *shape) for shape in ((Q, Q), (Q, K), (Q, K), (K,))]

    leaves = [t.double().requires_grad_() for t in (q, k, g, u)]
    cut = lambda t: torch.cat([t, t.new_zeros(b, n * Q - T, H, K)], 1).view(b, n, Q, H, K).transpose(2, 3)
    qr, kr, gr = map(cut, leaves[:3])
    i, j, l = torch.meshgrid(*[torch.arange(Q)] * 3, indexing="ij")
    between = ((l > j) & (l <= i - before)).double()
    w = torch.einsum("ijl,bnhlk->bnhijk", between, gr).exp() * (j < i)[..., :1]
    w = w + torch.eye(Q).double()[..., None] * leaves[3][:, None, :, None, None]
    upto = (torch.arange(Q)[None] <= torch.arange(Q)[:, None] - before).double()
    beyond = (torch.arange(Q)[None] > torch.arange(Q)[:, None]).double()
    want = [torch.einsum("bnhik,bnhjk,bnhijk->bnhij", qr, kr, w), qr * torch.einsum("il,bnhlk->bnhik", upto, gr).exp(),
            kr * torch.einsum("il,bnhlk->bnhik", beyond, gr).exp(), gr.sum(3)]
    sum((x * d.double()).sum() for x, d in zip(want, adjoints)).backward()

    got = [torch.zeros_like(d) for d in adjoints]
    vector_inside[(H, n, b)](q, k, g, u, *got, T, H, before, 1, n, K, P, Q, S)
    grads = [torch.zeros_like(t) for t in (q, k, g)] + [torch.zeros(b, n, H, K)]
    vector_inside_backward[(H * K // P, n, b)](q, k, g, u, *adjoints, *grads, T, H, before, 1, n, K, P, Q, S)
    grads[3] = grads[3].sum(1)
    bad = 0
    names = ("scores", "enters", "leaves", "total", "dq", "dk", "dg", "du")
    for name, x, y in zip(names, got + grads, want + [leaf.grad for leaf in leaves]):
        ratio = ((x.double() - y.detach()).norm() / y.detach().norm().clamp(min=1e-30)).item()
        print(f"{name:6} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


def mixed(x):
    """Gates of -1e30 beside ordinary ones."""
    return (-x).where(x < 0.8, -1e30)


if __name__ == "__main__":
    kinds = (lambda x: -x, lambda x: 0 * x, lambda x: 0 * x - 1e30, mixed)
    sys.exit(sum(check(T, before, gates) for T, before in ((90, 0), (50, 1)) for gates in kinds))
