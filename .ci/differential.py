"""Compares random configurations of transformers' and flash-linear-attention's models with the program, both ways: logits of what
the library wrote, of the whole text and with the text split; and logits that the library computes of what the program wrote of it.

usage: python differential.py PROGRAM [--count N] [--seed N] [--backend go] [--only ARCHITECTURE]
       python differential.py PROGRAM --planted [--only ARCHITECTURE]
(torch, transformers from 5.23 on, flash-linear-attention, safetensors, numpy)

Both compute in float64, the libraries by their own code (see fla_cpu.py), and a difference above LIMIT of the largest logit fails. In
float32 no limit would do: the norm of a delta rule's first output divides by k·q of one token, and where that is near 0 two orders of
the same sums are some 1e-5 apart, a changed ε less.
--planted changes one thing at a time in what the program reads, an ε, the sign of a decay, which matrix is the gate, and fails unless
each shows above LIMIT.
It prints the worst of each architecture, and how to make that case again.
"""
import json, os, random, sys, tempfile

import both_ways
import fla_cpu
import fla.models as fla
import numpy as np
import torch
import transformers as hf
from safetensors.torch import load_file, save_file

LIMIT = 1e-6


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


def common(r, width):
    return dict(vocab_size=r.choice([17, 64, 101]), num_hidden_layers=r.choice([1, 2, 3]), hidden_size=width, intermediate_size=r.choice([None, 24, 56]),
                norm_eps=r.choice([1e-5, 1e-6]), tie_word_embeddings=r.random() < .3)


def gla(r):
    heads = r.choice([2, 4])
    return fla.GLAForCausalLM(fla.GLAConfig(
        num_heads=heads, num_kv_heads=r.choice([None, None, 1, 2]), expand_k=r.choice([.5, 1.]), expand_v=r.choice([1., 2.]),
        use_short_conv=r.random() < .4, conv_size=r.choice([2, 4]), use_output_gate=r.random() < .7, clamp_min=r.choice([None, None, -.05]),
        fuse_norm=r.random() < .7, **common(r, heads * r.choice([8, 16]))))


def retnet(r):
    heads = r.choice([2, 3, 4])
    return fla.RetNetForCausalLM(fla.RetNetConfig(
        num_heads=heads, expand_k=r.choice([1., 2.]), expand_v=r.choice([1., 2.]), use_output_gate=r.random() < .7, fuse_norm=r.random() < .7,
        **common(r, heads * r.choice([8, 16]))))


def hgrn2(r):
    heads, ratio = r.choice([1, 2, 4]), r.choice([8, 16])
    return fla.HGRN2ForCausalLM(fla.HGRN2Config(
        num_heads=None, expand_ratio=ratio, use_short_conv=r.random() < .4, conv_size=r.choice([2, 4]), use_lower_bound=r.random() < .7,
        **common(r, heads * ratio)))


def delta_net(r):
    heads = r.choice([2, 4])
    c = fla.DeltaNetConfig(
        num_heads=heads, expand_k=r.choice([.5, 1.]), expand_v=r.choice([1., 2.]), use_gate=r.random() < .4, use_short_conv=r.random() < .7,
        conv_size=r.choice([2, 4]), allow_neg_eigval=r.random() < .4, use_beta=r.random() < .8, qk_norm=r.choice(["l2", "l2", "sum"]),
        qk_activation=r.choice(["silu", "silu", "relu", "elu", "identity"]), **common(r, heads * r.choice([8, 16])))
    if c.qk_norm == "sum" and c.qk_activation in ("silu", "identity"):  # of signed entries: the sum before 0.6.0, that of magnitudes from then on
        c.qk_activation = r.choice(["relu", "elu"])
    return fla.DeltaNetForCausalLM(c)


def gated_deltanet(r):
    heads = r.choice([2, 3])
    return fla.GatedDeltaNetForCausalLM(fla.GatedDeltaNetConfig(
        num_heads=heads, num_v_heads=r.choice([None, None, 2 * heads]), head_dim=r.choice([8, 16]), expand_v=r.choice([1, 2]),
        use_gate=r.random() < .7, use_short_conv=r.random() < .7, conv_size=r.choice([2, 4]), allow_neg_eigval=r.random() < .4,
        output_gate_activation=r.choice(["swish", "swish", "silu", "sigmoid"]), **common(r, r.choice([24, 40]))))


