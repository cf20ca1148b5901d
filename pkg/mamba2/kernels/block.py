"""The two memory-bound parts of a Mamba-2 block as Triton kernels, and their text for XLA: the causal convolution of
four taps with SiLU, and the gated RMSNorm of the recurrence's output. Rows of proj (z | x | B | C) are read in place.

    python block.py DIR          writes DIR/NAME.ttir
    python block.py --check      compares with PyTorch in float64, in Triton's interpreter (TRITON_INTERPRET=1)
"""
import re
import sys

import triton
import triton.language as tl


@triton.jit
def conv_forward(proj, window, weight, bias, out, T, C, R, OFF, ROWS, BT: tl.constexpr, BC: tl.constexpr):
    """out[t] = silu(bias + Σ_i weight[i] raw[t − 3 + i]); raw before the first token is the window, newest last.
    A model has ROWS sequences."""
    t = tl.program_id(0) * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.program_id(2).to(tl.int64)
    weight += b // ROWS * C * 4
    bias += b // ROWS * C
    live = (t < T)[:, None] & (c < C)[None, :]
    acc = tl.zeros((BT, BC), tl.float32) + tl.load(bias + c, mask=c < C, other=0.0)[None, :]
    for i in tl.static_range(4):
        s = t - 3 + i
        now = tl.load(proj + (b * T + s)[:, None] * R + (OFF + c)[None, :], mask=live & (s >= 0)[:, None], other=0.0).to(tl.float32)
        past = tl.load(window + b * C * 4 + c[None, :] * 4 + 4 + s[:, None], mask=live & (s < 0)[:, None], other=0.0)
        acc += (now + past) * tl.load(weight + c * 4 + i, mask=c < C, other=0.0)[None, :]
    acc = acc * tl.sigmoid(acc)
    tl.store(out + (b * T + t)[:, None] * C + c[None, :], acc.to(out.dtype.element_ty), mask=live)


@triton.jit
def conv_backward(proj, window, weight, bias, dout, draw, sums, T, C, R, OFF, ROWS, BT: tl.constexpr, BC: tl.constexpr):
    """draw, and per tile the gradients of the four taps and of the bias: sums [batch, tiles, 5, C]."""
    tile = tl.program_id(0)
    t = tile * BT + tl.arange(0, BT)
    c = tl.program_id(1) * BC + tl.arange(0, BC)
    b = tl.program_id(2).to(tl.int64)
    weight += b // ROWS * C * 4
    bias += b // ROWS * C
    inside = (c < C)[None, :]
    shift = tl.load(bias + c, mask=c < C, other=0.0)[None, :]
    back = tl.zeros((BT, BC), tl.float32)
    part = sums + (b * tl.num_programs(0) + tile) * 5 * C + c
    for d in tl.static_range(4):  # pre-activation and its gradient at t + d
        pre = tl.zeros((BT, BC), tl.float32) + shift
        for i in tl.static_range(4):
            s = t + d - 3 + i
            now = tl.load(proj + (b * T + s)[:, None] * R + (OFF + c)[None, :], mask=inside & ((s >= 0) & (s < T))[:, None], other=0.0).to(tl.float32)
            past = tl.load(window + b * C * 4 + c[None, :] * 4 + 4 + s[:, None], mask=inside & (s < 0)[:, None], other=0.0)
            pre += (now + past) * tl.load(weight + c * 4 + i, mask=c < C, other=0.0)[None, :]
        g = tl.load(dout + (b * T + t + d)[:, None] * C + c[None, :], mask=inside & (t + d < T)[:, None], other=0.0).to(tl.float32)
        sig = tl.sigmoid(pre)
        dpre = g * sig * (1 + pre * (1 - sig))
        back += dpre * tl.load(weight + c * 4 + 3 - d, mask=c < C, other=0.0)[None, :]
        if d == 0:
            tl.store(part + 4 * C, tl.sum(dpre, 0), mask=c < C)
            for i in tl.static_range(4):
                s = t - 3 + i
                now = tl.load(proj + (b * T + s)[:, None] * R + (OFF + c)[None, :], mask=inside & ((s >= 0) & (s < T))[:, None], other=0.0).to(tl.float32)
                past = tl.load(window + b * C * 4 + c[None, :] * 4 + 4 + s[:, None], mask=inside & (s < 0)[:, None], other=0.0)
                tl.store(part + i * C, tl.sum(dpre * (now + past), 0), mask=c < C)
    tl.store(draw + (b * T + t)[:, None] * C + c[None, :], back.to(draw.dtype.element_ty), mask=inside & (t < T)[:, None])


