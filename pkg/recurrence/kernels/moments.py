"""Statistics of the states of the SSD operator as Triton kernels, and their text for XLA.

    h_t = exp(la_t) h_(t-1) + dt_t x_t B_t^T

walk follows h_t token by token in float32 registers, one program per (block of R rows of a head, sequence), and gives the
sum and the sum of squares of its rows for every token, their largest magnitude and the squares by column after every RUN
tokens. reduce makes means over RUN tokens of that. x, B and C are columns of one row-major array xbc [batch, T, W]; dt
and la are float32 [batch, T, H].

    python moments.py    compares with a float64 loop, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def moments_walk(xbc, dt, la, h0, sums, squares, largest, energy, T, H, W, OB, PER, RUN,
                 P: tl.constexpr, N: tl.constexpr, R: tl.constexpr):
    blocks: tl.constexpr = P // R
    h = tl.program_id(0) // blocks
    block = tl.program_id(0) % blocks
    b = tl.program_id(1)
    r = block * R + tl.arange(0, R)
    n = tl.arange(0, N)
    runs = T // RUN
    state = tl.load(h0 + (b * H + h).to(tl.int64) * (P * N) + r[:, None] * N + n[None, :])
    total = tl.sum(tl.sum(state, 0), 0)
    first = b.to(tl.int64) * T
    rows = xbc + first * W
    gates = first * H + h
    xs = rows + h * P + r
    bs = rows + (OB + h // PER * N) + n
    x = tl.load(xs)
    B = tl.load(bs)
    d = tl.load(dt + gates)
    l = tl.load(la + gates)
    for k in range(0, runs):
        for i in range(0, RUN):
            t = k * RUN + i
            a = tl.exp(l)
            dx = x.to(tl.float32) * d
            wide = B.to(tl.float32)
            ahead = tl.minimum(t + 1, T - 1)  # loads of the next token while this one is worked on
            x = tl.load(xs + ahead * W)
            B = tl.load(bs + ahead * W)
            d = tl.load(dt + gates + ahead * H)
            l = tl.load(la + gates + ahead * H)
            state = state * a + dx[:, None] * wide[None, :]
            total = total * a + tl.sum(dx, 0) * tl.sum(wide, 0)
            at = (gates + t * H) * blocks + block
            tl.store(sums + at, total)
            tl.store(squares + at, tl.sum(tl.sum(state * state, 0), 0))
        end = ((b * runs + k) * H + h).to(tl.int64) * blocks + block
        tl.store(largest + end, tl.max(tl.max(tl.abs(state), 0), 0))
        tl.store(energy + end * N + n, tl.sum(state * state, 0))


COLUMNS = ["mean", "variance", "rms", "norm", "delta", "log_alpha", "x_norm", "b_norm", "c_norm", "write_norm", "absmax", "top_share"]


@triton.jit
def moments_reduce(xbc, dt, la, sums, squares, largest, energy, length, out, T, H, W, OB, OC, PER, RUN, CUTS,
                   P: tl.constexpr, N: tl.constexpr, R: tl.constexpr, Q: tl.constexpr, TOP: tl.constexpr):
    """Means over the tokens of a run before length, and what holds after the last; T tokens are one of CUTS parts."""
    blocks: tl.constexpr = P // R
    h = tl.program_id(0)
    k = tl.program_id(1)
    b = tl.program_id(2)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    part = tl.arange(0, blocks)
    runs = T // RUN
    real = tl.load(length) - b % CUTS * T
    first = b.to(tl.int64) * T
    group = h // PER
    zero = tl.zeros((Q,), tl.float32)
    count, mean, variance, norm, delta, decay, xs, bs, cs, write = zero, zero, zero, zero, zero, zero, zero, zero, zero, zero
    for j in range(0, RUN, Q):
        q = j + tl.arange(0, Q)
        t = k * RUN + q
        live = (q < RUN) & (t < real)
        gate = (first + t) * H + h
        rows = xbc + ((first + t) * W)[:, None]
        x = tl.load(rows + h * P + p[None, :], mask=live[:, None], other=0.0).to(tl.float32)
        B = tl.load(rows + (OB + group * N) + n[None, :], mask=live[:, None], other=0.0).to(tl.float32)
        C = tl.load(rows + (OC + group * N) + n[None, :], mask=live[:, None], other=0.0).to(tl.float32)
        d = tl.load(dt + gate, mask=live, other=0.0)
        m = tl.sum(tl.load(sums + (gate * blocks)[:, None] + part[None, :], mask=live[:, None], other=0.0), 1) / (P * N)
        s = tl.sum(tl.load(squares + (gate * blocks)[:, None] + part[None, :], mask=live[:, None], other=0.0), 1)
        xn = tl.sqrt(tl.sum(x * x, 1))
        bn = tl.sqrt(tl.sum(B * B, 1))
        count += live.to(tl.float32)
        mean += m
        variance += tl.maximum(s / (P * N) - m * m, 0.0)
        norm += tl.sqrt(s)
        delta += d
        decay += tl.load(la + gate, mask=live, other=0.0)
        xs += xn
        bs += bn
        cs += tl.sqrt(tl.sum(C * C, 1))
        write += d * xn * bn
    scale = 1.0 / tl.maximum(tl.sum(count, 0), 1.0)
    at = (b * runs + k) * H + h
    to = out + at.to(tl.int64) * 12
    length_of = tl.sum(norm, 0) * scale
    tl.store(to + 0, tl.sum(mean, 0) * scale)
    tl.store(to + 1, tl.sum(variance, 0) * scale)
    tl.store(to + 2, length_of / tl.sqrt((P * N) * 1.0))
    tl.store(to + 3, length_of)
    tl.store(to + 4, tl.sum(delta, 0) * scale)
    tl.store(to + 5, tl.sum(decay, 0) * scale)
    tl.store(to + 6, tl.sum(xs, 0) * scale)
    tl.store(to + 7, tl.sum(bs, 0) * scale)
    tl.store(to + 8, tl.sum(cs, 0) * scale)
    tl.store(to + 9, tl.sum(write, 0) * scale)
    end = at.to(tl.int64) * blocks
    tl.store(to + 10, tl.max(tl.load(largest + end + part), 0))
    left = tl.sum(tl.load(energy + end * N + part[:, None] * N + n[None, :]), 0)
    whole = tl.sum(left, 0)
    top = whole * 0.0
    for _ in tl.static_range(TOP):
        top += tl.max(left, 0)
        left = tl.where(n == tl.argmax(left, 0), -1.0, left)
    tl.store(to + 11, tl.where(whole > 0.0, top / tl.where(whole > 0.0, whole, 1.0), 0.0))


SHAPES = [(64, 16), (64, 32), (64, 64), (64, 128), (64, 256)]
TYPES = ["bf16", "fp32"]  # of xbc


def constants(name, P, N):
    """R rows of N columns are 2048 entries, 64 for every thread of one warp."""
    c = dict(P=P, N=N, R=min(16, 2048 // N))
    return c if name == "walk" else c | dict(Q=64, TOP=-(-N // 16))


KERNELS = {"walk": moments_walk, "reduce": moments_reduce}


def texts():
    for P, N in SHAPES:
        for name, kernel in KERNELS.items():
            consts = constants(name, P, N)
            for dtype in TYPES:
                pointers = {n: {"xbc": dtype, "length": "i32"}.get(n, "fp32") for n in kernel.arg_names if n not in consts and not n.isupper()}
                yield dict(file=f"moments-{name}-{dtype}-{P}-{N}", kernel=kernel, pointers=pointers, constants=consts, multiples=("W", "OB", "OC"),
                           unaligned=("length",), warps=1 if name == "walk" else 4, stages=1)


def check():
    import torch
    torch.manual_seed(0)
    b, cuts, T, H, G, P, N, RUN = 2, 2, 24, 4, 2, 16, 32, 12
    R, W, whole, length = 4, H * P + 2 * G * N, cuts * T, 41
    xbc = torch.randn(b, whole, W)
    dt = torch.rand(b, whole, H) * 0.5
    dt[:, length:] = 0  # padding
    la = dt * (-torch.rand(H) - 0.1)
    h0 = torch.randn(b, H, P, N)
    x, B, C = xbc[..., :H * P].view(b, whole, H, P), xbc[..., H * P:H * P + G * N].view(b, whole, G, N), xbc[..., H * P + G * N:].view(b, whole, G, N)
    rep = lambda v: v.double().repeat_interleave(H // G, 2)
    x, B, C, state = x.double(), rep(B), rep(C), h0.double()
    want, entering = torch.zeros(b, whole // RUN, H, 12, dtype=torch.float64), []
    for t in range(whole):
        if t % T == 0:
            entering.append(state)
        state = la.double()[:, t].exp()[..., None, None] * state + (dt.double()[:, t][..., None] * x[:, t])[..., None] * B[:, t][:, :, None]
        k = t // RUN
        if t < length:
            count = min(RUN, length - k * RUN)
            flat = state.flatten(2)
            norms = [v[:, t].norm(dim=-1) for v in (x, B, C)]
            now = [flat.mean(-1), flat.var(-1, unbiased=False), flat.norm(dim=-1) / (P * N) ** 0.5, flat.norm(dim=-1), dt[:, t].double(), la[:, t].double(),
                   *norms, dt[:, t] * norms[0] * norms[1]]
            want[:, k, :, :10] += torch.stack(now, -1) / count
        if (t + 1) % RUN == 0:
            energy = (state ** 2).sum(2)
            want[:, k, :, 10] = state.abs().amax((2, 3))
            want[:, k, :, 11] = energy.topk(2, -1).values.sum(-1) / energy.sum(-1)
    entering = torch.stack(entering, 1).flatten(0, 1).float().contiguous()
    bc, blocks, runs = b * cuts, P // R, T // RUN
    sums, squares = torch.zeros(bc, T, H, blocks), torch.zeros(bc, T, H, blocks)
    largest, energy, out = torch.zeros(bc, runs, H, blocks), torch.zeros(bc, runs, H, blocks, N), torch.zeros(bc, runs, H, 12)
    moments_walk[(H * blocks, bc)](xbc, dt, la, entering, sums, squares, largest, energy, T, H, W, H * P, H // G, RUN, P, N, R)
    moments_reduce[(H, runs, bc)](xbc, dt, la, sums, squares, largest, energy, torch.tensor([length], dtype=torch.int32), out,
                                  T, H, W, H * P, H * P + G * N, H // G, RUN, cuts, P, N, R, 8, 2)
    got, bad = out.view(b, whole // RUN, H, 12).double(), 0
    for i, name in enumerate(COLUMNS):
        worst = ((got[..., i] - want[..., i]).abs() / want[..., i].abs().amax()).max().item()
        print(f"{name:10} {worst:.2e}")
        bad += not worst < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check())
