"""Compares RWKV's official files of versions 4 to 7 with the program, both ways: logits of random ones, and logits that BlinkDL's
package computes of what the program wrote of them.

usage: python differential_rwkv.py PROGRAM [--count N] [--seed N] [--backend go] [--only 4|5|6|7]
(torch, rwkv, safetensors, numpy)

A difference above LIMIT of the largest logit, in float32, fails. See both_ways.py.
"""
import contextlib, io, os, random, subprocess, sys, types, warnings

os.environ["RWKV_JIT_ON"] = os.environ["RWKV_CUDA_ON"] = "0"
VERSION = dict(zip(sys.argv, sys.argv[1:])).get("--only", "")
if VERSION == "7":  # the package has one class or the other
    os.environ["RWKV_V7_ON"] = "1"

import both_ways
import numpy as np
import torch

warnings.filterwarnings("ignore", category=FutureWarning)
LIMIT = 1e-5


def weights(version, r):
    """A state dict in the order of BlinkDL's files, whose gates, norms and mixes are far from neutral."""
    head = r.choice([8, 16])
    width, layers, vocab = head * r.choice([2, 3]), r.choice([1, 2, 3]), r.choice([17, 64, 101])
    layers = max(layers, 2) if version == "5" else layers  # the package cannot tell a single layer of version 5
    inner, w = r.choice([24, 56]), {}

    def matrix(name, *shape):
        w[name] = torch.randn(*shape) * .6 / np.sqrt(shape[-1])

    def vector(name, *shape, around=0., by=.3):
        w[name] = around + by * torch.randn(*shape)

    def norm(name):
        vector(name + ".weight", width, around=1)
        vector(name + ".bias", width, by=.1)

    def mixes(prefix, names):
        for n in names:
            w[prefix + n] = torch.rand(1, 1, width)

    ranks = {n: r.choice([3, 4, 6]) for n in "wavg"}
    matrix("emb.weight", vocab, width)
    norm("blocks.0.ln0")
    for i in range(layers):
        a, f = f"blocks.{i}.att.", f"blocks.{i}.ffn."
        norm(f"blocks.{i}.ln1")
        norm(f"blocks.{i}.ln2")
        if version == "4":
            mixes(a, ["time_mix_k", "time_mix_v", "time_mix_r"])
            mixes(f, ["time_mix_k", "time_mix_r"])
            vector(a + "time_decay", width, around=-1, by=1)
            vector(a + "time_first", width)
        elif version == "5":
            mixes(a, ["time_mix_k", "time_mix_v", "time_mix_r", "time_mix_g"])
            mixes(f, ["time_mix_k", "time_mix_r"])
            vector(a + "time_decay", width // head, head, around=-1, by=1)
            vector(a + "time_faaaa", width // head, head)
        elif version == "6":
            mixes(a, ["time_maa_" + n for n in "xwkvrg"])
            mixes(f, ["time_maa_k", "time_maa_r"])
            matrix(a + "time_maa_w1", width, 5 * ranks["a"])
            matrix(a + "time_maa_w2", 5, ranks["a"], width)
            vector(a + "time_decay", 1, 1, width, around=-1, by=1)
            matrix(a + "time_decay_w1", width, ranks["w"])
            matrix(a + "time_decay_w2", ranks["w"], width)
            vector(a + "time_faaaa", width // head, head)
        else:
            mixes(a, ["x_" + n for n in "rwkvag"])
            mixes(f, ["x_k"])
            vector(a + "k_k", 1, 1, width, around=1)
            vector(a + "k_a", 1, 1, width, around=.5)
            vector(a + "r_k", width // head, head)
            for n in "wag" + ("v" if i else ""):
                matrix(a + n + "1", width, ranks[n])
                matrix(a + n + "2", ranks[n], width)
                if n != "g":
                    vector(a + n + "0", 1, 1, width)
        for n in ("receptance", "key", "value", "output") + (("gate",) if version in "56" else ()):
            matrix(a + n + ".weight", width, width)
        if version != "4":
            norm(a + "ln_x")
        matrix(f + "key.weight", inner, width)
        matrix(f + "value.weight", width, inner)
        if version != "7":
            matrix(f + "receptance.weight", width, width)
    norm("ln_out")
    matrix("head.weight", vocab, width)
    return w, vocab


def theirs(path, rows):
    import rwkv.model as package
    if VERSION == "4":  # the package forgets to say that it has no heads
        class Args(types.SimpleNamespace):
            n_head = 1
        package.types = types.SimpleNamespace(SimpleNamespace=Args)
    with contextlib.redirect_stdout(io.StringIO()):
        model = package.RWKV(model=path if VERSION != "7" else path.removesuffix(".pth"), strategy="cpu fp32")
    out = []
    with torch.no_grad():
        for row in rows.tolist():
            got, state = [], None
            for token in row:
                logits, state = model.forward([token], state)
                got.append(logits.double().numpy())
            out.append(np.stack(got))
    return np.stack(out)


def compare(a, seed, folder):
    r = random.Random(seed)
    torch.manual_seed(seed)
    state, vocab = weights(VERSION, r)
    path = folder + "/model.pth"
    torch.save(state, path)
    length = r.choice([1, 2, 5, 31, 64, 65])
    ids = torch.randint(0, vocab, (2, length))
    want = theirs(path, ids)
    seen = [*both_ways.read(a, path, folder, ids, want, r)]
    both_ways.run(a.program, "export", path, "--layout", "official", "--output", folder + "/back")
    torch.load(folder + "/back/model.pth", weights_only=True)
    seen.append((both_ways.difference(theirs(folder + "/back/model.pth", ids), want), f"{length} tokens, written back"))
    return seen


def main():
    a = both_ways.arguments(["4", "5", "6", "7"])
    if not a.only:
        again = [subprocess.run([sys.executable, __file__, *sys.argv[1:], "--only", v]).returncode for v in "4567"]
        sys.exit(max(again))
    torch.set_num_threads(1)
    good = both_ways.check(f"RWKV-{a.only}, .pth", a, LIMIT, lambda seed, folder: compare(a, seed, folder))
    sys.exit(0 if good else 1)


main()
