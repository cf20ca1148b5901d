"""The memory-bound parts of a Mamba-2 block as Triton kernels, with their gradients, and their text for XLA: the causal
convolution of four taps with SiLU, the RMSNorm of the block's input and the gated one of the recurrence's output.

The convolution walks along the tokens of a segment with the last rows in registers; the gradients of its taps leave as
one sum for each segment. Columns of a wider row-major array (z | x | B | C) are read in place.

    python block.py      compares with PyTorch in float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def row_of(base, t, T, R, mask):
    return tl.load(base + t * R, mask=mask & (t < T), other=0.0).to(tl.float32)


@triton.jit
def silu(x):
    return x * tl.sigmoid(x)


@triton.jit
def conv_forward(proj, window, weight, bias, out, T, C, R, OFF, ROWS, SEG, BC: tl.constexpr):
    """out[t] = silu(bias + Σ_i weight[i] raw[t − 3 + i]); raw before the first token is the window, newest last.
    A model has ROWS sequences."""
    start = tl.program_id(0).to(tl.int64) * SEG
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.program_id(2).to(tl.int64)
    m = c < C
    weight += b // ROWS * C * 4
    raw = proj + (b * T * R + OFF) + c
    past = window + b * C * 4 + c * 4
    out = out + b * T * C + c
    w0 = tl.load(weight + c * 4, mask=m, other=0.0)
    w1 = tl.load(weight + c * 4 + 1, mask=m, other=0.0)
    w2 = tl.load(weight + c * 4 + 2, mask=m, other=0.0)
    w3 = tl.load(weight + c * 4 + 3, mask=m, other=0.0)
    add = tl.load(bias + b // ROWS * C + c, mask=m, other=0.0)
    inside = m & (start > 0)
    first = m & (start == 0)
    p3 = row_of(raw, start - 3, T, R, inside) + tl.load(past + 1, mask=first, other=0.0)
    p2 = row_of(raw, start - 2, T, R, inside) + tl.load(past + 2, mask=first, other=0.0)
    p1 = row_of(raw, start - 1, T, R, inside) + tl.load(past + 3, mask=first, other=0.0)
    for step in range(0, SEG, 4):
        t = start + step
        r0 = row_of(raw, t, T, R, m)
        r1 = row_of(raw, t + 1, T, R, m)
        r2 = row_of(raw, t + 2, T, R, m)
        r3 = row_of(raw, t + 3, T, R, m)
        E = out.dtype.element_ty
        tl.store(out + t * C, silu(add + w0 * p3 + w1 * p2 + w2 * p1 + w3 * r0).to(E), mask=m & (t < T))
        tl.store(out + (t + 1) * C, silu(add + w0 * p2 + w1 * p1 + w2 * r0 + w3 * r1).to(E), mask=m & (t + 1 < T))
        tl.store(out + (t + 2) * C, silu(add + w0 * p1 + w1 * r0 + w2 * r1 + w3 * r2).to(E), mask=m & (t + 2 < T))
        tl.store(out + (t + 3) * C, silu(add + w0 * r0 + w1 * r1 + w2 * r2 + w3 * r3).to(E), mask=m & (t + 3 < T))
        p3 = r1
        p2 = r2
        p1 = r3


@triton.jit
def cotangent(dx, dbc, t, T, INNER, REST, m, mx):
    """Row t of the gradient of the output: its first INNER channels, and the others."""
    a = tl.load(dx + t * INNER, mask=mx & (t < T), other=0.0).to(tl.float32)
    return a + tl.load(dbc + t * REST, mask=m & (mx == 0) & (t < T), other=0.0).to(tl.float32)


@triton.jit
def dsilu(x, d):
    s = tl.sigmoid(x)
    return d * s * (1 + x * (1 - s))


@triton.jit
def put(draw, dafter, dwindow, s, start, value, T, C, m):
    """Writes the gradient of raw row s, that of the window where s < 0; the last four rows are the window that is left."""
    value += tl.load(dafter + (s - (T - 4)), mask=m & (s >= T - 4) & (s < T), other=0.0)
    tl.store(draw + s * C, value.to(draw.dtype.element_ty), mask=m & (s >= start) & (s < T))
    tl.store(dwindow + (4 + s), value, mask=m & (s < 0))


@triton.jit
def conv_backward(proj, window, weight, bias, dx, dbc, dafter, draw, dwindow, sums, T, C, R, OFF, INNER, ROWS, SEG, BC: tl.constexpr):
    """Gradients of conv_forward: of raw, of the window and, summed over a segment, of the four taps and the bias."""
    segment = tl.program_id(0)
    start = segment.to(tl.int64) * SEG
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.program_id(2).to(tl.int64)
    m = c < C
    mx = c < INNER
    REST = C - INNER
    weight += b // ROWS * C * 4
    raw = proj + (b * T * R + OFF) + c
    past = window + b * C * 4 + c * 4
    dx = dx + b * T * INNER + c
    dbc = dbc + b * T * REST + (c - INNER)
    dafter = dafter + b * C * 4 + c * 4
    draw = draw + b * T * C + c
    dwindow = dwindow + b * C * 4 + c * 4
    w0 = tl.load(weight + c * 4, mask=m, other=0.0)
    w1 = tl.load(weight + c * 4 + 1, mask=m, other=0.0)
    w2 = tl.load(weight + c * 4 + 2, mask=m, other=0.0)
    w3 = tl.load(weight + c * 4 + 3, mask=m, other=0.0)
    add = tl.load(bias + b // ROWS * C + c, mask=m, other=0.0)
    inside = m & (start > 0)
    first = m & (start == 0)
    p3 = row_of(raw, start - 3, T, R, inside) + tl.load(past + 1, mask=first, other=0.0)
    p2 = row_of(raw, start - 2, T, R, inside) + tl.load(past + 2, mask=first, other=0.0)
    p1 = row_of(raw, start - 1, T, R, inside) + tl.load(past + 3, mask=first, other=0.0)
    zero = tl.zeros((BC,), tl.float32)
    tl.store(dwindow, zero, mask=first)
    g0 = zero
    g1 = zero
    g2 = zero
    g3 = zero
    gb = zero
    d3 = zero
    d2 = zero
    d1 = zero
    for step in range(0, SEG, 4):
        t = start + step
        r0 = row_of(raw, t, T, R, m)
        r1 = row_of(raw, t + 1, T, R, m)
        r2 = row_of(raw, t + 2, T, R, m)
        r3 = row_of(raw, t + 3, T, R, m)
        e0 = cotangent(dx, dbc, t, T, INNER, REST, m, mx)
        e1 = cotangent(dx, dbc, t + 1, T, INNER, REST, m, mx)
        e2 = cotangent(dx, dbc, t + 2, T, INNER, REST, m, mx)
        e3 = cotangent(dx, dbc, t + 3, T, INNER, REST, m, mx)
        e0 = dsilu(add + w0 * p3 + w1 * p2 + w2 * p1 + w3 * r0, e0)
        e1 = dsilu(add + w0 * p2 + w1 * p1 + w2 * r0 + w3 * r1, e1)
        e2 = dsilu(add + w0 * p1 + w1 * r0 + w2 * r1 + w3 * r2, e2)
        e3 = dsilu(add + w0 * r0 + w1 * r1 + w2 * r2 + w3 * r3, e3)
        g0 += e0 * p3 + e1 * p2 + e2 * p1 + e3 * r0
        g1 += e0 * p2 + e1 * p1 + e2 * r0 + e3 * r1
        g2 += e0 * p1 + e1 * r0 + e2 * r1 + e3 * r2
        g3 += e0 * r0 + e1 * r1 + e2 * r2 + e3 * r3
        gb += e0 + e1 + e2 + e3
        put(draw, dafter, dwindow, t - 3, start, w3 * d3 + w2 * d2 + w1 * d1 + w0 * e0, T, C, m)
        put(draw, dafter, dwindow, t - 2, start, w3 * d2 + w2 * d1 + w1 * e0 + w0 * e1, T, C, m)
        put(draw, dafter, dwindow, t - 1, start, w3 * d1 + w2 * e0 + w1 * e1 + w0 * e2, T, C, m)
        put(draw, dafter, dwindow, t, start, w3 * e0 + w2 * e1 + w1 * e2 + w0 * e3, T, C, m)
        d3 = e1
        d2 = e2
        d1 = e3
        p3 = r1
        p2 = r2
        p1 = r3
    t = start + SEG
    r0 = row_of(raw, t, T, R, m)
    r1 = row_of(raw, t + 1, T, R, m)
    r2 = row_of(raw, t + 2, T, R, m)
    e0 = cotangent(dx, dbc, t, T, INNER, REST, m, mx)
    e1 = cotangent(dx, dbc, t + 1, T, INNER, REST, m, mx)
    e2 = cotangent(dx, dbc, t + 2, T, INNER, REST, m, mx)
    e0 = dsilu(add + w0 * p3 + w1 * p2 + w2 * p1 + w3 * r0, e0)
    e1 = dsilu(add + w0 * p2 + w1 * p1 + w2 * r0 + w3 * r1, e1)
    e2 = dsilu(add + w0 * p1 + w1 * r0 + w2 * r1 + w3 * r2, e2)
    put(draw, dafter, dwindow, t - 3, start, w3 * d3 + w2 * d2 + w1 * d1 + w0 * e0, T, C, m)
    put(draw, dafter, dwindow, t - 2, start, w3 * d2 + w2 * d1 + w1 * e0 + w0 * e1, T, C, m)
    put(draw, dafter, dwindow, t - 1, start, w3 * d1 + w2 * e0 + w1 * e1 + w0 * e2, T, C, m)
    sums = sums + (b * tl.num_programs(0) + segment) * 5 * C + c
    tl.store(sums, g0, mask=m)
    tl.store(sums + C, g1, mask=m)
    tl.store(sums + 2 * C, g2, mask=m)
    tl.store(sums + 3 * C, g3, mask=m)
    tl.store(sums + 4 * C, gb, mask=m)


@triton.jit
def gate_forward(y, proj, weight, out, INNER, R, ROWS, BLOCK: tl.constexpr, EPS: tl.constexpr):
    """out = RMSNorm(y silu(z)) weight, one program per token; a model has ROWS tokens."""
    row = tl.program_id(0).to(tl.int64)
    weight += row // ROWS * INNER
    i = tl.arange(0, BLOCK)
    m = i < INNER
    v = tl.load(y + row * INNER + i, mask=m, other=0.0).to(tl.float32)
    z = tl.load(proj + row * R + i, mask=m, other=0.0).to(tl.float32)
    g = v * silu(z)
    r = tl.rsqrt(tl.sum(g * g, 0) / INNER + EPS)
    tl.store(out + row * INNER + i, (g * r * tl.load(weight + i, mask=m, other=0.0)).to(out.dtype.element_ty), mask=m)


@triton.jit
def gate_backward(y, proj, weight, dout, dy, dz, sums, INNER, R, ROWS, PER, BLOCK: tl.constexpr, EPS: tl.constexpr):
    """Gradients of gate_forward for PER tokens of one model; that of the weight is summed over them."""
    program = tl.program_id(0).to(tl.int64)
    start = program * PER
    i = tl.arange(0, BLOCK)
    m = i < INNER
    w = tl.load(weight + start // ROWS * INNER + i, mask=m, other=0.0)
    dw = tl.zeros((BLOCK,), tl.float32)
    y += start * INNER + i
    proj += start * R + i
    dout += start * INNER + i
    next_y = tl.load(y, mask=m, other=0.0)
    next_z = tl.load(proj, mask=m, other=0.0)
    next_d = tl.load(dout, mask=m, other=0.0)
    for k in range(0, PER):
        row = start + k
        v = next_y.to(tl.float32)
        z = next_z.to(tl.float32)
        d = next_d.to(tl.float32)
        ahead = m & (k + 1 < PER)  # the next token's rows are on their way while this one's are worked on
        y += INNER
        proj += R
        dout += INNER
        next_y = tl.load(y, mask=ahead, other=0.0)
        next_z = tl.load(proj, mask=ahead, other=0.0)
        next_d = tl.load(dout, mask=ahead, other=0.0)
        s = tl.sigmoid(z)
        act = z * s
        g = v * act
        dn = d * w
        squares = tl.sum(g * g, 0)
        along = tl.sum(dn * g, 0)
        r = tl.rsqrt(squares / INNER + EPS)
        dg = r * (dn - g * (r * r * along / INNER))
        dw += d * g * r
        tl.store(dy + row * INNER + i, (dg * act).to(dy.dtype.element_ty), mask=m)
        tl.store(dz + row * INNER + i, (dg * v * s * (1 + z * (1 - s))).to(dz.dtype.element_ty), mask=m)
    tl.store(sums + program * INNER + i, dw, mask=m)


@triton.jit
def norm_forward(r, weight, out, WIDTH, ROWS, BLOCK: tl.constexpr, EPS: tl.constexpr):
    """out = RMSNorm(r) weight, one program per token; a model has ROWS tokens."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    m = i < WIDTH
    x = tl.load(r + row * WIDTH + i, mask=m, other=0.0)
    x = x * tl.rsqrt(tl.sum(x * x, 0) / WIDTH + EPS)
    w = tl.load(weight + row // ROWS * WIDTH + i, mask=m, other=0.0)
    tl.store(out + row * WIDTH + i, (x * w).to(out.dtype.element_ty), mask=m)


@triton.jit
def norm_backward(r, weight, dout, dres, dr, sums, WIDTH, ROWS, PER, BLOCK: tl.constexpr, EPS: tl.constexpr):
    """The gradient of r that goes through norm_forward and, dres, past it, for PER tokens of one model; that of the weight
    is summed over them."""
    program = tl.program_id(0).to(tl.int64)
    start = program * PER
    i = tl.arange(0, BLOCK)
    m = i < WIDTH
    w = tl.load(weight + start // ROWS * WIDTH + i, mask=m, other=0.0)
    dw = tl.zeros((BLOCK,), tl.float32)
    for k in range(0, PER):
        at = (start + k) * WIDTH + i
        x = tl.load(r + at, mask=m, other=0.0)
        d = tl.load(dout + at, mask=m, other=0.0).to(tl.float32)
        past = tl.load(dres + at, mask=m, other=0.0)
        dn = d * w
        squares = tl.sum(x * x, 0)
        along = tl.sum(dn * x, 0)
        n = tl.rsqrt(squares / WIDTH + EPS)
        dw += d * x * n
        tl.store(dr + at, past + n * (dn - x * (n * n * along / WIDTH)), mask=m)
    tl.store(sums + program * WIDTH + i, dw, mask=m)


def pointers(text):
    return [(n.rstrip("*"), "bf16" if n.endswith("*") else "fp32") for n in text.split()]


KERNELS = {
    "conv_forward": (conv_forward, pointers("proj* window weight bias out*")),
    "conv_backward": (conv_backward, pointers("proj* window weight bias dx* dbc* dafter draw* dwindow sums")),
    "gate_forward": (gate_forward, pointers("y* proj* weight out*")),
    "gate_backward": (gate_backward, pointers("y* proj* weight dout* dy* dz* sums")),
    "norm_forward": (norm_forward, pointers("r weight out*")),
    "norm_backward": (norm_backward, pointers("r weight dout* dres dr sums")),
}
BLOCKS = [256, 512, 1024, 2048, 4096, 8192]


def texts():
    for name, (kernel, arguments) in KERNELS.items():
        for block in [0] if name.startswith("conv") else BLOCKS:
            yield dict(file=name + (f"-{block}" if block else ""), kernel=kernel, pointers=dict(arguments), warps=4, stages=2,
                       constants=dict(BLOCK=block, EPS=1e-5) if block else dict(BC=256), multiples=("C", "R", "OFF", "INNER", "WIDTH"))


def check():
    import torch
    import torch.nn.functional as F
    torch.manual_seed(0)
    b, T, P, H, N, SEG = 2, 70, 16, 3, 8, 16
    inner, C = H * P, H * P + 2 * N
    R = inner + C
    leaf = lambda *s: torch.randn(*s).double().requires_grad_()
    narrow = lambda t: t.detach().float().contiguous()
    proj, window, weight, bias = leaf(b, T, R), leaf(b, C, 4), leaf(b, C, 4), leaf(b, C)  # two models of one row
    y, norm = leaf(b, T, inner), leaf(b, inner)
    raw = torch.cat([window[:, :, 1:], proj[..., inner:].transpose(1, 2)], 2)
    conv = F.silu(torch.cat([F.conv1d(raw[k:k + 1], weight[k][:, None], bias[k], groups=C) for k in range(b)])).transpose(1, 2)
    after = raw[:, :, -4:]
    g = y * F.silu(proj[..., :inner])
    normed = g * torch.rsqrt((g * g).mean(-1, keepdim=True) + 1e-5) * norm[:, None]
    r, first = leaf(b, T, inner), leaf(b, inner)
    plain = r * torch.rsqrt((r * r).mean(-1, keepdim=True) + 1e-5) * first[:, None]
    dplain, dres = torch.randn(b, T, inner), torch.randn(b, T, inner)
    ((plain * dplain).sum() + (r * dres).sum()).backward()
    dconv, dafter, dnormed = torch.randn(b, T, C), torch.randn(b, C, 4), torch.randn(b, T, inner)
    ((conv * dconv).sum() + (after * dafter).sum() + (normed * dnormed).sum()).backward()

    out, gated = torch.zeros(b, T, C), torch.zeros(b, T, inner)
    segments, blocks, per = -(-T // SEG), -(-C // 32), 7
    of = [narrow(t) for t in (proj, window, weight, bias)]
    conv_forward[(segments, blocks, b)](*of, out, T, C, R, inner, 1, SEG, 32)
    gate_forward[(b * T,)](narrow(y), of[0], narrow(norm), gated, inner, R, T, 64, 1e-5)
    draw, dwindow, sums = torch.zeros(b, T, C), torch.ones(b, C, 4), torch.zeros(b, segments, 5, C)
    conv_backward[(segments, blocks, b)](*of, dconv[..., :inner].contiguous(), dconv[..., inner:].contiguous(), dafter,
                                         draw, dwindow, sums, T, C, R, inner, inner, 1, SEG, 32)
    dy, dz, dnorm = torch.zeros(b, T, inner), torch.zeros(b, T, inner), torch.zeros(b, T // per, inner)
    gate_backward[(b * T // per,)](narrow(y), of[0], narrow(norm), dnormed, dy, dz, dnorm, inner, R, T, per, 64, 1e-5)
    once, dr, dfirst = torch.zeros(b, T, inner), torch.zeros(b, T, inner), torch.zeros(b, T // per, inner)
    norm_forward[(b * T,)](narrow(r), narrow(first), once, inner, T, 64, 1e-5)
    norm_backward[(b * T // per,)](narrow(r), narrow(first), dplain, dres, dr, dfirst, inner, T, per, 64, 1e-5)
    bad = 0
    for name, got, want in (("conv", out, conv), ("gate", gated, normed), ("draw", draw, proj.grad[..., inner:]), ("dwindow", dwindow, window.grad),
                            ("dweight", sums.sum(1)[:, :4].transpose(1, 2), weight.grad), ("dbias", sums.sum(1)[:, 4], bias.grad),
                            ("dy", dy, y.grad), ("dz", dz, proj.grad[..., :inner]), ("dnorm", dnorm.sum(1), norm.grad),
                            ("norm", once, plain), ("dr", dr, r.grad), ("dfirst", dfirst.sum(1), first.grad)):
        ratio = ((got.double() - want).norm() / want.norm()).item()
        print(f"{name:8} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check())
