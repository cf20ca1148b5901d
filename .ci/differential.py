"""Compares random configurations of transformers' models with the program: logits, of the whole text and with the text split.

usage: python differential.py PROGRAM [--count N] [--seed N] [--backend go] [--only ARCHITECTURE]
(torch, transformers from 5.23 on, safetensors, numpy)

Without --only it takes all that are listed here and that the program reads. A difference is relative to the largest logit; above
1e-5 the check fails. It prints the worst of each architecture, and how to make that case again.
"""
import argparse, os, random, subprocess, sys, tempfile

import numpy as np
import torch
import transformers as hf
from safetensors.numpy import load_file
from safetensors.torch import save_file

LIMIT = 1e-5


def mamba2(r):
    groups, dim, expand = r.choice([1, 1, 2, 4]), r.choice([4, 8, 16, 32]), r.choice([1, 2, 3])
    heads = groups * r.choice([1, 2, 3, 4])
    expand = expand if dim * heads % expand == 0 else 1
    return hf.Mamba2ForCausalLM(hf.Mamba2Config(
        vocab_size=r.choice([17, 64, 101]), hidden_size=dim * heads // expand, num_hidden_layers=r.choice([1, 2, 3]), num_heads=heads, head_dim=dim,
        n_groups=groups, state_size=r.choice([3, 8, 16, 32]), expand=expand, conv_kernel=r.choice([2, 3, 4]), use_bias=r.random() < .3,
        use_conv_bias=r.random() < .8, tie_word_embeddings=r.random() < .5, chunk_size=r.choice([4, 16, 64]),
        time_step_limit=(0.0, float("inf")) if r.random() < .6 else (0.01, 0.5), layer_norm_epsilon=r.choice([1e-5, 1e-6, 1e-3])))


def mamba(r):
    return hf.MambaForCausalLM(hf.MambaConfig(
        vocab_size=r.choice([17, 64, 101]), hidden_size=r.choice([8, 24, 40]), num_hidden_layers=r.choice([1, 2, 3]), state_size=r.choice([3, 8, 16]),
        expand=r.choice([1, 2]), conv_kernel=r.choice([2, 3, 4]), use_bias=r.random() < .3, use_conv_bias=r.random() < .8,
        time_step_rank=r.choice([1, 3, "auto"]), tie_word_embeddings=r.random() < .5, layer_norm_epsilon=r.choice([1e-5, 1e-6, 1e-3])))


def rwkv(r):
    width = r.choice([8, 24, 40])
    return hf.RwkvForCausalLM(hf.RwkvConfig(
        vocab_size=r.choice([17, 64, 101]), hidden_size=width, num_hidden_layers=r.choice([2, 3, 7]), attention_hidden_size=width,
        intermediate_size=r.choice([16, 4 * width]), context_length=256, rescale_every=r.choice([2, 6]), layer_norm_epsilon=r.choice([1e-5, 1e-3])))


def llama(r):
    heads = r.choice([2, 4, 6])
    return hf.LlamaForCausalLM(hf.LlamaConfig(
        vocab_size=r.choice([17, 64, 101]), hidden_size=heads * r.choice([4, 8, 16]), num_hidden_layers=r.choice([1, 2, 3]), num_attention_heads=heads,
        num_key_value_heads=r.choice([1, heads // 2, heads]), intermediate_size=r.choice([24, 56]), max_position_embeddings=256,
        rms_norm_eps=r.choice([1e-5, 1e-6]), tie_word_embeddings=r.random() < .5))


def gpt_neox(r):
    heads = r.choice([2, 4])
    return hf.GPTNeoXForCausalLM(hf.GPTNeoXConfig(
        vocab_size=r.choice([17, 64, 101]), hidden_size=heads * r.choice([8, 16]), num_hidden_layers=r.choice([1, 2, 3]), num_attention_heads=heads,
        intermediate_size=r.choice([24, 56]), max_position_embeddings=256, use_parallel_residual=r.random() < .6, tie_word_embeddings=r.random() < .5))


ARCHITECTURES = {f.__name__: f for f in (mamba2, mamba, rwkv, llama, gpt_neox)}


def draw(model, r):
    """Weights of a size that lets a difference show; a fresh model's states hardly move."""
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.endswith("A_log"): p.uniform_(-2, 2)
            elif n.endswith(("dt_bias", "dt_proj.bias")): p.uniform_(-4, 1)
            elif n.endswith((".D", "time_first")): p.normal_(1, .5)
            elif n.endswith("time_decay"): p.uniform_(-4, 1)
            elif "time_mix" in n: p.uniform_(0, 1)
            elif ("norm" in n or ".ln" in n or "pre_ln" in n) and n.endswith("weight"): p.normal_(1, .2)
            elif p.dim() >= 2: p.normal_(0, .4 if "conv" in n else .6 / np.sqrt(p.shape[-1]))
            else: p.normal_(0, .1)


def compare(program, backend, architecture, seed, folder):
    """The differences of one configuration, whole and split; None where the program does not read the architecture."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    model = ARCHITECTURES[architecture](r).eval().float()
    draw(model, r)
    model.save_pretrained(folder)
    length = r.choice([1, 2, 5, 63, 64, 65, 130])
    ids = torch.randint(0, model.config.vocab_size, (2, length))
    save_file({"input_ids": ids}, folder + "/in.safetensors")
    with torch.no_grad():
        want = model(ids, use_cache=False).logits.double().numpy()
    split = ",".join(map(str, sorted({r.randrange(0, length + 1) for _ in range(3)})))
    seen = []
    for extra in ([], ["--split", split]):
        q = subprocess.run([program, "forward", "--backend", backend, "--model", folder, "--input", folder + "/in.safetensors", "--output",
                            folder + "/out.safetensors", *extra], capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        if q.returncode and "of no layout that is read" in q.stderr:
            return None
        if q.returncode:
            raise RuntimeError(q.stderr[-400:])
        got = load_file(folder + "/out.safetensors")["logits"].astype(np.float64)
        seen.append((np.abs(got - want).max() / np.abs(want).max(), f"seed {seed}, {length} tokens, {' '.join(extra) or 'whole'}"))
    return seen


def main():
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--backend", default="go")
    p.add_argument("--only", choices=ARCHITECTURES)
    a = p.parse_args()
    torch.set_num_threads(1)
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    bad = 0
    for architecture in [a.only] if a.only else ARCHITECTURES:
        seen, failed = [], []
        for seed in range(a.seed, a.seed + a.count):
            with tempfile.TemporaryDirectory() as folder:
                try:
                    one = compare(a.program, a.backend, architecture, seed, folder)
                except Exception as e:  # every configuration is tried
                    failed.append(f"seed {seed}: {e}")
                    continue
            if one is None:
                break
            seen += one
        if not seen and not failed:
            print(f"{architecture}: not read by this program")
            bad += architecture == a.only
            continue
        worst = max(seen, default=(0, ""))
        bad += bool(failed) or worst[0] > LIMIT
        print(f"{architecture}: {len(seen)} runs, worst {worst[0]:.2g} ({worst[1]})", *failed, sep="\n  ")
    sys.exit(1 if bad else 0)


main()
