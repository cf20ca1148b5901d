"""The SSD operator as Triton kernels, one program per (head, sequence), and their text for XLA.

    h_t = exp(la_t) h_(t-1) + dt_t x_t B_t^T        y_t = h_t C_t

x, B and C are columns of one row-major array xbc [batch, T, W]; dt and la = dt A are float32 [batch, T, H].
The forward walks the chunks with the state in registers and keeps the state that enters each chunk (bf16); the
backward walks them in reverse with the state's gradient in registers. dB and dC are written per head.

    python ssd.py DIR            writes DIR/NAME.ttir for the shapes of SHAPES
    python ssd.py --check        compares with a float64 loop, in Triton's interpreter (TRITON_INTERPRET=1)
"""
import sys

import triton
import triton.language as tl


@triton.jit
def ssd_forward(xbc, dt, la, h0, y, hT, hs, T, H, W, OB, OC, PER, CHUNKS, KEEP,
                P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    b = tl.program_id(1)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    q = tl.arange(0, Q)
    group = h // PER
    E = xbc.dtype.element_ty
    own = (b * H + h).to(tl.int64) * (P * N) + p[:, None] * N + n[None, :]
    state = tl.load(h0 + own)
    lower = q[:, None] >= q[None, :]
    for c in range(0, CHUNKS):
        t = c * Q + q
        live = t < T
        row = b.to(tl.int64) * T + t.to(tl.int64)
        x = tl.load(xbc + row[:, None] * W + (h * P + p)[None, :], mask=live[:, None], other=0.0)
        B = tl.load(xbc + row[:, None] * W + (OB + group * N + n)[None, :], mask=live[:, None], other=0.0)
        C = tl.load(xbc + row[:, None] * W + (OC + group * N + n)[None, :], mask=live[:, None], other=0.0)
        dtv = tl.load(dt + row * H + h, mask=live, other=0.0)
        lav = tl.load(la + row * H + h, mask=live, other=0.0)
        cs = tl.cumsum(lav, 0)
        total = tl.sum(lav, 0)
        if KEEP > 0:
            tl.store(hs + ((b * CHUNKS + c) * H + h).to(tl.int64) * (P * N) + p[:, None] * N + n[None, :], state.to(E))
        w = tl.exp(tl.where(lower, cs[:, None] - cs[None, :], -1e30))
        m = tl.dot(C, tl.trans(B)) * w * dtv[None, :]
        out = tl.dot(m.to(E), x)
        out += tl.dot((C.to(tl.float32) * tl.exp(cs)[:, None]).to(E), tl.trans(state.to(E)))
        tl.store(y + (row * H + h)[:, None] * P + p[None, :], out.to(E), mask=live[:, None])
        xw = (x.to(tl.float32) * (dtv * tl.exp(total - cs))[:, None]).to(E)
        state = state * tl.exp(total) + tl.dot(tl.trans(xw), B)
    tl.store(hT + own, state)


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
    for c in range(0, CHUNKS):
        t = c * Q + q
        live = t < T
        row = b.to(tl.int64) * T + t.to(tl.int64)
        x = tl.load(xbc + row[:, None] * W + (h * P + p)[None, :], mask=live[:, None], other=0.0)
        B = tl.load(xbc + row[:, None] * W + (OB + h // PER * N + n)[None, :], mask=live[:, None], other=0.0)
        dtv = tl.load(dt + row * H + h, mask=live, other=0.0)
        lav = tl.load(la + row * H + h, mask=live, other=0.0)
        chunk = tl.sum(lav, 0)
        xw = (x.to(tl.float32) * (dtv * tl.exp(chunk - tl.cumsum(lav, 0)))[:, None]).to(E)
        state = state * tl.exp(chunk) + tl.dot(tl.trans(xw), B)
        sums += lav
    tl.store(own + (b * H + h).to(tl.int64) * (P * N) + p[:, None] * N + n[None, :], state)
    tl.store(total + b * H + h, tl.sum(sums, 0))


@triton.jit
def ssd_backward(xbc, dt, la, hs, dy, dhT, dx, dB, dC, ddt, dla, dh0, T, H, W, OB, OC, PER, CHUNKS,
                 P: tl.constexpr, N: tl.constexpr, Q: tl.constexpr):
    h = tl.program_id(0)
    b = tl.program_id(1)
    p = tl.arange(0, P)
    n = tl.arange(0, N)
    q = tl.arange(0, Q)
    group = h // PER
    E = xbc.dtype.element_ty
    own = (b * H + h).to(tl.int64) * (P * N) + p[:, None] * N + n[None, :]
    dh = tl.load(dhT + own)
    lower = q[:, None] >= q[None, :]
    for step in range(0, CHUNKS):
        c = CHUNKS - 1 - step
        t = c * Q + q
        live = t < T
        row = b.to(tl.int64) * T + t.to(tl.int64)
        x = tl.load(xbc + row[:, None] * W + (h * P + p)[None, :], mask=live[:, None], other=0.0)
        B = tl.load(xbc + row[:, None] * W + (OB + group * N + n)[None, :], mask=live[:, None], other=0.0)
        C = tl.load(xbc + row[:, None] * W + (OC + group * N + n)[None, :], mask=live[:, None], other=0.0)
        dyv = tl.load(dy + (row * H + h)[:, None] * P + p[None, :], mask=live[:, None], other=0.0)
        dtv = tl.load(dt + row * H + h, mask=live, other=0.0)
        lav = tl.load(la + row * H + h, mask=live, other=0.0)
        hin = tl.load(hs + ((b * CHUNKS + c) * H + h).to(tl.int64) * (P * N) + p[:, None] * N + n[None, :])
        cs = tl.cumsum(lav, 0)
        total = tl.sum(lav, 0)
        enter = tl.exp(cs)
        leave = tl.exp(total - cs)
        w = tl.exp(tl.where(lower, cs[:, None] - cs[None, :], -1e30))
        sw = tl.dot(C, tl.trans(B)) * w
        dm = tl.dot(dyv, tl.trans(x))
        g = dm * w * dtv[None, :]
        r = dm * sw * dtv[None, :]
        pair = tl.sum(r, 1) - tl.sum(r, 0)
        gb = g.to(E)
        dhb = dh.to(E)
        read = tl.dot(dyv, hin) * enter[:, None]
        inter = tl.sum(read * C.to(tl.float32), 1)
        dCv = tl.dot(gb, B) + read
        tl.store(dC + (row * H + h)[:, None] * N + n[None, :], dCv.to(E), mask=live[:, None])
        dBv = tl.dot(tl.trans(gb), C) + tl.dot(x, dhb) * (dtv * leave)[:, None]
        tl.store(dB + (row * H + h)[:, None] * N + n[None, :], dBv.to(E), mask=live[:, None])
        out = tl.dot(B, tl.trans(dhb)) * leave[:, None]
        xf = x.to(tl.float32)
        left = tl.sum(out * xf, 1) * dtv
        dxd = out + tl.dot(tl.trans(sw.to(E)), dyv)
        tl.store(dx + (row * H + h)[:, None] * P + p[None, :], (dxd * dtv[:, None]).to(E), mask=live[:, None])
        tl.store(ddt + row * H + h, tl.sum(dxd * xf, 1), mask=live)
        v = pair + inter
        later = tl.sum(v, 0) - tl.cumsum(v, 0) + v
        before = tl.cumsum(left, 0) - left
        ends = tl.sum(tl.sum(hin.to(tl.float32) * dh, 1), 0) * tl.exp(total)
        tl.store(dla + row * H + h, later + before + ends, mask=live)
        dh = dh * tl.exp(total) + tl.dot(tl.trans((dyv.to(tl.float32) * enter[:, None]).to(E)), C)
    tl.store(dh0 + own, dh)


SHAPES = [(64, 16), (64, 32), (64, 64), (64, 128), (64, 256)]
QUERY = 64
SCALARS = ["T", "H", "W", "OB", "OC", "PER", "CHUNKS", "KEEP"]
FORWARD = [("xbc", "bf16"), ("dt", "fp32"), ("la", "fp32"), ("h0", "fp32"), ("y", "bf16"), ("hT", "fp32"), ("hs", "bf16")]
STATES = [("xbc", "bf16"), ("dt", "fp32"), ("la", "fp32"), ("own", "fp32"), ("total", "fp32")]
BACKWARD = [("xbc", "bf16"), ("dt", "fp32"), ("la", "fp32"), ("hs", "bf16"), ("dy", "bf16"), ("dhT", "fp32"), ("dx", "bf16"),
            ("dB", "bf16"), ("dC", "bf16"), ("ddt", "fp32"), ("dla", "fp32"), ("dh0", "fp32")]


def text(kernel, pointers, warps, **constants):
    """Triton IR with pointers aligned to 16 bytes and the scalars still arguments."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    signature = {n: "*" + t for n, t in pointers} | {n: "i32" for n in kernel.arg_names if n in SCALARS} | {n: "constexpr" for n in constants}
    names = list(signature)
    attrs = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n in dict(pointers) or n in ("W", "OB", "OC")}
    source = ASTSource(kernel, signature=signature, constexprs={(names.index(n),): v for n, v in constants.items()}, attrs=attrs)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps, "num_stages": 2}).asm["ttir"]


def write(folder):
    import re
    for P, N in SHAPES:
        for name, kernel, pointers in (("forward", ssd_forward, FORWARD), ("states", ssd_states, STATES), ("backward", ssd_backward, BACKWARD)):
            ir = str(text(kernel, pointers, 4, P=P, N=N, Q=QUERY))
            ir = re.sub(r" ?loc\((?:[^()]|\([^()]*\))*\)", "", re.sub(r"(?m)^#loc.*\n", "", ir))
            with open(f"{folder}/{name}-{P}-{N}.ttir", "w") as f:
                f.write(ir)


def check():
    import torch
    torch.manual_seed(0)
    b, T, H, G, P, N, Q = 2, 150, 4, 2, 16, 16, 64
    W = H * P + 2 * G * N
    xbc = torch.randn(b, T, W, dtype=torch.float64).float()
    dt = torch.rand(b, T, H) * 0.5
    A = -torch.rand(H) - 0.1
    h0, dhT = torch.randn(b, H, P, N), torch.randn(b, H, P, N)
    dy = torch.randn(b, T, H, P)

    leaves = [t.double().requires_grad_() for t in (xbc, dt, dt * A, h0)]
    xr, dtr, lar, hr = leaves
    x, B, C = xr[..., :H * P].view(b, T, H, P), xr[..., H * P:H * P + G * N].view(b, T, G, N), xr[..., H * P + G * N:].view(b, T, G, N)
    rep = lambda v: v.repeat_interleave(H // G, 2)
    B, C, state, ys = rep(B), rep(C), hr, []
    for t in range(T):
        state = lar[:, t].exp()[..., None, None] * state + (dtr[:, t][..., None] * x[:, t])[..., None] * B[:, t][:, :, None]
        ys.append((state * C[:, t][:, :, None]).sum(-1))
    yr = torch.stack(ys, 1)
    ((yr * dy.double()).sum() + (state * dhT.double()).sum()).backward()

    chunks = -(-T // Q)
    y, hT, hs = torch.zeros(b, T, H, P), torch.zeros_like(h0), torch.zeros(b, chunks, H, P, N)
    la = dt * A
    rest = (T, H, W, H * P, H * P + G * N, H // G, chunks, P, N, Q)
    ssd_forward[(H, b)](xbc, dt, la, h0, y, hT, hs, *rest[:7], 1, *rest[7:])
    own, total = torch.zeros_like(h0), torch.zeros(b, H)
    ssd_states[(H, b)](xbc, dt, la, own, total, T, H, W, H * P, H // G, chunks, P, N, Q)
    again = own + total.exp()[..., None, None] * h0
    dx, dB, dC = torch.zeros(b, T, H, P), torch.zeros(b, T, H, N), torch.zeros(b, T, H, N)
    ddt, dla, dh0 = torch.zeros_like(dt), torch.zeros_like(dt), torch.zeros_like(h0)
    ssd_backward[(H, b)](xbc, dt, la, hs, dy, dhT, dx, dB, dC, ddt, dla, dh0, *rest)
    group = lambda v: v.double().view(b, T, G, H // G, N).sum(3).reshape(b, T, G * N)
    bad = 0
    for name, got, want in (("y", y, yr), ("hT", hT, state), ("own", again, state), ("dxbc", torch.cat([dx.double().reshape(b, T, H * P), group(dB), group(dC)], -1), xr.grad),
                            ("ddt", ddt, dtr.grad), ("dla", dla, lar.grad), ("dh0", dh0, hr.grad)):
        want = want.detach()
        ratio = ((got.double() - want).norm() / want.norm()).item()
        print(f"{name:5} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["--check"] else write(sys.argv[1]))
