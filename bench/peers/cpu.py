"""transformers (PyTorch, no compiled kernels) and mamba2-jax on the byte model of `stuffed bench --scale cpu`: width 128,
two layers, state 128, vocabulary 272. Prints JSON rows.

    python cpu.py [--only transformers,mamba2_jax] [--threads 2] [--output rows.json]
"""
import argparse
import json
import statistics
import time

ROWS = []


def timed(f, runs):
    f()
    out = []
    for _ in range(runs):
        start = time.perf_counter()
        f()
        out.append(time.perf_counter() - start)
    return out


def row(work, shape, seconds, tokens, note=""):
    rates = sorted(tokens / s for s in seconds)
    ROWS.append(dict(work=work, shape="byte d128 L2 " + shape, unit="tok/s", median=statistics.median(rates), min=rates[0], max=rates[-1], runs=len(rates), note=note))
    print(json.dumps(ROWS[-1]), flush=True)


def transformers(threads):
    import torch
    from transformers import Mamba2Config, Mamba2ForCausalLM
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    config = Mamba2Config(hidden_size=128, num_hidden_layers=2, num_heads=4, head_dim=64, state_size=128, n_groups=1, expand=2, vocab_size=272,
                          chunk_size=64, tie_word_embeddings=True, use_cache=True, pad_token_id=0, bos_token_id=0, eos_token_id=0)
    m = Mamba2ForCausalLM(config)
    opt = torch.optim.AdamW(m.parameters(), lr=1e-3)
    for batch, runs in ((1, 3), (8, 2)):
        ids = torch.randint(0, 272, (batch, 512))

        def step():
            m(ids, labels=ids).loss.backward()
            torch.nn.utils.clip_grad_norm_(m.parameters(), 1.0)
            opt.step()
            opt.zero_grad()
        row("train", f"B{batch} T512 f32", timed(step, runs), batch * 512)
    m.eval()
    ids = torch.randint(0, 272, (1, 512))
    with torch.inference_mode():
        row("prefill", "B1 T512 f32", timed(lambda: m(ids), 3), 512)
        row("decode", "B1 f32", timed(lambda: m.generate(ids[:, :8], max_new_tokens=64, min_new_tokens=64, do_sample=False), 3), 64)


def mamba2_jax(threads):
    import jax
    import jax.numpy as jnp
    import optax
    from flax import nnx
    from mamba2_jax import Mamba2Config, Mamba2ForCausalLM
    config = Mamba2Config(hidden_size=128, num_hidden_layers=2, head_dim=64, state_size=128, expand=2, vocab_size=272, chunk_size=64)
    m = Mamba2ForCausalLM(config, rngs=nnx.Rngs(0))
    opt = nnx.Optimizer(m, optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)), wrt=nnx.Param)

    @nnx.jit
    def step(m, opt, ids):
        def loss(m):
            out = m(ids)
            logits = out["logits"] if isinstance(out, dict) else getattr(out, "logits", out)
            return optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], ids[:, 1:]).mean()
        value, grads = nnx.value_and_grad(loss)(m)
        opt.update(m, grads)
        return value
    ids = jnp.asarray(jax.random.randint(jax.random.key(0), (8, 512), 0, 272))
    row("train", "B8 T512 f32", timed(lambda: step(m, opt, ids).block_until_ready(), 5), 8 * 512)

    @nnx.jit
    def forward(m, ids):
        out = m(ids)
        return out["logits"] if isinstance(out, dict) else getattr(out, "logits", out)
    row("prefill", "B1 T512 f32", timed(lambda: forward(m, ids[:1]).block_until_ready(), 10), 512)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="transformers,mamba2_jax")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output")
    args = parser.parse_args()
    for what in args.only.split(","):
        try:
            globals()[what](args.threads)
        except Exception as e:
            print(what, "failed:", repr(e)[:500], flush=True)
    if args.output:
        with open(args.output, "w") as f:
            json.dump(dict(name="transformers (torch), mamba2-jax", device="the same machine", rows=ROWS), f, indent=1)


if __name__ == "__main__":
    main()
