"""The two memory-bound parts of a Mamba-2 block as Triton kernels, and their text for XLA: the causal convolution of
four taps with SiLU, and the gated RMSNorm of the recurrence's output, without gradients. Rows of proj (z | x | B | C) are read in place.

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


def pointers(text):
    return [(n.rstrip("*"), "bf16" if n.endswith("*") else "fp32") for n in text.split()]


KERNELS = {
    "conv_forward": (conv_forward, pointers("proj* window weight bias out*")),
    "gate_forward": (gate_forward, pointers("y* conv* proj* skip weight out*")),
}
BLOCKS = [256, 512, 1024, 2048, 4096, 8192]


def write(folder):
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    for name, (kernel, arguments) in KERNELS.items():
        for block in BLOCKS if name.startswith("gate") else [0]:
            constants = dict(P=64, BLOCK=block, EPS=1e-5) if block else dict(BT=64, BC=64)
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
    raw = torch.cat([window[:, :, 1:], proj[..., inner:].transpose(1, 2)], 2).double()
    conv = F.silu(torch.cat([F.conv1d(raw[k:k + 1], weight[k][:, None].double(), bias[k].double(), groups=C) for k in range(b)])).transpose(1, 2)
    x = conv.float().contiguous()
    g = (y + skip.repeat_interleave(P, 1)[:, None] * x[..., :inner]).double() * F.silu(proj[..., :inner].double())
    normed = g * torch.rsqrt((g * g).mean(-1, keepdim=True) + 1e-5) * norm[:, None]
    out, gated = torch.zeros(b, T, C), torch.zeros(b, T, inner)
    conv_forward[(-(-T // 32), -(-C // 16), b)](proj, window, weight, bias, out, T, C, R, inner, 1, 32, 16)
    gate_forward[(b * T,)](y, x, proj, skip, norm, gated, inner, C, R, T, P, 64, 1e-5)
    bad = 0
    for name, got, want in (("conv", out, conv), ("gate", gated, normed)):
        ratio = ((got.double() - want).norm() / want.norm()).item()
        print(f"{name:8} {ratio:.2e}")
        bad += not ratio < 2e-6
    return bad


if __name__ == "__main__":
    sys.exit(check() if sys.argv[1:] == ["--check"] else write(sys.argv[1]))
