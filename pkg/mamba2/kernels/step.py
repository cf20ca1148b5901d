"""One token of a Mamba-2 layer as Triton kernels, and their text for XLA. Few sequences: proj_step, state_step, out_step,
matrix-vector products that read every weight once, with the normed values unrounded (with one warp to a program they
were 0.7 times as fast on an H200). Many: add_step (norm_step before the first layer), a product by XLA, conv_step, states_step, a product by
XLA. States are stacked [layers, batch, …]; layer points at the row, which is rewritten in place. A row of proj is
z | x | B | C | dt; z, x, B and C are rounded to bfloat16, dt is not.

    python step.py       compares with PyTorch in float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def round16(x):
    return x.to(tl.bfloat16).to(tl.float32)


@triton.jit
def pieces(weight, o, rows, K, NK: tl.constexpr):
    """Rows o of a matrix of K = 256 × NK columns, in flight before anything else is asked for."""
    k = tl.arange(0, 256)
    ws = ()
    for j in tl.static_range(NK):
        ws += (tl.load(weight + o[:, None].to(tl.int64) * K + (j * 256 + k)[None, :], mask=(o < rows)[:, None], other=0.0),)
    return ws


@triton.jit
def product(ws, x, norm, K, NK: tl.constexpr, EPS: tl.constexpr):
    """The matrix times RMSNorm(x)."""
    k = tl.arange(0, 256)
    xs, gs = (), ()
    for j in tl.static_range(NK):
        xs += (tl.load(x + j * 256 + k),)
        gs += (tl.load(norm + j * 256 + k),)
    acc = ws[0].to(tl.float32) * (xs[0] * gs[0])[None, :]
    square = xs[0] * xs[0]
    for j in tl.static_range(1, NK):
        acc += ws[j].to(tl.float32) * (xs[j] * gs[j])[None, :]
        square += xs[j] * xs[j]
    return tl.sum(acc, 1) * tl.rsqrt(tl.sum(square, 0) / K + EPS)


@triton.jit
def proj_step(layer, r, norm, weight, window, taps, bias, shifted, out, B, D, R, C, OFF, BO: tl.constexpr, NK: tl.constexpr, EPS: tl.constexpr):
    """out = W RMSNorm(r), columns OFF … OFF + C convolved with the window, which moves on by one: it is
    read before the barriers of the product and rewritten after them."""
    b = tl.program_id(0)
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    ws = pieces(weight, o, R, D, NK)
    l = tl.load(layer).to(tl.int64)
    c = o - OFF
    conv = (c >= 0) & (c < C)
    at = ((l * B + b) * C + c) * 4
    tap = (l * C + c) * 4
    v1 = tl.load(window + at + 1, mask=conv, other=0.0)
    v2 = tl.load(window + at + 2, mask=conv, other=0.0)
    v3 = tl.load(window + at + 3, mask=conv, other=0.0)
    a = round16(v1) * tl.load(taps + tap, mask=conv, other=0.0)
    a += round16(v2) * tl.load(taps + tap + 1, mask=conv, other=0.0)
    a += round16(v3) * tl.load(taps + tap + 2, mask=conv, other=0.0)
    t3 = tl.load(taps + tap + 3, mask=conv, other=0.0)
    add = tl.load(bias + l * C + c, mask=conv, other=0.0)
    y = product(ws, r + b * D, norm + l * D, D, NK, EPS)
    raw = round16(y)
    a += raw * t3 + add
    a = round16(a * tl.sigmoid(a))
    tl.store(shifted + at, v1, mask=conv)
    tl.store(shifted + at + 1, v2, mask=conv)
    tl.store(shifted + at + 2, v3, mask=conv)
    tl.store(shifted + at + 3, raw, mask=conv)
    tl.store(out + b * R + o, tl.where(conv, a, tl.where(c < 0, raw, y)), mask=o < R)


@triton.jit
def four(x, at, BC: tl.constexpr, mask):
    """Columns of x [BC, 4] from at on, read at once."""
    i = tl.arange(0, 4)
    even, odd = tl.split(tl.reshape(tl.load(x + at[:, None] + i[None, :], mask=mask[:, None], other=0.0), (BC, 2, 2)))
    v0, v2 = tl.split(even)
    v1, v3 = tl.split(odd)
    return v0, v1, v2, v3


@triton.jit
def conv_step(layer, window, proj, taps, bias, shifted, out, B, R, C, OFF, BC: tl.constexpr):
    """The convolution of proj_step on its own: proj's columns OFF … OFF + C are replaced."""
    b = tl.program_id(1)
    c = tl.program_id(0) * BC + tl.arange(0, BC)
    conv = c < C
    raw = round16(tl.load(proj + b * R + OFF + c, mask=conv, other=0.0))
    l = tl.load(layer).to(tl.int64)
    at = ((l * B + b) * C + c) * 4
    v0, v1, v2, v3 = four(window, at, BC, conv)
    t0, t1, t2, t3 = four(taps, (l * C + c) * 4, BC, conv)
    a = round16(v1) * t0 + round16(v2) * t1 + round16(v3) * t2 + raw * t3 + tl.load(bias + l * C + c, mask=conv, other=0.0)
    a = round16(a * tl.sigmoid(a))
    moved = tl.reshape(tl.join(tl.join(v1, v3), tl.join(v2, raw)), (BC, 4))
    tl.store(shifted + at[:, None] + tl.arange(0, 4)[None, :], moved, mask=conv[:, None])
    tl.store(out + b * R + OFF + c, a, mask=conv)


