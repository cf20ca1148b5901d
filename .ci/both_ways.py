"""What the checks against other libraries share: the program's logits of a model, whole and with the text split, beside a library's.

A difference is relative to the largest logit; above the limit that a check names it fails.
"""
import argparse, os, subprocess, tempfile

import numpy as np
from safetensors.numpy import load_file
from safetensors.torch import save_file


def arguments(only, planted=False):
    p = argparse.ArgumentParser()
    p.add_argument("program")
    p.add_argument("--count", type=int, default=10)
    p.add_argument("--seed", type=int, default=0)
    p.add_argument("--backend", default="go")
    p.add_argument("--only", choices=only)
    if planted:
        p.add_argument("--planted", action="store_true")
    return p.parse_args()


def run(program, *args):
    q = subprocess.run([program, *args], capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    if q.returncode:
        raise RuntimeError(q.stderr[-400:])


def difference(got, want):
    return np.nan_to_num(np.abs(got - want).max() / np.abs(want).max(), nan=np.inf)


def read(a, model, folder, ids, want, r, *options):
    """The differences of the program's logits of a model from those wanted: of the whole text, and of the text split."""
    save_file({"input_ids": ids}, folder + "/in.safetensors")
    split = ",".join(map(str, sorted({r.randrange(0, ids.shape[1] + 1) for _ in range(3)})))
    for extra in ([], ["--split", split]):
        run(a.program, "forward", "--backend", a.backend, "--model", model, "--input", folder + "/in.safetensors", "--output", folder + "/out.safetensors", *options, *extra)
        got = load_file(folder + "/out.safetensors")["logits"].astype(np.float64)
        yield difference(got, want), f"{ids.shape[1]} tokens, {' '.join(extra) or 'whole'}"


def check(name, a, limit, compare):
    """Whether the differences that compare(seed, folder) sees are within the limit for all seeds. The worst is printed, and how to
    make it again."""
    seen, failed = [], []
    for seed in range(a.seed, a.seed + a.count):
        with tempfile.TemporaryDirectory() as folder:
            try:
                seen += [(d, f"seed {seed}, {what}") for d, what in compare(seed, folder)]
            except Exception as e:  # every one is tried
                failed.append(f"seed {seed}: {e}")
    worst = max(seen, default=(0, ""))
    print(f"{name}: {len(seen)} runs, worst {worst[0]:.2g} ({worst[1]})", *failed, sep="\n  ", flush=True)
    return worst[0] <= limit and not failed
