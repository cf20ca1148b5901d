"""mamba_ssm (Triton kernels, eager PyTorch) on the shapes of `stuffed bench`, one NVIDIA GPU. Prints JSON rows.

    python mamba_ssm_gpu.py [--only operator,train,prefill,decode,small] [--output rows.json]

Needs torch, triton, einops, transformers, mamba_ssm 2.3 and causal_conv1d 1.6.
"""
import argparse
import json
import statistics
import sys
import time
import types

import mamba_ssm
import torch

sys.modules.setdefault("selective_scan_cuda", types.ModuleType("selective_scan_cuda"))  # Mamba-1's kernel is not used
from mamba_ssm.models.config_mamba import MambaConfig  # noqa: E402
from mamba_ssm.models.mixer_seq_simple import MambaLMHeadModel  # noqa: E402
from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined  # noqa: E402
from mamba_ssm.utils.generation import InferenceParams  # noqa: E402

ROWS = []
SIZES = {"130m": (768, 24), "370m": (1024, 48)}


def timed(f, runs):
    f()
    times = []
    for _ in range(runs):
        torch.cuda.synchronize()
        start = time.perf_counter()
        f()
        torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return times


def row(work, shape, unit, values, note=""):
    values = sorted(values)
    ROWS.append(dict(work=work, shape=shape, unit=unit, median=statistics.median(values), min=values[0], max=values[-1], runs=len(values), note=note))
    print(json.dumps(ROWS[-1]), flush=True)


def model(width, layers, vocab=50277, dtype=torch.float32, **ssm):
    torch.manual_seed(0)
    config = MambaConfig(d_model=width, n_layer=layers, vocab_size=vocab, ssm_cfg={"layer": "Mamba2", **ssm}, rms_norm=True,
                         residual_in_fp32=True, fused_add_norm=True, pad_vocab_size_multiple=16)
    return MambaLMHeadModel(config, device="cuda", dtype=dtype)


def operator():
    for heads in (24, 32):
        b, t, p, n = 16, 2048, 64, 128
        make = lambda *s: torch.randn(*s, device="cuda", dtype=torch.bfloat16).requires_grad_()
        x, B, C = make(b, t, heads, p), make(b, t, 1, n), make(b, t, 1, n)
        dt = (torch.rand(b, t, heads, device="cuda") * 0.1).requires_grad_()
        A = (-torch.rand(heads, device="cuda") - 1).requires_grad_()
        dy = torch.randn(b, t, heads, p, device="cuda", dtype=torch.bfloat16)
        for chunk in (128, 256):
            shape = f"B{b} T{t} H{heads} P{p} N{n} (chunk {chunk})"
            with torch.no_grad():
                row("operator", shape + " forward", "ms", [s * 1e3 for s in timed(lambda: mamba_chunk_scan_combined(x, dt, A, B, C, chunk), 30)])

            def both():
                y = mamba_chunk_scan_combined(x, dt, A, B, C, chunk)
                torch.autograd.grad(y, (x, dt, A, B, C), dy)
            row("operator", shape + " forward+backward", "ms", [s * 1e3 for s in timed(both, 30)])


def step(m, batch, tokens, vocab):
    opt = torch.optim.AdamW(m.parameters(), lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    ids = torch.randint(0, vocab, (batch, tokens + 1), device="cuda")

    def f():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            logits = m(ids[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.float().view(-1, logits.shape[-1]), ids[:, 1:].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
    return f


def train():
    for name, batch in (("130m", 16), ("370m", 8)):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        m = model(*SIZES[name])
        times = timed(step(m, batch, 2048, 50277), 8)
        row("train", f"{name} B{batch} T2048 bf16", "tok/s", [batch * 2048 / s for s in times], f"peak {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
        del m


def small():
    for tokens in (64, 256, 1024):
        m = model(256, 2, 4096)
        batch = 65536 // tokens
        times = timed(step(m, batch, tokens, 4096), 10)
        row("train", f"small d256 L2 N128 V4096 B{batch} T{tokens} bf16", "tok/s", [65536 / s for s in times], "one process, one model")


def prefill():
    for name in SIZES:
        m = model(*SIZES[name], dtype=torch.bfloat16).eval()
        for tokens in (2048, 65536):
            ids = torch.randint(0, 50277, (1, tokens), device="cuda")

            @torch.inference_mode()
            def f():
                m(ids, inference_params=InferenceParams(max_seqlen=tokens + 1, max_batch_size=1), num_last_tokens=1)
            row("prefill", f"{name} B1 T{tokens} bf16", "tok/s", [tokens / s for s in timed(f, 10)])
        del m


def decode():
    for name in SIZES:
        m = model(*SIZES[name], dtype=torch.bfloat16).eval()
        for batch in (1, 64):
            ids = torch.randint(0, 50277, (batch, 32), device="cuda")
            for cg in (False, True):
                new = 128 if cg else 64

                def f():
                    m.generate(input_ids=ids, max_length=32 + new, cg=cg, top_k=1)
                row("decode", f"{name} B{batch} bf16", "tok/s", [batch * new / s for s in timed(f, 3)], "CUDA graph of a step" if cg else "eager")
        del m


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="operator,train,small,prefill,decode")
    parser.add_argument("--output")
    args = parser.parse_args()
    print(torch.cuda.get_device_name(), torch.__version__, flush=True)
    for what in args.only.split(","):
        try:
            globals()[what]()
        except Exception as e:
            print(what, "failed:", repr(e)[:600], flush=True)
        if args.output:
            with open(args.output, "w") as f:
                json.dump(dict(name=f"mamba_ssm {mamba_ssm.__version__}, Triton", device=torch.cuda.get_device_name(), torch=torch.__version__, rows=ROWS), f, indent=1)


if __name__ == "__main__":
    main()