@triton.jit
def gate_forward(y, conv, proj, skip, weight, out, INNER, C, R, ROWS, P: tl.constexpr, BLOCK: tl.constexpr, EPS: tl.constexpr):
    """out = RMSNorm((y + D x) silu(z)) weight, one program per token; a model has ROWS tokens."""
    row = tl.program_id(0).to(tl.int64)
    skip += row // ROWS * (INNER // P)
    weight += row // ROWS * INNER
    i = tl.arange(0, BLOCK)
    m = i < INNER
    v = tl.load(y + row * INNER + i, mask=m, other=0.0).to(tl.float32)
    v += tl.load(skip + i // P, mask=m, other=0.0) * tl.load(conv + row * C + i, mask=m, other=0.0).to(tl.float32)
    z = tl.load(proj + row * R + i, mask=m, other=0.0).to(tl.float32)
    g = v * z * tl.sigmoid(z)
    r = tl.rsqrt(tl.sum(g * g, 0) / INNER + EPS)
    tl.store(out + row * INNER + i, (g * r * tl.load(weight + i, mask=m, other=0.0)).to(out.dtype.element_ty), mask=m)


@triton.jit
def gate_backward(y, conv, proj, skip, weight, dout, dy, dx, dz, sums, INNER, C, R, ROWS, EACH,
                  P: tl.constexpr, BLOCK: tl.constexpr, EPS: tl.constexpr):
    """Gradients of EACH tokens, and their sums for weight and, entry by entry, D: sums [programs, 2, INNER]."""
    part = tl.program_id(0)
    model = part.to(tl.int64) * EACH // ROWS
    skip += model * (INNER // P)
    weight += model * INNER
    i = tl.arange(0, BLOCK)
    m = i < INNER
    w = tl.load(weight + i, mask=m, other=0.0)
    D = tl.load(skip + i // P, mask=m, other=0.0)
    dw = tl.zeros((BLOCK,), tl.float32)
    dD = tl.zeros((BLOCK,), tl.float32)
    for j in range(0, EACH):
        row = part.to(tl.int64) * EACH + j
        x = tl.load(conv + row * C + i, mask=m, other=0.0).to(tl.float32)
        v = tl.load(y + row * INNER + i, mask=m, other=0.0).to(tl.float32) + D * x
        z = tl.load(proj + row * R + i, mask=m, other=0.0).to(tl.float32)
        d = tl.load(dout + row * INNER + i, mask=m, other=0.0).to(tl.float32)
        sig = tl.sigmoid(z)
        s = z * sig
        g = v * s
        r = tl.rsqrt(tl.sum(g * g, 0) / INNER + EPS)
        dw += d * g * r
        dn = d * w
        dg = r * dn - g * (r * r * r / INNER * tl.sum(dn * g, 0))
        dv = dg * s
        dD += dv * x
        tl.store(dy + row * INNER + i, dv.to(dy.dtype.element_ty), mask=m)
        tl.store(dx + row * INNER + i, (dv * D).to(dx.dtype.element_ty), mask=m)
        tl.store(dz + row * INNER + i, (dg * v * sig * (1 + z * (1 - sig))).to(dz.dtype.element_ty), mask=m)
    tl.store(sums + part * 2 * INNER + i, dw, mask=m)
    tl.store(sums + (part * 2 + 1) * INNER + i, dD, mask=m)


def pointers(text):
    return [(n.rstrip("*"), "bf16" if n.endswith("*") else "fp32") for n in text.split()]


KERNELS = {
    "conv_forward": (conv_forward, pointers("proj* window weight bias out*")),
    "conv_backward": (conv_backward, pointers("proj* window weight bias dout* draw* sums")),
    "gate_forward": (gate_forward, pointers("y* conv* proj* skip weight out*")),
    "gate_backward": (gate_backward, pointers("y* conv* proj* skip weight dout* dy* dx* dz* sums")),
}
BLOCKS = [256, 512, 1024, 2048, 4096, 8192]


def write(folder):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    for name, (kernel, arguments) in KERNELS.items():
        for block in BLOCKS if name.startswith("gate") else [0]:
            constants = dict(P=64, BLOCK=block, EPS=1e-5) if block else dict(BT=32 if name == "conv_backward" else 64, BC=64)
            scalars = [n for n in kernel.arg_names if n not in constants and n not in dict(arguments)]
            signature = {n: "*" + t for n, t in arguments} | {n: "i32" for n in scalars} | {n: "constexpr" for n in constants}
            names = list(signature)
            attrs = {(i,): [["tt.divisibility", 16]] for i, n in enumerate(names) if n in dict(arguments) or n in ("C", "R", "OFF", "INNER")}
            source = ASTSource(kernel, signature=signature, constexprs={(names.index(n),): v for n, v in constants.items()}, attrs=attrs)
            ir = str(triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 4, "num_stages": 2}).asm["ttir"])
            ir = re.sub(r" ?loc\((?:[^()]|\([^()]*\))*\)", "", re.sub(r"(?m)^#loc.*\n", "", ir))
            with open(f"{folder}/{name}{f'-{block}' if block else ''}.ttir", "w") as f:
                f.write(ir)


def check():
    import torch
    import torch.nn.functional as F
    torch.manual_seed(0)
    b, T, P, H, N = 2, 70, 16, 3, 8
    inner, C = H * P, H * P + 2 * N
    R = inner + C
    rand = lambda *s: torch.randn(*s)
    proj, window, weight, bias = rand(b, T, R), rand(b, C, 4), rand(b, C, 4), rand(b, C)  # two models of one row
    y, skip, norm = rand(b, T, inner), rand(b, H), rand(b, inner)
    dconv, dnorm = rand(b, T, C), rand(b, T, inner)
    leaves = [v.double().requires_grad_() for v in (proj, window, weight, bias, y, skip, norm)]
    pr, wi, we, bi, yr, sk, no = leaves
    raw = torch.cat([wi[:, :, 1:], pr[..., inner:].transpose(1, 2)], 2)
    conv = F.silu(torch.cat([F.conv1d(raw[k:k + 1], we[k][:, None], bi[k], groups=C) for k in range(b)])).transpose(1, 2)
    fixed = conv.detach().float().contiguous()
    x = fixed[..., :inner].double().requires_grad_()
    g = (yr + sk.repeat_interleave(P, 1)[:, None] * x) * F.silu(pr[..., :inner])
    normed = g * torch.rsqrt((g * g).mean(-1, keepdim=True) + 1e-5) * no[:, None]
    ((conv * dconv.double()).sum() + (normed * dnorm.double()).sum()).backward()

    BT, BC = 32, 16
    tiles, blocks = -(-T // BT), -(-C // BC)
    out, draw, sums = torch.zeros(b, T, C), torch.zeros(b, T, C), torch.zeros(b, tiles, 5, C)
    conv_forward[(tiles, blocks, b)](proj, window, weight, bias, out, T, C, R, inner, 1, BT, BC)
    conv_backward[(tiles, blocks, b)](proj, window, weight, bias, dconv, draw, sums, T, C, R, inner, 1, BT, BC)
    gout, dy, dx, dz = (torch.zeros(b, T, inner) for _ in range(4))
    each, block = 7, 64
    parts = b * T // each
    gsums = torch.zeros(parts, 2, inner)
    gate_forward[(b * T,)](y, fixed, proj, skip, norm, gout, inner, C, R, T, P, block, 1e-5)
    gate_backward[(parts,)](y, fixed, proj, skip, norm, dnorm, dy, dx, dz, gsums, inner, C, R, T, each, P, block, 1e-5)
    total, gtotal = sums.double().sum(1), gsums.double().view(b, -1, 2, inner).sum(1)
    bad = 0
    for name, got, want in (("conv", out, conv), ("draw", draw, pr.grad[..., inner:]), ("dweight", total[:, :4].transpose(1, 2), we.grad), ("dbias", total[:, 4], bi.grad),
                            ("gate", gout, normed), ("dy", dy, yr.grad), ("dz", dz, pr.grad[..., :inner]), ("dx", dx, x.grad),
                            ("dnorm", gtotal[:, 0], no.grad), ("dskip", gtotal[:, 1].view(b, H, P).sum(2), sk.grad)):
        ratio = ((got.double() - want).norm() / want.norm()).item()
        print(f"{name:8} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["--check"] else write(sys.argv[1]))
