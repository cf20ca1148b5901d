"""The SSD operator as Triton kernels, one program per (head, sequence), and their text for XLA.

    h_t = exp(la_t) h_(t-1) + dt_t x_t B_t^T        y_t = h_t C_t + D x_t

x, B and C are columns of one row-major array xbc [batch, T, W]; dt and la = dt A are float32 [batch, T, H];
D (skip) is float32 [models, H], a model has ROWS sequences.
The forward walks the chunks with the state in registers and keeps the state that enters each chunk (bf16). Without
ENDS it starts from zeros and its last state is not written; without STATES all states that enter chunks are zeros. The
backward first walks them in reverse with the state's gradient in registers, then takes all chunks at once.

    python ssd.py        compares with a float64 loop, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def ssd_forward(xbc, dt, la, skip, h0, y, hT, hs, T, H, W, OB, OC, PER, ROWS, CHUNKS, KEEP, ENDS,
                P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    b = tl.program_id(1)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    q = tl.arange(0, Q)
    E = xbc.dtype.element_ty
    group = h // PER
    entry = p[:, None] * N + n[None, :]
    own = (b * H + h).to(tl.int64) * (P * N)
    state = tl.load(h0 + own + entry, mask=(entry >= 0) & (ENDS > 0), other=0.0)
    direct = tl.where(q[:, None] == q[None, :], tl.load(skip + b // ROWS * H + h), 0.0)
    lower = q[:, None] >= q[None, :]
    wide = q[:, None] * W
    for c in range(0, CHUNKS):
        row = b.to(tl.int64) * T + c * Q
        live = c * Q + q < T
        rows = xbc + row * W
        x = tl.load(rows + h * P + wide + p[None, :], mask=live[:, None], other=0.0)
        B = tl.load(rows + (OB + group * N) + wide + n[None, :], mask=live[:, None], other=0.0)
        C = tl.load(rows + (OC + group * N) + wide + n[None, :], mask=live[:, None], other=0.0)
        dtv = tl.load(dt + row * H + h + q * H, mask=live, other=0.0)
        lav = tl.load(la + row * H + h + q * H, mask=live, other=0.0)
        cs = tl.cumsum(lav, 0)
        total = tl.sum(lav, 0)
        entering = state.to(E)
        if KEEP > 0:
            tl.store(hs + ((b * CHUNKS + c) * H + h).to(tl.int64) * (P * N) + entry, entering)
        w = tl.exp(tl.where(lower, cs[:, None] - cs[None, :], -1e30))
        m = (tl.dot(C, tl.trans(B)) * w * dtv[None, :] + direct).to(E)
        out = tl.dot(C, tl.trans(entering)) * tl.exp(cs)[:, None]
        out = tl.dot(m, x, out)
        tl.store(y + (row * H + h) * P + q[:, None] * (H * P) + p[None, :], out.to(E), mask=live[:, None])
        xw = (x.to(tl.float32) * (dtv * tl.exp(total - cs))[:, None]).to(E)
        state = tl.dot(tl.trans(xw), B, state * tl.exp(total))
    if ENDS > 0:
        tl.store(hT + own + entry, state)


@triton.jit
def ssd_states(xbc, dt, la, own, total, T, H, W, OB, PER, CHUNKS, P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr):
    """The state that a sequence writes from zero, and the sum of its log decays."""
    h = tl.program_id(0)
    b = tl.program_id(1)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    q = tl.arange(0, Q)
    E = xbc.dtype.element_ty
    state = tl.zeros((P, N), tl.float32)
    sums = tl.zeros((Q,), tl.float32)
    wide = q[:, None] * W
    for c in range(0, CHUNKS):
        row = b.to(tl.int64) * T + c * Q
        live = c * Q + q < T
        rows = xbc + row * W
        x = tl.load(rows + h * P + wide + p[None, :], mask=live[:, None], other=0.0)
        B = tl.load(rows + (OB + h // PER * N) + wide + n[None, :], mask=live[:, None], other=0.0)
        dtv = tl.load(dt + row * H + h + q * H, mask=live, other=0.0)
        lav = tl.load(la + row * H + h + q * H, mask=live, other=0.0)
        chunk = tl.sum(lav, 0)
        xw = (x.to(tl.float32) * (dtv * tl.exp(chunk - tl.cumsum(lav, 0)))[:, None]).to(E)
        state = tl.dot(tl.trans(xw), B, state * tl.exp(chunk))
        sums += lav
    tl.store(own + (b * H + h).to(tl.int64) * (P * N) + p[:, None] * N + n[None, :], state)
    tl.store(total + b * H + h, tl.sum(sums, 0))


@triton.jit
def ssd_adjoint(xbc, la, hs, dy, dhT, dhs, dh0, ends, T, H, W, OC, PER, CHUNKS, ENDS, P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr):
    """The gradient of the state that leaves each chunk, from the last chunk to the first."""
    h = tl.program_id(0)
    b = tl.program_id(1)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    q = tl.arange(0, Q)
    E = xbc.dtype.element_ty
    entry = p[:, None] * N + n[None, :]
    own = (b * H + h).to(tl.int64) * (P * N)
    dh = tl.load(dhT + own + entry, mask=(entry >= 0) & (ENDS > 0), other=0.0)
    for step in range(0, CHUNKS):
        c = CHUNKS - 1 - step
        row = b.to(tl.int64) * T + c * Q
        live = c * Q + q < T
        C = tl.load(xbc + row * W + (OC + h // PER * N) + q[:, None] * W + n[None, :], mask=live[:, None], other=0.0)
        dyv = tl.load(dy + (row * H + h) * P + q[:, None] * (H * P) + p[None, :], mask=live[:, None], other=0.0)
        lav = tl.load(la + row * H + h + q * H, mask=live, other=0.0)
        state = ((b * CHUNKS + c) * H + h).to(tl.int64) * (P * N)
        tl.store(dhs + state + entry, dh.to(E))
        keep = tl.exp(tl.sum(lav, 0))
        both = tl.load(hs + state + entry).to(tl.float32) * dh
        tl.store(ends + (b * CHUNKS + c) * H + h, tl.sum(tl.sum(both, 1), 0) * keep)
        dye = (dyv.to(tl.float32) * tl.exp(tl.cumsum(lav, 0))[:, None]).to(E)
        dh = tl.dot(tl.trans(dye), C, dh * keep)
    if ENDS > 0:
        tl.store(dh0 + own + entry, dh)


@triton.jit
def ssd_backward(xbc, dt, la, skip, hs, dhs, ends, dy, dx, dbc, ddt, dla, dskip, T, H, W, OB, OC, PER, ROWS, CHUNKS, STATES,
                 P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr):
    """All gradients inside one chunk; dbc [batch, T, 2, H, N] holds those of B and of C of one head, dskip is of one chunk."""
    h = tl.program_id(0)
    c = tl.program_id(1)
    b = tl.program_id(2)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    q = tl.arange(0, Q)
    E = xbc.dtype.element_ty
    group = h // PER
    live = c * Q + q < T
    row = b.to(tl.int64) * T + c * Q
    rows = xbc + row * W
    wide = q[:, None] * W
    entry = p[:, None] * N + n[None, :]
    B = tl.load(rows + (OB + group * N) + wide + n[None, :], mask=live[:, None], other=0.0)
    C = tl.load(rows + (OC + group * N) + wide + n[None, :], mask=live[:, None], other=0.0)
    lower = q[:, None] >= q[None, :]
    scores = tl.dot(C, tl.trans(B))
    state = ((b * CHUNKS + c) * H + h).to(tl.int64) * (P * N)
    gate = row * H + h
    head = gate * P
    x = tl.load(rows + h * P + wide + p[None, :], mask=live[:, None], other=0.0)
    dyv = tl.load(dy + head + q[:, None] * (H * P) + p[None, :], mask=live[:, None], other=0.0)
    dtv = tl.load(dt + gate + q * H, mask=live, other=0.0)
    lav = tl.load(la + gate + q * H, mask=live, other=0.0)
    known = (entry >= 0) & (STATES > 0)
    hin = tl.load(hs + state + entry, mask=known, other=0.0)
    dh = tl.load(dhs + state + entry, mask=known, other=0.0)
    cs = tl.cumsum(lav, 0)
    total = tl.sum(lav, 0)
    enter = tl.exp(cs)
    leave = tl.exp(total - cs)
    w = tl.exp(tl.where(lower, cs[:, None] - cs[None, :], -1e30))
    sw = scores * w
    g = tl.dot(dyv, tl.trans(x)) * dtv[None, :]
    r = g * sw
    v = tl.sum(r, 1) - tl.sum(r, 0)
    gb = (g * w).to(E)
    dCv = tl.dot(dyv, hin) * enter[:, None]
    dCv = tl.dot(gb, B, dCv)
    both = dbc + (2 * row * H + h) * N + q[:, None] * (2 * H * N) + n[None, :]
    tl.store(both + H * N, dCv.to(E), mask=live[:, None])
    dBv = tl.dot(x, dh) * (dtv * leave)[:, None]
    dBv = tl.dot(tl.trans(gb), C, dBv)
    tl.store(both, dBv.to(E), mask=live[:, None])
    xf = x.to(tl.float32)
    dyf = dyv.to(tl.float32)
    v += tl.sum(tl.dot(C, tl.trans(hin)) * dyf, 1) * enter
    out = tl.dot(B, tl.trans(dh)) * leave[:, None]
    left = tl.sum(out * xf, 1) * dtv
    out = tl.dot(tl.trans(sw.to(E)), dyv, out)
    direct = tl.load(skip + b // ROWS * H + h)
    tl.store(dx + head + q[:, None] * (H * P) + p[None, :], (out * dtv[:, None] + direct * dyf).to(E), mask=live[:, None])
    tl.store(dskip + (b * CHUNKS + c) * H + h, tl.sum(tl.sum(dyf * xf, 1), 0))
    tl.store(ddt + gate + q * H, tl.sum(out * xf, 1), mask=live)
    later = tl.sum(v, 0) - tl.cumsum(v, 0) + v
    before = tl.cumsum(left, 0) - left
    tl.store(dla + gate + q * H, later + before + tl.load(ends + (b * CHUNKS + c) * H + h, mask=STATES > 0, other=0.0), mask=live)


SHAPES = [(64, 16), (64, 32), (64, 64), (64, 128), (64, 256)]
QUERY = 64
FORWARD = [("xbc", "bf16"), ("dt", "fp32"), ("la", "fp32"), ("skip", "fp32"), ("h0", "fp32"), ("y", "bf16"), ("hT", "fp32"), ("hs", "bf16")]
STATES = [("xbc", "bf16"), ("dt", "fp32"), ("la", "fp32"), ("own", "fp32"), ("total", "fp32")]
ADJOINT = [("xbc", "bf16"), ("la", "fp32"), ("hs", "bf16"), ("dy", "bf16"), ("dhT", "fp32"), ("dhs", "bf16"), ("dh0", "fp32"), ("ends", "fp32")]
BACKWARD = [("xbc", "bf16"), ("dt", "fp32"), ("la", "fp32"), ("skip", "fp32"), ("hs", "bf16"), ("dhs", "bf16"), ("ends", "fp32"), ("dy", "bf16"),
            ("dx", "bf16"), ("dbc", "bf16"), ("ddt", "fp32"), ("dla", "fp32"), ("dskip", "fp32")]
KERNELS = {"forward": (ssd_forward, FORWARD), "states": (ssd_states, STATES), "adjoint": (ssd_adjoint, ADJOINT), "backward": (ssd_backward, BACKWARD)}


def texts():
    for P, N in SHAPES:
        for name, (kernel, pointers) in KERNELS.items():
            yield dict(file=f"{name}-{P}-{N}", kernel=kernel, pointers=dict(pointers), constants=dict(P=P, N=N, Q=QUERY), multiples=("W", "OB", "OC"),
                       warps=4, stages=2)


def check(T=150, ends=1):
    import torch
    torch.manual_seed(0)
    b, H, G, P, N, Q = 2, 4, 2, 16, 16, 64
    W = H * P + 2 * G * N
    xbc = torch.randn(b, T, W, dtype=torch.float64).float()
    dt = torch.rand(b, T, H) * 0.5
    A = -torch.rand(H) - 0.1
    h0, dhT = ends * torch.randn(b, H, P, N), ends * torch.randn(b, H, P, N)
    dy = torch.randn(b, T, H, P)

    skip = torch.randn(b, H)  # two models of one row
    leaves = [t.double().requires_grad_() for t in (xbc, dt, dt * A, h0, skip)]
    xr, dtr, lar, hr, skr = leaves
    x, B, C = xr[..., :H * P].view(b, T, H, P), xr[..., H * P:H * P + G * N].view(b, T, G, N), xr[..., H * P + G * N:].view(b, T, G, N)
    rep = lambda v: v.repeat_interleave(H // G, 2)
    B, C, state, ys = rep(B), rep(C), hr, []
    for t in range(T):
        state = lar[:, t].exp()[..., None, None] * state + (dtr[:, t][..., None] * x[:, t])[..., None] * B[:, t][:, :, None]
        ys.append((state * C[:, t][:, :, None]).sum(-1))
    yr = torch.stack(ys, 1) + skr[:, None, :, None] * x
    ((yr * dy.double()).sum() + (state * dhT.double()).sum()).backward()

    chunks = -(-T // Q)
    states = int(ends or chunks > 1)
    y, hT, hs = torch.zeros(b, T, H, P), torch.zeros_like(h0), torch.zeros(b, chunks, H, P, N)
    la = dt * A
    rest = (T, H, W, H * P, H * P + G * N, H // G, 1, chunks, P, N, Q)
    ssd_forward[(H, b)](xbc, dt, la, skip, h0, y, hT, hs, *rest[:8], states, ends, *rest[8:])
    own, total = torch.zeros_like(h0), torch.zeros(b, H)
    ssd_states[(H, b)](xbc, dt, la, own, total, T, H, W, H * P, H // G, chunks, P, N, Q)
    again = own + total.exp()[..., None, None] * h0
    dx, dbc = torch.zeros(b, T, H, P), torch.zeros(b, T, 2, H, N)
    ddt, dla, dh0 = torch.zeros_like(dt), torch.zeros_like(dt), torch.zeros_like(h0)
    dhs, left, dskip = torch.zeros_like(hs), torch.zeros(b, chunks, H), torch.zeros(b, chunks, H)
    if states:
        ssd_adjoint[(H, b)](xbc, la, hs, dy, dhT, dhs, dh0, left, T, H, W, H * P + G * N, H // G, chunks, ends, P, N, Q)
    ssd_backward[(H, chunks, b)](xbc, dt, la, skip, hs, dhs, left, dy, dx, dbc, ddt, dla, dskip, *rest[:8], states, *rest[8:])
    rest = dbc.double().view(b, T, 2, G, -1, N).sum(4).reshape(b, T, 2 * G * N)
    bad = 0
    for name, got, want in (("y", y, yr), ("hT", hT, state), ("own", again, state), ("dxbc", torch.cat([dx.double().reshape(b, T, H * P), rest], -1), xr.grad),
                            ("ddt", ddt, dtr.grad), ("dla", dla, lar.grad), ("dh0", dh0, hr.grad), ("dskip", dskip.sum(1), skr.grad)):
        if not ends and name in ("hT", "own", "dh0"):
            continue
        want = want.detach()
        ratio = ((got.double() - want).norm() / want.norm()).item()
        print(f"{name:5} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check() + check(150, 0) + check(50, 0))
