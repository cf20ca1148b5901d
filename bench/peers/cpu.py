"""transformers (PyTorch, no compiled kernels), mamba2-jax and llama.cpp (through llama-cpp-python and gguf, random weights) on
the byte model of `stuffed bench --scale cpu`: width 128, two layers, state 128, vocabulary 272; llama.cpp on the official
130m shape too. Prints JSON rows.

    python cpu.py [--only transformers,mamba2_jax,llama_cpp] [--threads 2] [--output rows.json]
"""
import argparse
import json
import os
import statistics
import tempfile
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


def row(work, shape, seconds, tokens, note="", model="byte d128 L2"):
    rates = sorted(tokens / s for s in seconds)
    ROWS.append(dict(work=work, shape=model + " " + shape, unit="tok/s", median=statistics.median(rates), min=rates[0], max=rates[-1], runs=len(rates), note=note))
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


def write_gguf(path, width, layers, vocab, matrices):
    """A random Mamba-2 model; matrices is the type of the large ones: f32, f16 or bf16."""
    import gguf
    import numpy as np
    state, head_dim, kernel = 128, 64, 4
    inner = 2 * width
    heads, channels = inner // head_dim, inner + 2 * state
    rng = np.random.default_rng(0)
    w = gguf.GGUFWriter(path, "mamba2")
    w.add_context_length(1 << 20)
    w.add_embedding_length(width)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_block_count(layers)
    w.add_vocab_size(vocab)
    w.add_ssm_conv_kernel(kernel)
    w.add_ssm_inner_size(inner)
    w.add_ssm_state_size(state)
    w.add_ssm_time_step_rank(heads)
    w.add_ssm_group_count(1)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_tokenizer_model("none")

    def add(name, a, large=False):
        kind = getattr(gguf.GGMLQuantizationType, matrices.upper() if large else "F32")
        a = np.ascontiguousarray(a, np.float32)
        w.add_tensor(name, gguf.quants.quantize(a, kind), raw_dtype=kind)

    def matrix(name, rows, columns):
        add(name, rng.standard_normal((rows, columns), np.float32) / np.sqrt(columns), True)
    matrix("token_embd.weight", vocab, width)
    add("output_norm.weight", np.ones(width))
    for i in range(layers):
        at = f"blk.{i}."
        add(at + "attn_norm.weight", np.ones(width))
        matrix(at + "ssm_in.weight", inner + channels + heads, width)
        add(at + "ssm_conv1d.weight", rng.uniform(-0.5, 0.5, (channels, kernel)))
        add(at + "ssm_conv1d.bias", np.zeros(channels))
        add(at + "ssm_dt.bias", np.full(heads, -4.0))
        add(at + "ssm_a", -rng.uniform(1, 16, (heads, 1)))
        add(at + "ssm_d", np.ones((heads, 1)))
        add(at + "ssm_norm.weight", np.ones((1, inner)))
        matrix(at + "ssm_out.weight", width, inner)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def llama_cpp(threads):
    import llama_cpp as lib
    lib.llama_backend_init()
    quiet = lib.llama_log_callback(lambda level, text, data: None)
    lib.llama_log_set(quiet, None)
    for name, width, layers, vocab, n, types in (("byte d128 L2", 128, 2, 272, 256, ["f32"]), ("130m", 768, 24, 50288, 64, ["f32", "f16", "bf16"])):
        for kind in types:
            with tempfile.TemporaryDirectory() as folder:
                path = os.path.join(folder, "m.gguf")
                write_gguf(path, width, layers, vocab, kind)
                model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
                if not model:
                    raise RuntimeError("llama.cpp did not load the model")
                params = lib.llama_context_default_params()
                params.n_ctx, params.n_batch, params.n_ubatch, params.n_threads, params.n_threads_batch = 1024, 512, 512, threads, threads
                context = lib.llama_init_from_model(model, params)

                def feed(ids):
                    tokens = (lib.llama_token * len(ids))(*ids)
                    if lib.llama_decode(context, lib.llama_batch_get_one(tokens, len(ids))) != 0:
                        raise RuntimeError("llama_decode failed")
                    logits = lib.llama_get_logits_ith(context, -1)
                    return logits[0]

                def prefill():
                    lib.llama_memory_clear(lib.llama_get_memory(context), True)
                    feed([(i * 7919 + 13) % vocab for i in range(512)])

                def decode():
                    lib.llama_memory_clear(lib.llama_get_memory(context), True)
                    for i in range(n):
                        feed([(i * 31) % vocab])
                row("prefill", "B1 T512 " + kind, timed(prefill, 10 if layers == 2 else 5), 512, model=name)
                row("decode", "B1 " + kind, timed(decode, 5), n, "a call per token, no sampling", model=name)
                lib.llama_free(context)
                lib.llama_model_free(model)


def hardware():
    """As `stuffed bench` names it."""
    with open("/proc/cpuinfo") as f:
        names = [line.split(":", 1)[1].strip() for line in f if line.startswith("model name")]
    return f"{names[0]}, {len(names)} threads"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", default="transformers,mamba2_jax,llama_cpp")
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
            json.dump(dict(name=args.only.replace("_cpp", ".cpp").replace("_", "-"), device=hardware(), rows=ROWS), f, indent=1)


if __name__ == "__main__":
    main()
