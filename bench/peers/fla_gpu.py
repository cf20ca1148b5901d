"""flash-linear-attention's operators (Triton kernels) on the shapes of `stuffed bench --scale operators`, one NVIDIA GPU. Prints JSON rows.

    python fla_gpu.py [--only gla,rwkv6] [--output rows.json]

Needs torch, triton, einops and fla-core 0.6.0 (its wheel alone will do: pip download --no-deps fla-core==0.6.0).
"""
import argparse
import json
import statistics
import time

import torch
import torch.nn.functional as F

import fla
from fla.ops.attn import parallel_attn
from fla.ops.delta_rule import chunk_delta_rule
from fla.ops.gated_delta_rule import chunk_gated_delta_rule
from fla.ops.gla import chunk_gla
from fla.ops.kda import chunk_kda
from fla.ops.retention import chunk_retention
from fla.ops.rwkv4 import fused_recurrent_rwkv4
from fla.ops.rwkv6 import chunk_rwkv6
from fla.ops.rwkv7 import chunk_rwkv7

B, T, H, K, V = 16, 2048, 16, 64, 64
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # the latter for a trial with TRITON_INTERPRET=1
ROWS = []


def leaf(x, dtype=torch.bfloat16):
    return x.to(DEVICE, dtype).detach().requires_grad_()


def normal(*shape):
    return torch.randn(*shape, device=DEVICE)


def wide(n):
    return leaf(normal(B, T, H, n))


def unit():
    return leaf(F.normalize(normal(B, T, H, K), dim=-1))


def decay(*shape, dtype=torch.float32):
    return leaf(F.logsigmoid(normal(*shape)) / 16, dtype)


def beta(dtype=torch.bfloat16):
    return leaf(normal(B, T, H).sigmoid(), dtype)


def operators():
    """Yields name, note, inputs in which gradients are taken, and what is timed."""
    yield "retention", "", (wide(K), wide(K), wide(V)), lambda q, k, v: chunk_retention(q, k, v)[0]
    yield "gla", "", (wide(K), wide(K), wide(V), decay(B, T, H, K)), lambda q, k, v, g: chunk_gla(q, k, v, g)[0]
    yield "rwkv6", "", (wide(K), wide(K), wide(V), decay(B, T, H, K), leaf(normal(H, K))), lambda r, k, v, w, u: chunk_rwkv6(r, k, v, w, u, scale=1.0)[0]
    yield "delta rule", "", (unit(), unit(), wide(V), beta()), lambda q, k, v, b: chunk_delta_rule(q, k, v, b)[0]
    yield ("gated delta rule", "", (unit(), unit(), wide(V), beta(), decay(B, T, H)),
           lambda q, k, v, b, g: chunk_gated_delta_rule(q, k, v, g, b)[0])
    yield "kda", "", (unit(), unit(), wide(V), beta(), decay(B, T, H, K)), lambda q, k, v, b, g: chunk_kda(q, k, v, g, b)[0]
    # rwkv7: S ← S diag(w) + (S a) bᵀ + v kᵀ with a = −κ and b = κ ⊙ rate
    yield ("rwkv7", "", (wide(K), wide(K), wide(V), decay(B, T, H, K, dtype=torch.bfloat16), unit(), beta()),
           lambda r, k, v, w, kappa, a: chunk_rwkv7(r, w, k, v, -kappa, kappa * a[..., None])[0])
    yield "attention", "", (wide(K), wide(K), wide(V)), lambda q, k, v: parallel_attn(q, k, v)
    state = torch.zeros(B, 3, 1, H * V, device=DEVICE)  # num, den, max
    state[:, 2] = -1e30
    channels = [leaf(normal(*shape), torch.float32) for shape in ((B, T, H * V), (B, T, H * V), (H * V,), (H * V,))]
    yield "rwkv4", "float32, token by token", channels, lambda k, v, w, u: fused_recurrent_rwkv4(w, u, k, v, state)[0]


def wait():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def timed(f, runs):
    for _ in range(3):
        f()
    times = []
    for _ in range(runs):
        wait()
        start = time.perf_counter()
        f()
        wait()
        times.append((time.perf_counter() - start) * 1e3)
    return sorted(times)


def row(shape, note, f, runs):
    entry = dict(work="operator", shape=shape, unit="ms", note=note)
    try:
        values = timed(f, runs)
        entry.update(median=statistics.median(values), min=values[0], max=values[-1], runs=len(values))
    except Exception as e:  # one operator that this GPU or Triton cannot run does not hide the others
        entry["error"] = repr(e)[:300]
    ROWS.append(entry)
    print(json.dumps(entry), flush=True)


def main():
    global B, T, H
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--output")
    parser.add_argument("--batch", type=int, default=B)
    parser.add_argument("--tokens", type=int, default=T)
    parser.add_argument("--heads", type=int, default=H)
    args = parser.parse_args()
    B, T, H = args.batch, args.tokens, args.heads
    device = torch.cuda.get_device_name() if DEVICE == "cuda" else DEVICE
    print(device, torch.__version__, fla.__version__, flush=True)
    torch.manual_seed(0)
    for name, note, inputs, f in operators():
        if args.only and name not in args.only.split(","):
            continue
        shape = f"{name} B{B} T{T} H{H} K{K} V{V} (kernels)"
        dy = leaf(normal(B, T, H, V)).detach()

        def forward():
            with torch.no_grad():
                f(*inputs)

        def both():
            y = f(*inputs)
            torch.autograd.grad(y, inputs, dy.reshape(y.shape).to(y.dtype))
        row(shape + " forward", note, forward, args.runs)
        row(shape + " forward+backward", note, both, args.runs)
        if args.output:
            with open(args.output, "w") as out:
                json.dump(dict(name=f"flash-linear-attention {fla.__version__}, Triton", device=device, torch=torch.__version__, rows=ROWS), out, indent=1)


if __name__ == "__main__":
    main()
