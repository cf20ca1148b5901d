"""What the delta rule does inside a chunk as Triton kernels, one program per (head, chunk, sequence), and their text for XLA.

With γ_ij the log decays after token j up to i, c_i those of the chunk up to i, of a chunk of Q tokens,

    pairs_ij = Σ_k k_ik k_jk e^(γ_ij) for j < i     T = (I + pairs diag(β))^-1      [batch, chunk, H, Q, Q]
    scores_ij = Σ_k q_ik k_jk e^(γ_ij) for j ≤ i, 0 for j > i                       [batch, chunk, H, Q, Q]
    reads_i = k_i e^(c_i)    enters_i = q_i e^(c_i)    leaves_j = k_j e^(γ_Qj)      [batch, chunk, H, Q, K]    total = c_Q [batch, chunk, H, K]

q and k are [batch, T, H, K], beta is float32 [batch, T, H], g (log decays, not positive) float32: [batch, T, H] for delta_inside, [batch, T,
H, K] for delta_keyed. T is made in float32, by forward substitution in blocks of S and products between them, and multiplies true
inverses only. Where each key has a decay, pairs of one block are compared key by key; of others, e^γ is one factor up to the start of
i's block and one from there. Every exponent is the sum of its own gates, never a difference of longer sums: none is positive, and a
gate of -1e30 hides none of its neighbours. delta_general is of the form that erases along a direction of its own; walk.py checks it.

    python inside.py     compares with float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl

LEAST = tl.constexpr(1e-18)  # walk.py tells why


@triton.jit
def rows(base, i, x, stride, mask):
    return tl.load(base + i[:, None] * stride + x[None, :], mask=mask[:, None], other=0.0)


@triton.jit
def shares(beta, i, stride, rows):
    b = tl.load(beta + i * stride, mask=i < rows, other=0.0)
    return tl.where(tl.abs(b) < LEAST, LEAST, b)


@triton.jit
def spread(x, Q: tl.constexpr, S: tl.constexpr):
    """[Q, Q] of the blocks [Q, S] on its diagonal, which it repeats beside it."""
    return tl.reshape(tl.broadcast_to(tl.reshape(x, (Q, 1, S)), (Q, Q // S, S)), (Q, Q))


@triton.jit
def inverse(lower, i, Q: tl.constexpr, S: tl.constexpr):
    """(I + lower)^-1 of a strictly lower triangular matrix [Q, Q]."""
    N: tl.constexpr = Q // S
    block = i // S
    near = tl.sum(tl.reshape(tl.where(block[:, None] == block[None, :], lower, 0.0), (Q, N, S)), 1)
    x = -tl.reshape(near, (N, S, S))
    r = tl.arange(0, S)[None, :, None]
    for s in range(2, S):
        row = tl.sum(tl.where(r == s, x, 0.0), 1)
        row += tl.sum(row[:, :, None] * x, 1)
        x = tl.where(r == s, row[:, None, :], x)
    x = spread(tl.reshape(x, (Q, S)), Q, S)
    t = tl.where(block[:, None] == block[None, :], x, 0.0) + tl.where(i[:, None] == i[None, :], 1.0, 0.0)
    for level in tl.static_range(0, 2):  # joins two blocks each
        half = block // (1 << level)
        joined = (half[:, None] != half[None, :]) & ((half // 2)[:, None] == (half // 2)[None, :])
        corner = tl.where(joined, lower, 0.0)
        t -= tl.dot(tl.dot(t, corner, input_precision="tf32x3"), t, input_precision="tf32x3")
    return t


@triton.jit
def gaps(g, i, H, left, Q: tl.constexpr):
    """γ of every pair [Q, Q], 0 for j ≥ i; the decays up to each token and after it [Q]."""
    gv = tl.load(g + i * H, mask=i < left, other=0.0)
    after = tl.load(g + (i + 1) * H, mask=(i + 1 < left) & (i + 1 < Q), other=0.0)
    gap = tl.cumsum(tl.where(i[:, None] > i[None, :], gv[:, None], 0.0), 0)
    return gap, tl.cumsum(gv, 0), tl.cumsum(after, 0, reverse=True), tl.sum(gv, 0)


@triton.jit
def delta_inside(q, k, beta, g, solved, scores, reads, enters, leaves, total, T, H, CHUNKS, K: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = q.dtype.element_ty
    i = tl.arange(0, Q)
    x = tl.arange(0, K)
    left = T - c * Q  # tokens from here to the sequence's end
    row = (b.to(tl.int64) * T + c * Q) * H + h
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    wide = cell * (Q * K) + i[:, None] * K + x[None, :]
    qv = rows(q + row * K, i, x, H * K, i < left)
    kv = rows(k + row * K, i, x, H * K, i < left)
    gap, upto, beyond, whole = gaps(g + row, i, H, left, Q)
    decay = tl.exp(gap)
    kt = tl.trans(kv)
    tl.store(scores + square, tl.where(i[:, None] >= i[None, :], tl.dot(qv, kt) * decay, 0.0).to(E))
    enter = tl.exp(upto)[:, None]
    tl.store(reads + wide, (kv * enter).to(E))
    tl.store(enters + wide, (qv * enter).to(E))
    tl.store(leaves + wide, (kv * tl.exp(beyond)[:, None]).to(E))
    tl.store(total + cell * K + x, whole + tl.zeros((K,), tl.float32))
    lower = tl.where(i[:, None] > i[None, :], tl.dot(kv, kt) * decay * shares(beta + row, i, H, left)[None, :], 0.0)
    tl.store(solved + square, inverse(lower, i, Q, S).to(E))


@triton.jit
def delta_inside_backward(q, k, g, dpairs, dscores, dreads, denters, dleaves, dtotal, dq, dk, dg, T, H, CHUNKS,
                          K: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = q.dtype.element_ty
    i = tl.arange(0, Q)
    x = tl.arange(0, K)
    left = T - c * Q
    row = (b.to(tl.int64) * T + c * Q) * H + h
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    wide = cell * (Q * K) + i[:, None] * K + x[None, :]
    qv = rows(q + row * K, i, x, H * K, i < left)
    kv = rows(k + row * K, i, x, H * K, i < left)
    gap, upto, beyond, whole = gaps(g + row, i, H, left, Q)
    decay = tl.exp(gap)
    later = i[:, None] > i[None, :]
    dp = tl.where(later, tl.load(dpairs + square) * decay, 0.0)
    dm = tl.where(i[:, None] >= i[None, :], tl.load(dscores + square) * decay, 0.0)
    kt = tl.trans(kv)
    flow = tl.where(later, dp * tl.dot(kv, kt) + dm * tl.dot(qv, kt), 0.0)
    flow = tl.sum(tl.where(later, tl.cumsum(flow, 0, reverse=True), 0.0), 1)
    dp = dp.to(E)
    dm = dm.to(E)
    enter = tl.exp(upto)[:, None]
    fromq = enter * tl.load(denters + wide)
    fromk = enter * tl.load(dreads + wide)
    leaving = tl.exp(beyond)[:, None] * tl.load(dleaves + wide)
    entered = tl.sum(qv * fromq + kv * fromk, 1)
    left_to = tl.sum(kv * leaving, 1)
    flow += tl.cumsum(entered, 0, reverse=True) + tl.cumsum(left_to, 0) - left_to + tl.sum(tl.load(dtotal + cell * K + x), 0)
    out = row * K + i[:, None] * (H * K) + x[None, :]
    live = (i < left)[:, None] & (x >= 0)[None, :]
    fromq = tl.dot(dm, kv, fromq)
    fromk = tl.dot(dp, kv, fromk + leaving)
    fromk = tl.dot(tl.trans(dp), kv, fromk)
    fromk = tl.dot(tl.trans(dm), qv, fromk)
    tl.store(dq + out, fromq.to(E), mask=live)
    tl.store(dk + out, fromk.to(E), mask=live)
    tl.store(dg + row + i * H, flow, mask=i < left)


@triton.jit
def wider(base, i, x, stride, mask):
    return rows(base, i, x, stride, mask).to(tl.float32)


@triton.jit
def delta_keyed(q, k, beta, g, solved, scores, reads, enters, leaves, total, T, H, CHUNKS,
                K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = q.dtype.element_ty
    i = tl.arange(0, Q)
    at = i % S
    block = i // S
    left = T - c * Q
    row = (b.to(tl.int64) * T + c * Q) * H + h
    token = row * K
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    column = tl.arange(0, S)[None, :]
    nearq = tl.zeros((Q, S), tl.float32)  # pairs of one block
    neark = tl.zeros((Q, S), tl.float32)
    farq = tl.zeros((Q, Q), tl.float32)
    fark = tl.zeros((Q, Q), tl.float32)
    for part in range(0, K, P):
        x = part + tl.arange(0, P)
        qv = wider(q + token, i, x, H * K, i < left)
        kv = wider(k + token, i, x, H * K, i < left)
        someq = tl.where(column == at[:, None], tl.sum(qv * kv, 1)[:, None], 0.0)
        somek = tl.zeros((Q, S), tl.float32)
        late = tl.zeros((Q, P), tl.float32)  # from d tokens back, at last from the block's start, to i
        for d in range(1, S + 1):
            late += rows(g + token, i - d + 1, x, H * K, (i < left) & (at >= d - 1))
            kd = rows(k + token, i - d, x, H * K, (i < left) & (at >= d)) * tl.exp(late)
            here = column == (at - d)[:, None]
            someq = tl.where(here, tl.sum(qv * kd, 1)[:, None], someq)
            somek = tl.where(here, tl.sum(kv * kd, 1)[:, None], somek)
        nearq += someq
        neark += somek
        after = rows(g + token, i + 1, x, H * K, (i + 1 < left) & (at + 1 < S))
        early = tl.cumsum(tl.reshape(after, (Q // S, S, P)), 1, reverse=True)  # from after i to the block's end
        enter = tl.exp(late)
        leave = tl.exp(tl.reshape(early, (Q, P)))
        ql = (qv * enter).to(E)
        kr = (kv * enter).to(E)
        gv = rows(g + token, i, x, H * K, i < left)
        sums = tl.zeros((P,), tl.float32)
        for a in tl.static_range(1, Q // S + 1):
            whole = tl.sum(tl.where((block == a - 1)[:, None], gv, 0.0), 0)
            sums += whole
            decay = tl.exp(whole)[None, :]
            leave = tl.where((block < a - 1)[:, None], leave * decay, leave)  # from the start of block a
            enter = tl.where((block >= a)[:, None], enter * decay, enter)
            if a < Q // S:
                mine = (block == a)[:, None]
                kb = tl.trans(tl.where((block < a)[:, None], kv * leave, 0.0).to(E))
                farq = tl.dot(tl.where(mine, ql, 0.0).to(E), kb, farq)
                fark = tl.dot(tl.where(mine, kr, 0.0).to(E), kb, fark)
        wide = cell * (Q * K) + i[:, None] * K + x[None, :]
        tl.store(reads + wide, (kv * enter).to(E))
        tl.store(enters + wide, (qv * enter).to(E))
        tl.store(leaves + wide, (kv * leave).to(E))
        tl.store(total + cell * K + x, sums)
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    same = block[:, None] == block[None, :]
    tl.store(scores + square, tl.where(same, spread(nearq, Q, S), farq).to(E))
    lower = tl.where(same, spread(neark, Q, S), fark) * shares(beta + row, i, H, left)[None, :]
    tl.store(solved + square, inverse(lower, i, Q, S).to(E))


@triton.jit
def delta_keyed_backward(q, k, g, dpairs, dscores, dreads, denters, dleaves, dtotal, dq, dk, dg, T, H, CHUNKS,
                         K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    """The gradients of P keys."""
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
    ofq = dscores + cell * (Q * Q)
    ofk = dpairs + cell * (Q * Q)
    qv = wider(q + token, i, x, H * K, i < left)
    kv = wider(k + token, i, x, H * K, i < left)
    late = tl.zeros((Q, P), tl.float32)
    early = tl.zeros((Q, P), tl.float32)
    dqv = tl.zeros((Q, P), tl.float32)
    dread = tl.zeros((Q, P), tl.float32)  # of k where i reads, and where it is read
    dkv = tl.zeros((Q, P), tl.float32)
    for d in range(1, S + 1):
        late += rows(g + token, i - d + 1, x, H * K, (i < left) & (at >= d - 1))
        back = (i < left) & (at >= d)
        ahead = (i + d < left) & (at + d < S)
        early += rows(g + token, i + d, x, H * K, ahead)
        kd = rows(k + token, i - d, x, H * K, back) * tl.exp(late)
        dqv += tl.load(ofq + i * Q + i - d, mask=back, other=0.0)[:, None] * kd
        dread += tl.load(ofk + i * Q + i - d, mask=back, other=0.0)[:, None] * kd
        some = tl.load(ofq + (i + d) * Q + i, mask=ahead, other=0.0)[:, None] * wider(q + token, i + d, x, H * K, ahead)
        some += tl.load(ofk + (i + d) * Q + i, mask=ahead, other=0.0)[:, None] * wider(k + token, i + d, x, H * K, ahead)
        dkv += some * tl.exp(early)
    late = tl.exp(late)
    enter = late
    leave = tl.exp(early)
    ql = (qv * late).to(E)
    kr = (kv * late).to(E)
    gv = rows(g + token, i, x, H * K, i < left)
    # What a pair gives to the sums at both its ends is made of the same rounded factors and cancels in the gates outside of it.
    read = qv * dqv + kv * dread
    written = kv * dkv
    farq = tl.zeros((Q, P), tl.float32)
    fark = tl.zeros((Q, P), tl.float32)
    for a in tl.static_range(1, Q // S + 1):
        decay = tl.exp(tl.sum(tl.where((block == a - 1)[:, None], gv, 0.0), 0))[None, :]
        leave = tl.where((block < a - 1)[:, None], leave * decay, leave)
        enter = tl.where((block >= a)[:, None], enter * decay, enter)
        if a < Q // S:
            kb = tl.where((block < a)[:, None], kv * leave, 0.0).to(E)
            mine = (block[:, None] == a) & (block[None, :] < a)
            dm = tl.load(ofq + i[:, None] * Q + i[None, :], mask=mine, other=0.0)
            dp = tl.load(ofk + i[:, None] * Q + i[None, :], mask=mine, other=0.0)
            farq = tl.dot(dm, kb, farq)
            fark = tl.dot(dp, kb, fark)
            some = tl.dot(tl.trans(dm), tl.where((block == a)[:, None], ql, 0.0).to(E))
            some = tl.dot(tl.trans(dp), tl.where((block == a)[:, None], kr, 0.0).to(E), some)
            dkv += leave * some
            written += kb.to(tl.float32) * some
    wide = cell * (Q * K) + i[:, None] * K + x[None, :]
    entering = enter * tl.load(denters + wide)
    reading = enter * tl.load(dreads + wide)
    leaving = leave * tl.load(dleaves + wide)
    dqv += late * farq + entering
    dread += late * fark + reading
    dkv += leaving
    read += ql.to(tl.float32) * farq + kr.to(tl.float32) * fark + qv * entering + kv * reading
    written += kv * leaving
    flow = tl.cumsum(read.to(tl.float64) - written.to(tl.float64), 0, reverse=True)
    flow += (tl.sum(kv * leaving, 0) + tl.load(dtotal + cell * K + x))[None, :].to(tl.float64)
    own = tl.load(ofq + i * Q + i).to(tl.float32)[:, None]
    out = token + i[:, None] * (H * K) + x[None, :]
    live = (i < left)[:, None] & (x >= 0)[None, :]
    tl.store(dg + out, flow.to(tl.float32), mask=live)
    tl.store(dq + out, (dqv + own * kv).to(E), mask=live)
    tl.store(dk + out, (dread + dkv + own * qv).to(E), mask=live)


@triton.jit
def delta_general(q, k, r, e, g, solved, rk, qe, qk, reads, enters, erases, leaves, total, T, H, CHUNKS,
                  K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
    """Of r and e in place of k and βk, where r reads before its token's decay: scores of each of r and q with each of e and k."""
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    E = q.dtype.element_ty
    i = tl.arange(0, Q)
    at = i % S
    block = i // S
    left = T - c * Q
    token = ((b.to(tl.int64) * T + c * Q) * H + h) * K
    cell = ((b * CHUNKS + c) * H + h).to(tl.int64)
    column = tl.arange(0, S)[None, :]
    nre = tl.zeros((Q, S), tl.float32)
    nrk = tl.zeros((Q, S), tl.float32)
    nqe = tl.zeros((Q, S), tl.float32)
    nqk = tl.zeros((Q, S), tl.float32)
    fre = tl.zeros((Q, Q), tl.float32)
    frk = tl.zeros((Q, Q), tl.float32)
    fqe = tl.zeros((Q, Q), tl.float32)
    fqk = tl.zeros((Q, Q), tl.float32)
    for part in range(0, K, P):
        x = part + tl.arange(0, P)
        qv = wider(q + token, i, x, H * K, i < left)
        kv = wider(k + token, i, x, H * K, i < left)
        rv = wider(r + token, i, x, H * K, i < left)
        ev = wider(e + token, i, x, H * K, i < left)
        own = column == at[:, None]
        nqe += tl.where(own, tl.sum(qv * ev, 1)[:, None], 0.0)
        nqk += tl.where(own, tl.sum(qv * kv, 1)[:, None], 0.0)
        late = tl.zeros((Q, P), tl.float32)  # to i, and to the token before
        before = tl.zeros((Q, P), tl.float32)
        for d in range(1, S + 1):
            here = (i < left) & (at >= d - 1)
            late += rows(g + token, i - d + 1, x, H * K, here)
            before += rows(g + token, i - d + 1, x, H * K, here & (d > 1))
            kd = wider(k + token, i - d, x, H * K, (i < left) & (at >= d))
            ed = wider(e + token, i - d, x, H * K, (i < left) & (at >= d))
            own = column == (at - d)[:, None]
            some = qv * tl.exp(late)
            nqe += tl.where(own, tl.sum(some * ed, 1)[:, None], 0.0)
            nqk += tl.where(own, tl.sum(some * kd, 1)[:, None], 0.0)
            some = rv * tl.exp(before)
            nre += tl.where(own, tl.sum(some * ed, 1)[:, None], 0.0)
            nrk += tl.where(own, tl.sum(some * kd, 1)[:, None], 0.0)
        after = rows(g + token, i + 1, x, H * K, (i + 1 < left) & (at + 1 < S))
        leave = tl.exp(tl.reshape(tl.cumsum(tl.reshape(after, (Q // S, S, P)), 1, reverse=True), (Q, P)))
        enter = qv * tl.exp(late)
        read = rv * tl.exp(before)
        ql = enter.to(E)
        rl = read.to(E)
        gv = rows(g + token, i, x, H * K, i < left)
        sums = tl.zeros((P,), tl.float32)
        for a in tl.static_range(1, Q // S + 1):
            whole = tl.sum(tl.where((block == a - 1)[:, None], gv, 0.0), 0)
            sums += whole
            decay = tl.exp(whole)[None, :]
            leave = tl.where((block < a - 1)[:, None], leave * decay, leave)
            enter = tl.where((block >= a)[:, None], enter * decay, enter)
            read = tl.where((block >= a)[:, None], read * decay, read)
            if a < Q // S:
                qa = tl.where((block == a)[:, None], ql, 0.0).to(E)
                ra = tl.where((block == a)[:, None], rl, 0.0).to(E)
                eb = tl.trans(tl.where((block < a)[:, None], ev * leave, 0.0).to(E))
                kb = tl.trans(tl.where((block < a)[:, None], kv * leave, 0.0).to(E))
                fre = tl.dot(ra, eb, fre)
                frk = tl.dot(ra, kb, frk)
                fqe = tl.dot(qa, eb, fqe)
                fqk = tl.dot(qa, kb, fqk)
        wide = cell * (Q * K) + i[:, None] * K + x[None, :]
        tl.store(reads + wide, read.to(E))
        tl.store(enters + wide, enter.to(E))
        tl.store(erases + wide, (ev * leave).to(E))
        tl.store(leaves + wide, (kv * leave).to(E))
        tl.store(total + cell * K + x, sums)
    square = cell * (Q * Q) + i[:, None] * Q + i[None, :]
    same = block[:, None] == block[None, :]
    tl.store(rk + square, tl.where(same, spread(nrk, Q, S), frk).to(E))
    tl.store(qe + square, tl.where(same, spread(nqe, Q, S), fqe).to(E))
    tl.store(qk + square, tl.where(same, spread(nqk, Q, S), fqk).to(E))
    tl.store(solved + square, inverse(tl.where(same, spread(nre, Q, S), fre), i, Q, S).to(E))


@triton.jit
def delta_general_backward(q, k, r, e, g, dre, drk, dqe, dqk, dreads, denters, derases, dleaves, dtotal, dq, dk, dr, de, dg, T, H, CHUNKS,
                           K: tl.constexpr, P: tl.constexpr, Q: tl.constexpr, S: tl.constexpr):
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
    base = cell * (Q * Q)
    qv = wider(q + token, i, x, H * K, i < left)
    kv = wider(k + token, i, x, H * K, i < left)
    rv = wider(r + token, i, x, H * K, i < left)
    ev = wider(e + token, i, x, H * K, i < left)
    late = tl.zeros((Q, P), tl.float32)
    before = tl.zeros((Q, P), tl.float32)
    early = tl.zeros((Q, P), tl.float32)
    dqv = tl.zeros((Q, P), tl.float32)
    drv = tl.zeros((Q, P), tl.float32)
    dkv = tl.zeros((Q, P), tl.float32)
    dev = tl.zeros((Q, P), tl.float32)
    for d in range(1, S + 1):
        here = (i < left) & (at >= d - 1)
        late += rows(g + token, i - d + 1, x, H * K, here)
        before += rows(g + token, i - d + 1, x, H * K, here & (d > 1))
        back = (i < left) & (at >= d)
        ahead = (i + d < left) & (at + d < S)
        kd = wider(k + token, i - d, x, H * K, back)
        ed = wider(e + token, i - d, x, H * K, back)
        row = base + i * Q + i - d
        some = tl.load(dqe + row, mask=back, other=0.0)[:, None] * ed + tl.load(dqk + row, mask=back, other=0.0)[:, None] * kd
        dqv += some * tl.exp(late)
        some = tl.load(dre + row, mask=back, other=0.0)[:, None] * ed + tl.load(drk + row, mask=back, other=0.0)[:, None] * kd
        drv += some * tl.exp(before)
        row = base + (i + d) * Q + i
        rd = wider(r + token, i + d, x, H * K, ahead) * tl.exp(early)
        early += rows(g + token, i + d, x, H * K, ahead)
        qd = wider(q + token, i + d, x, H * K, ahead) * tl.exp(early)
        dev += tl.load(dqe + row, mask=ahead, other=0.0)[:, None] * qd + tl.load(dre + row, mask=ahead, other=0.0)[:, None] * rd
        dkv += tl.load(dqk + row, mask=ahead, other=0.0)[:, None] * qd + tl.load(drk + row, mask=ahead, other=0.0)[:, None] * rd
    late = tl.exp(late)
    before = tl.exp(before)
    leave = tl.exp(early)
    enter = late
    read = before
    ql = (qv * late).to(E)
    rl = (rv * before).to(E)
    gv = rows(g + token, i, x, H * K, i < left)
    # What a pair gives to the sums at both its ends is made of the same rounded factors and cancels in the gates outside of it.
    readq = qv * dqv
    readr = rv * drv
    written = kv * dkv + ev * dev
    farq = tl.zeros((Q, P), tl.float32)
    farr = tl.zeros((Q, P), tl.float32)
    for a in tl.static_range(1, Q // S + 1):
        decay = tl.exp(tl.sum(tl.where((block == a - 1)[:, None], gv, 0.0), 0))[None, :]
        leave = tl.where((block < a - 1)[:, None], leave * decay, leave)
        enter = tl.where((block >= a)[:, None], enter * decay, enter)
        read = tl.where((block >= a)[:, None], read * decay, read)
        if a < Q // S:
            qa = tl.where((block == a)[:, None], ql, 0.0).to(E)
            ra = tl.where((block == a)[:, None], rl, 0.0).to(E)
            eb = tl.where((block < a)[:, None], ev * leave, 0.0).to(E)
            kb = tl.where((block < a)[:, None], kv * leave, 0.0).to(E)
            mine = (block[:, None] == a) & (block[None, :] < a)
            square = base + i[:, None] * Q + i[None, :]
            m = tl.load(dqe + square, mask=mine, other=0.0)
            farq = tl.dot(m, eb, farq)
            some = tl.dot(tl.trans(m), qa)
            m = tl.load(dre + square, mask=mine, other=0.0)
            farr = tl.dot(m, eb, farr)
            some = tl.dot(tl.trans(m), ra, some)
            dev += leave * some
            written += eb.to(tl.float32) * some
            m = tl.load(dqk + square, mask=mine, other=0.0)
            farq = tl.dot(m, kb, farq)
            some = tl.dot(tl.trans(m), qa)
            m = tl.load(drk + square, mask=mine, other=0.0)
            farr = tl.dot(m, kb, farr)
            some = tl.dot(tl.trans(m), ra, some)
            dkv += leave * some
            written += kb.to(tl.float32) * some
    wide = cell * (Q * K) + i[:, None] * K + x[None, :]
    entering = enter * tl.load(denters + wide)
    reading = read * tl.load(dreads + wide)
    dqv += late * farq + entering
    drv += before * farr + reading
    lk = leave * tl.load(dleaves + wide)
    le = leave * tl.load(derases + wide)
    dkv += lk
    dev += le
    readq += ql.to(tl.float32) * farq + qv * entering
    readr += rl.to(tl.float32) * farr + rv * reading
    written += kv * lk + ev * le
    flow = tl.cumsum((readq + readr).to(tl.float64) - written.to(tl.float64), 0, reverse=True) - readr.to(tl.float64)
    flow += (tl.sum(kv * lk + ev * le, 0) + tl.load(dtotal + cell * K + x))[None, :].to(tl.float64)
    owne = tl.load(dqe + base + i * Q + i).to(tl.float32)[:, None]
    ownk = tl.load(dqk + base + i * Q + i).to(tl.float32)[:, None]
    out = token + i[:, None] * (H * K) + x[None, :]
    live = (i < left)[:, None] & (x >= 0)[None, :]
    tl.store(dg + out, flow.to(tl.float32), mask=live)
    tl.store(dq + out, (dqv + owne * ev + ownk * kv).to(E), mask=live)
    tl.store(dk + out, (dkv + ownk * qv).to(E), mask=live)
    tl.store(dr + out, drv.to(E), mask=live)
    tl.store(de + out, (dev + owne * qv).to(E), mask=live)


KEYS = [16, 32, 64, 128]
QUERY, BLOCK, PART = 64, 16, 32
HALF, FULL = "bf16", "fp32"
INSIDE = dict(q=HALF, k=HALF, beta=FULL, g=FULL, solved=HALF, scores=HALF, reads=HALF, enters=HALF, leaves=HALF, total=FULL)
BACKWARD = dict(q=HALF, k=HALF, g=FULL, dpairs=HALF, dscores=HALF, dreads=HALF, denters=HALF, dleaves=HALF, dtotal=FULL, dq=HALF, dk=HALF, dg=FULL)
GENERAL = dict({n: HALF for n in "q k r e solved rk qe qk reads enters erases leaves".split()}, g=FULL, total=FULL)
GENERAL_BACKWARD = dict({n: HALF for n in "q k r e dre drk dqe dqk dreads denters derases dleaves dq dk dr de".split()}, g=FULL, dtotal=FULL, dg=FULL)
KERNELS = {"inside": (delta_inside, INSIDE), "inside-backward": (delta_inside_backward, BACKWARD),
           "keyed": (delta_keyed, INSIDE), "keyed-backward": (delta_keyed_backward, BACKWARD),
           "general": (delta_general, GENERAL), "general-backward": (delta_general_backward, GENERAL_BACKWARD)}


def texts():
    for K in KEYS:
        for name, (kernel, pointers) in KERNELS.items():
            part = {} if name.startswith("inside") else dict(P=min(K, PART))
            yield dict(file=f"{name}-{K}", kernel=kernel, pointers=pointers, constants=dict(K=K, Q=QUERY, S=BLOCK, **part))


def check(T, keyed, gates):
    import torch
    torch.manual_seed(0)
    b, H, K, P, Q, S = 2, 2, 32, 16, 64, 16
    n = -(-T // Q)
    q, k, beta = torch.randn(b, T, H, K), torch.randn(b, T, H, K) / 4, torch.rand(b, T, H)
    k[:, 5:30] = k[:, 4:5]  # one key again and again
    beta[:, 3] = 0
    g = gates(torch.rand(b, T, H, *([K] if keyed else [])))
    adjoints = [torch.randn(b, n, H, *shape) for shape in ((Q, Q), (Q, Q), (Q, K), (Q, K), (Q, K), (K,))]

    leaves = [t.double().requires_grad_() for t in (q, k, g)]
    cut = lambda t: torch.cat([t, t.new_zeros(b, n * Q - T, H, t.shape[3])], 1).view(b, n, Q, H, -1).transpose(2, 3)
    qr, kr, gr = cut(leaves[0]), cut(leaves[1]), cut(leaves[2].reshape(b, T, H, -1)).expand(b, n, H, Q, K)
    i, j, l = torch.meshgrid(*[torch.arange(Q)] * 3, indexing="ij")
    between = ((j < l) & (l <= i)).double()
    upto = (torch.arange(Q)[:, None] >= torch.arange(Q)).double()
    w = torch.einsum("ijl,bnhlk->bnhijk", between, gr).exp()
    pairs = torch.einsum("bnhik,bnhjk,bnhijk->bnhij", kr, kr, w).tril(-1)
    scores = torch.einsum("bnhik,bnhjk,bnhijk->bnhij", qr, kr, w).tril()
    enter = torch.einsum("il,bnhlk->bnhik", upto, gr).exp()
    leave = torch.einsum("li,bnhlk->bnhik", upto - torch.eye(Q), gr).exp()
    outs = [pairs, scores, kr * enter, qr * enter, kr * leave, gr.sum(3)]
    sum((x * d.double()).sum() for x, d in zip(outs, adjoints)).backward()
    solved = torch.linalg.inv(torch.eye(Q).double() + pairs * cut(beta.double()[..., None]).transpose(3, 4))

    got = [torch.zeros_like(d) for d in adjoints]
    grads = [torch.zeros_like(t) for t in (q, k, g)]
    if keyed:
        delta_keyed[(H, n, b)](q, k, beta, g, *got, T, H, n, K, P, Q, S)
        delta_keyed_backward[(H * K // P, n, b)](q, k, g, *adjoints, *grads, T, H, n, K, P, Q, S)
    else:
        delta_inside[(H, n, b)](q, k, beta, g, *got, T, H, n, K, Q, S)
        delta_inside_backward[(H, n, b)](q, k, g, *adjoints, *grads, T, H, n, K, Q, S)
    bad = 0
    names = "inverse scores reads enters leaves total dq dk dg".split()
    for name, x, y in zip(names, got + grads, [solved] + outs[1:] + [leaf.grad for leaf in leaves]):
        ratio = ((x.double() - y.detach()).norm() / y.detach().norm().clamp(min=1e-30)).item()
        print(f"{name:7} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


def mixed(x):
    """Gates of -1e30 beside ordinary ones."""
    return (-x).where(x < 0.8, -1e30)


if __name__ == "__main__":
    kinds = (lambda x: -x, lambda x: 0 * x, lambda x: 0 * x - 1e30, mixed)
    sys.exit(sum(check(T, keyed, gates) for keyed in (False, True) for T in (90, 50) for gates in kinds))