@triton.jit
def softplus(v):
    """log(1 + exp v); the logarithm by its series in e / (2 + e), since the GPU's own is coarse near 1."""
    e = tl.exp(-tl.abs(v))
    t = e / (2 + e)
    s = t * t
    p = 1.0 / 15 + s / 17
    p = 1.0 / 13 + s * p
    p = 1.0 / 11 + s * p
    p = 1.0 / 9 + s * p
    p = 1.0 / 7 + s * p
    p = 1.0 / 5 + s * p
    p = 1.0 / 3 + s * p
    return tl.maximum(v, 0.0) + 2 * t * (1 + s * p)


@triton.jit
def expm1(x):
    p = 1 + x / 8
    p = 1 + x / 7 * p
    p = 1 + x / 6 * p
    p = 1 + x / 5 * p
    p = 1 + x / 4 * p
    p = 1 + x / 3 * p
    p = 1 + x / 2 * p
    return tl.where(tl.abs(x) < 0.25, x * p, tl.exp(x) - 1)


@triton.jit
def advance(layer, state, proj, dtbias, alog, skip, after, h, p, b, B, R, H, PER, GN, P: tl.constexpr, N: tl.constexpr):
    """h ← α h + Δ x Bᵀ for rows p of a head of sequence b; (h C + D x) SiLU(z). GN is groups × N."""
    n = tl.arange(0, N)
    l = tl.load(layer).to(tl.int64)
    at = ((l * B + b) * H + h) * (P * N) + p[:, None] * N + n[None, :]
    s = tl.load(state + at)
    inner = H * P
    row = proj + b * R
    z = round16(tl.load(row + h * P + p))
    x = tl.load(row + inner + h * P + p)
    bt = tl.load(row + 2 * inner + h // PER * N + n)
    ct = tl.load(row + 2 * inner + GN + h // PER * N + n)
    delta = softplus(tl.load(row + 2 * inner + 2 * GN + h) + tl.load(dtbias + l * H + h))
    decay = expm1(-delta * tl.exp(tl.load(alog + l * H + h)))
    s = s + (s * decay + (x * delta)[:, None] * bt[None, :])
    tl.store(after + at, s)
    y = tl.sum(s * ct[None, :], 1) + x * tl.load(skip + l * H + h)
    return y * z * tl.sigmoid(z)


@triton.jit
def state_step(layer, state, proj, dtbias, alog, skip, after, out, B, R, H, PER, GN, P: tl.constexpr, N: tl.constexpr, PB: tl.constexpr):
    """The recurrence and the gate, PB rows of a head in a program."""
    h = tl.program_id(0)
    p = tl.program_id(1) * PB + tl.arange(0, PB)
    b = tl.program_id(2)
    g = advance(layer, state, proj, dtbias, alog, skip, after, h, p, b, B, R, H, PER, GN, P, N)
    tl.store(out + b * (H * P) + h * P + p, g)


@triton.jit
def states_step(layer, state, proj, dtbias, alog, skip, norm, after, out, squares, B, R, H, PER, GN, P: tl.constexpr, N: tl.constexpr, PB: tl.constexpr):
    """The same for many sequences, with the gated norm's weight in bfloat16 and its sum of squares apart: the square root
    is taken after the product, by add_step."""
    h = tl.program_id(0)
    part = tl.program_id(1)
    p = part * PB + tl.arange(0, PB)
    b = tl.program_id(2)
    weight = tl.load(norm + tl.load(layer).to(tl.int64) * (H * P) + h * P + p)
    g = advance(layer, state, proj, dtbias, alog, skip, after, h, p, b, B, R, H, PER, GN, P, N)
    tl.store(out + b * (H * P) + h * P + p, (g * weight).to(out.dtype.element_ty))
    tl.store(squares + b * (H * (P // PB)) + h * (P // PB) + part, tl.sum(g * g, 0))


@triton.jit
def out_step(layer, g, norm, weight, r, out, D, INNER, BO: tl.constexpr, NK: tl.constexpr, EPS: tl.constexpr):
    """out = r + W RMSNorm(g)."""
    b = tl.program_id(0)
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    ws = pieces(weight, o, D, INNER, NK)
    l = tl.load(layer).to(tl.int64)
    before = tl.load(r + b * D + o, mask=o < D, other=0.0)
    tl.store(out + b * D + o, before + product(ws, g + b * INNER, norm + l * INNER, INNER, NK, EPS), mask=o < D)


@triton.jit
def norm_step(layer, x, norm, out, W, BK: tl.constexpr, EPS: tl.constexpr):
    """out = RMSNorm(x) in bfloat16."""
    b = tl.program_id(0)
    k = tl.arange(0, BK)
    v = tl.load(x + b * W + k, mask=k < W, other=0.0)
    l = tl.load(layer).to(tl.int64)
    v = v * tl.rsqrt(tl.sum(v * v, 0) / W + EPS) * tl.load(norm + l * W + k, mask=k < W, other=0.0)
    tl.store(out + b * W + k, v.to(out.dtype.element_ty), mask=k < W)


@triton.jit
def add_step(layer, r, more, squares, norm, total, out, W, PARTS, INNER, BK: tl.constexpr, BP: tl.constexpr, EPS: tl.constexpr):
    """total = r + more / RMS and out = RMSNorm(total) in bfloat16; the RMS is that of the INNER values whose squares sum
    to the PARTS ones."""
    b = tl.program_id(0)
    k = tl.arange(0, BK)
    i = tl.arange(0, BP)
    m = tl.load(more + b * W + k, mask=k < W, other=0.0)
    v = tl.load(r + b * W + k, mask=k < W, other=0.0)
    scale = tl.rsqrt(tl.sum(tl.load(squares + b * PARTS + i, mask=i < PARTS, other=0.0), 0) / INNER + EPS)
    l = tl.load(layer).to(tl.int64)
    g = tl.load(norm + l * W + k, mask=k < W, other=0.0)
    v += m * scale
    tl.store(total + b * W + k, v, mask=k < W)
    v = v * tl.rsqrt(tl.sum(v * v, 0) / W + EPS) * g
    tl.store(out + b * W + k, v.to(out.dtype.element_ty), mask=k < W)


@triton.jit
def head_step(r, norm, table, out, D, V, BO: tl.constexpr, NK: tl.constexpr, EPS: tl.constexpr):
    """Logits E RMSNorm(r)."""
    b = tl.program_id(0)
    o = tl.program_id(1) * BO + tl.arange(0, BO)
    tl.store(out + b * V + o, product(pieces(table, o, V, D, NK), r + b * D, norm, D, NK, EPS), mask=o < V)


def pointers(text):
    kinds = {"*": "bf16", "!": "i32"}
    return [(n.rstrip("*!"), kinds.get(n[-1], "fp32")) for n in text.split()]


PIECES = [1, 2, 3, 4, 6, 8, 10]  # of 256 columns: the official widths, and half the inner ones
STATES = [16, 32, 64, 128, 256]
BLOCKS = [256, 512, 1024, 2048, 4096]
KERNELS = {
    "proj_step": (proj_step, pointers("layer! r norm weight* window taps bias shifted out"), [dict(BO=8, NK=k, EPS=1e-5) for k in PIECES]),
    "conv_step": (conv_step, pointers("layer! window proj taps bias shifted out"), [dict(BC=128)]),
    "state_step": (state_step, pointers("layer! state proj dtbias alog skip after out"),
                   [dict(P=64, N=n, PB=8) for n in STATES]),
    "states_step": (states_step, pointers("layer! state proj dtbias alog skip norm after out* squares"),
                    [dict(P=64, N=n, PB=8) for n in STATES]),
    "out_step": (out_step, pointers("layer! g norm weight* r out"), [dict(BO=4, NK=2 * k, EPS=1e-5) for k in PIECES]),
    "norm_step": (norm_step, pointers("layer! x norm out*"), [dict(BK=k, EPS=1e-5) for k in BLOCKS]),
    "add_step": (add_step, pointers("layer! r more squares norm total out*"), [dict(BK=k, BP=1024, EPS=1e-5) for k in BLOCKS]),
    "head_step": (head_step, pointers("r norm table* out"), [dict(BO=16, NK=k, EPS=1e-5) for k in PIECES]),
}


def file(name, constants):
    return "-".join([name] + [str(constants[n]) for n in ("N", "NK", "BK") if n in constants])


def texts():
    for name, (kernel, arguments, variants) in KERNELS.items():
        for constants in variants:
            yield dict(file=file(name, constants), kernel=kernel, pointers=dict(arguments), constants=constants, multiples=("D", "INNER", "W"),
                       warps=1 if name == "states_step" else 4, stages=1)


def check():
    import torch
    import torch.nn.functional as F
    torch.manual_seed(0)
    L, B, D, P, H, N, G, V, layer = 3, 2, 256, 64, 8, 8, 2, 21, 1
    inner = H * P
    C = inner + 2 * G * N
    R = inner + C + H
    rand = lambda *s: torch.randn(*s)
    half = lambda x: (x.float().view(torch.int32) & -65536).view(torch.float32).double()  # the interpreter truncates
    at = torch.tensor([layer], dtype=torch.int32)
    r, norm, w, window, taps, bias = rand(B, D), rand(L, D), rand(R, D).bfloat16(), rand(L, B, C, 4).bfloat16().float(), rand(L, C, 4), rand(L, C)
    state, dtb, alog, skip, gnorm, wo = rand(L, B, H, P, N), rand(L, H) - 3, rand(L, H), rand(L, H), rand(L, inner), rand(D, inner).bfloat16()
    fnorm, table = rand(D), rand(V, D).bfloat16()
    rms = lambda x, g: x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * g
    # the definition
    plain = rms(r.double(), norm[layer].double()) @ w.double().T
    moved = torch.cat([window[layer, :, :, 1:].double(), half(plain[:, inner:inner + C])[..., None]], -1)
    conv = half(F.silu((moved * taps[layer].double()).sum(-1) + bias[layer].double()))
    z = half(plain[:, :inner])
    x = conv[:, :inner].reshape(B, H, P)
    bt, ct = (conv[:, inner + i * G * N:][:, :G * N].reshape(B, G, N).repeat_interleave(H // G, 1) for i in (0, 1))
    delta = F.softplus(plain[:, inner + C:] + dtb[layer].double())
    alpha = torch.exp(-delta * torch.exp(alog[layer].double()))
    h = state[layer].double() * alpha[..., None, None] + (delta[..., None] * x)[..., None] * bt[:, :, None, :]
    y = (h * ct[:, :, None, :]).sum(-1) + skip[layer].double()[:, None] * x
    g = y.reshape(B, inner) * F.silu(z)
    last = r.double() + rms(g, gnorm[layer].double()) @ wo.double().T
    logits = rms(last, fnorm.double()) @ table.double().T
    bad = 0

    def compare(name, got, want):
        nonlocal bad
        ratio = ((got.double() - want).norm() / want.norm()).item()
        print(f"{name:12} {ratio:.2e}")
        bad += not ratio < 1e-4

    def whole(stack, row):
        full = stack.double().clone()
        full[layer] = row
        return full

    window0, state0 = window.clone(), state.clone()
    proj, gated, out, lg = torch.zeros(B, R), torch.zeros(B, inner), torch.zeros(B, D), torch.zeros(B, V)
    proj_step[(B, -(-R // 8))](at, r, norm, w, window, taps, bias, window, proj, B, D, R, C, inner, 8, 1, 1e-5)
    compare("proj", proj, torch.cat([z, conv, plain[:, inner + C:]], 1))
    compare("window", window, whole(window0, moved))
    state_step[(H, P // 8, B)](at, state, proj, dtb, alog, skip, state, gated, B, R, H, H // G, G * N, P, N, 8)
    compare("state", state, whole(state0, h))
    compare("gated", gated, g)
    out_step[(B, -(-D // 4))](at, gated, gnorm, wo, r, out, D, inner, 4, 2, 1e-5)
    compare("out", out, last)
    head_step[(B, -(-V // 16))](out, fnorm, table, lg, D, V, 16, 1, 1e-5)
    compare("head", lg, logits)
    many, apart, normed = window0.clone(), plain.float().contiguous(), torch.zeros(B, D, dtype=torch.bfloat16)
    conv_step[(-(-C // 64), B)](at, many, apart, taps, bias, many, apart, B, R, C, inner, 64)
    compare("conv", apart, torch.cat([plain[:, :inner], conv, plain[:, inner + C:]], 1))
    compare("window", many, whole(window0, moved))
    norm_step[(B,)](at, r, norm, normed, D, 256, 1e-5)
    compare("norm", normed, half(rms(r.double(), norm[layer].double())))
    many, weighted, squares = state0.clone(), torch.zeros(B, inner, dtype=torch.bfloat16), torch.zeros(B, H * (P // 16))
    states_step[(H, P // 16, B)](at, many, proj, dtb, alog, skip, gnorm, many, weighted, squares, B, R, H, H // G, G * N, P, N, 16)
    compare("states", many, whole(state0, h))
    compare("weighted", weighted, half(g * gnorm[layer]))
    compare("squares", squares.sum(1), (g * g).sum(1))
    more, total, normed = (weighted.double() @ wo.double().T).float(), torch.zeros(B, D), torch.zeros(B, D, dtype=torch.bfloat16)
    add_step[(B,)](at, r, more, squares, norm, total, normed, D, H * (P // 16), inner, 256, 64, 1e-5)
    summed = r + more * torch.rsqrt((g * g).mean(-1, keepdim=True) + 1e-5)
    compare("sum", total, summed)
    compare("its norm", normed, half(rms(summed, norm[layer].double())))
    v = torch.linspace(-20, 20, 1001)
    e = -torch.logspace(-8, 2, 1001)
    soft, minus = torch.zeros_like(v), torch.zeros_like(e)
    both[(1,)](v, e, soft, minus, 1001, 1024)
    for name, got, want in (("softplus", soft, F.softplus(v.double(), threshold=1e9)), ("expm1", minus, torch.expm1(e.double()))):
        worst = ((got.double() - want).abs() / want.abs()).max().item()
        print(f"{name:12} {worst:.2e}")
        bad += not worst < 1e-6
    return bad


@triton.jit
def both(v, e, soft, minus, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(soft + i, softplus(tl.load(v + i, mask=i < n)), mask=i < n)
    tl.store(minus + i, expm1(tl.load(e + i, mask=i < n)), mask=i < n)


if __name__ == "__main__":
    sys.exit(check())