def kda(r):
    heads, bound = r.choice([2, 3]), r.choice([None, None, -5.0])
    return fla.KDAForCausalLM(fla.KDAConfig(
        num_heads=heads, num_v_heads=r.choice([None, None, 2 * heads]), head_dim=r.choice([8, 16]), expand_v=r.choice([1, 2]),
        use_short_conv=r.random() < .7, conv_size=r.choice([2, 4]), allow_neg_eigval=r.random() < .4, lower_bound=bound, safe_gate=bound is not None,
        **common(r, r.choice([24, 40]))))


def rwkv7(r):
    ranks = {name + "_low_rank_dim": r.choice([4, 6, 12]) for name in ("decay", "gate", "a", "v")}
    return fla.RWKV7ForCausalLM(fla.RWKV7Config(
        head_dim=(dim := r.choice([8, 16])), norm_bias=r.random() < .8, norm_first=r.random() < .8, fuse_norm=r.random() < .5, **ranks,
        **common(r, dim * r.choice([1, 2, 3])) | {"num_hidden_layers": r.choice([2, 3])}))  # the library cannot make one layer


ARCHITECTURES = {f.__name__: f for f in (mamba2, mamba, rwkv, llama, gpt_neox, gla, retnet, hgrn2, delta_net, gated_deltanet, kda, rwkv7)}


def draw(model, r):
    """Weights of a size that lets a difference show; a fresh model's states hardly move."""
    with torch.no_grad():
        for n, p in model.named_parameters():
            if n.endswith("A_log"): p.uniform_(-2, 2)
            elif n.endswith(("dt_bias", "dt_proj.bias")): p.uniform_(-4, 1)
            elif n.endswith((".D", "time_first")): p.normal_(1, .5)
            elif n.endswith("time_decay"): p.uniform_(-4, 1)
            elif "time_mix" in n or n.split(".")[-1] in ("x_r", "x_w", "x_k", "x_v", "x_a", "x_g", "k_a"): p.uniform_(0, 1)
            elif n.endswith("k_k"): p.normal_(1, .3)
            elif n.endswith(("lora.2.bias", "gk_proj.1.bias", "lower_bounds")): p.normal_(0, 1)
            elif ("norm" in n or ".ln" in n or "pre_ln" in n) and n.endswith("weight"): p.normal_(1, .2)
            elif p.dim() >= 2: p.normal_(0, .4 if "conv" in n else .6 / np.sqrt(p.shape[-1]))
            else: p.normal_(0, .1)


def logits(folder, kind, ids):
    """Of the model in a folder, computed in float64. kind is its class: both libraries have one for some types."""
    model, report = kind.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for key, names in report.items():
        if names:
            raise RuntimeError(f"{key}: {names}")
    model.config.rescale_every = 0  # RWKV-4 halves its stream for half precision's sake, which moves ε of its norms
    with fla_cpu.float64(), torch.no_grad():
        wide = kind(model.config).double()  # made anew, for tables that are computed
        wide.load_state_dict(model.state_dict())
        return fla_cpu.by_token(wide.eval())(ids, use_cache=False).logits.numpy()


def written(architecture, seed, folder):
    """The class of a random model that the library writes to a folder, tokens for it, and the random numbers that follow."""
    r = random.Random(seed)
    torch.manual_seed(seed)
    model = ARCHITECTURES[architecture](r)
    draw(model, r)
    model.save_pretrained(folder)
    length = r.choice([1, 2, 5, 31, 62] if architecture == "rwkv7" else [1, 2, 5, 63, 64, 65, 130])
    return type(model), torch.randint(0, model.config.vocab_size, (2, length)), r


def compare(a, architecture, seed, folder):
    """The differences of one configuration: whole, split, and of what the program wrote."""
    kind, ids, r = written(architecture, seed, folder)
    want = logits(folder, kind, ids)
    yield from both_ways.read(a, folder, folder, ids, want, r, "--float64")
    both_ways.run(a.program, "export", folder, "--output", folder + "/back")
    same_computation(folder, folder + "/back")
    yield both_ways.difference(logits(folder + "/back", kind, ids), want), f"{ids.shape[1]} tokens, written back"


def same_computation(folder, back):
    """How the library computes is no part of the model, and its fused norms, the default, reckon in float32."""
    with open(folder + "/config.json") as f, open(back + "/config.json") as g:
        own, written = json.load(f), json.load(g)
    written.update({k: v for k, v in own.items() if k.startswith("fuse_") or k == "attn_mode"})
    with open(back + "/config.json", "w") as f:
        json.dump(written, f)


def epsilon(config, weights):
    for key in ("norm_eps", "rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon"):
        if key in config:
            config[key] *= 2


def negated(end):
    def change(config, weights):
        for name in weights:
            if name.endswith(end):
                weights[name] = -weights[name]
    return change


def swapped(one, other):
    def change(config, weights):
        for name in list(weights):
            if name.endswith(one):
                twin = name.removesuffix(one) + other
                weights[name], weights[twin] = weights[twin], weights[name]
    return change


GATE = swapped("mlp.gate_proj.weight", "mlp.up_proj.weight")
FAULTS = {  # beside a doubled ε
    "mamba2": {"decay": negated("A_log")}, "mamba": {"decay": negated("A_log")}, "rwkv": {"decay": negated("time_decay")}, "gpt_neox": {},
    "llama": {"gate": GATE}, "retnet": {"gate": GATE}, "gla": {"gate": GATE, "decay": negated("gk_proj.1.bias")},
    "hgrn2": {"gate": GATE, "decay": negated("f_proj.weight"), "lower bounds": negated("lower_bounds")},
    "delta_net": {"gate": GATE, "norm": negated("o_norm.weight"), "erasing": negated("k_proj.weight")},
    "gated_deltanet": {"gate": GATE, "decay": negated("A_log"), "erasing": negated("b_proj.weight")},
    "kda": {"gate": GATE, "decay": negated("dt_bias"), "erasing": negated("b_proj.weight")},
    "rwkv7": {"gate": negated("g_lora.lora.0.weight"), "decay": negated("w_lora.lora.2.bias"), "erasing": negated("a_lora.lora.2.bias")}}


def planted(a, architecture):
    """Whether the faults of an architecture show, of the first seed with two layers and more than two tokens."""
    for seed in range(a.seed, a.seed + 100):
        with tempfile.TemporaryDirectory() as folder:
            kind, ids, r = written(architecture, seed, folder)
            config, weights = json.load(open(folder + "/config.json")), load_file(folder + "/model.safetensors")
            if config["num_hidden_layers"] < 2 or ids.shape[1] < 3:
                continue
            want, least = logits(folder, kind, ids), np.inf
            for fault, change in {"ε": epsilon, **FAULTS[architecture]}.items():
                c, w = dict(config), dict(weights)
                change(c, w)
                os.makedirs(folder + "/changed", exist_ok=True)
                json.dump(c, open(folder + "/changed/config.json", "w"))
                save_file(w, folder + "/changed/model.safetensors", {"format": "pt"})
                seen = min(d for d, _ in both_ways.read(a, folder + "/changed", folder, ids, want, r, "--float64"))
                print(f"{architecture}, seed {seed}: {fault} changed, {seen:.2g}", flush=True)
                least = min(least, seen)
            return least > LIMIT


def main():
    a = both_ways.arguments(ARCHITECTURES, planted=True)
    torch.set_num_threads(1)
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    chosen = [a.only] if a.only else ARCHITECTURES
    if a.planted:
        good = [planted(a, name) for name in chosen]
    else:
        good = [both_ways.check(name, a, LIMIT, lambda seed, folder: compare(a, name, seed, folder)) for name in chosen]
    sys.exit(0 if all(good) else 1)


main()
