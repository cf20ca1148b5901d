"""Writes the Triton kernels of the project as text for XLA: make kernels.

Every pkg/…/kernels/SOURCE.py has a function texts that yields the kernels to write, each a dict with
    file        name of the text, without .ttir
    kernel      the function
    pointers    {argument: type it points to}, such as "bf16"
    constants   {argument: value}; all other arguments are int32 scalars
    multiples   scalars that are multiples of 16
    unaligned   pointers that are not aligned to 16 bytes
    warps, stages
The texts lie beside their source; kernels.lock names the version of Triton and the sha256 of this file, of every source and
of every text, and a Go test (xla/lock_test.go) fails where they part. No GPU is needed.
"""
import hashlib
import importlib.util
import pathlib
import re
import sys

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = GPUTarget("cuda", 90, 32)
LOCATION = re.compile(r" ?loc\((?:[^()]|\([^()]*\))*\)")


def text(kernel, pointers, constants, multiples=(), unaligned=(), warps=4, stages=2, **_):
    """Triton IR of a kernel, without the lines of its source."""
    kind = lambda n: "constexpr" if n in constants else "*" + pointers[n] if n in pointers else "i32"
    names = kernel.arg_names
    aligned = [(i,) for i, n in enumerate(names) if n in multiples or n in pointers and n not in unaligned]
    source = ASTSource(kernel, signature={n: kind(n) for n in names}, constexprs={(names.index(n),): v for n, v in constants.items()},
                       attrs={i: [["tt.divisibility", 16]] for i in aligned})
    ir = str(triton.compile(source, target=TARGET, options={"num_warps": warps, "num_stages": stages}).asm["ttir"])
    return LOCATION.sub("", re.sub(r"(?m)^#loc.*\n", "", ir))


def load(path):
    spec = importlib.util.spec_from_file_location(f"{path.parent.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main():
    sources = sorted(p for p in ROOT.glob("pkg/**/kernels/*.py"))
    written = {}
    for source in sources:
        for one in load(source).texts():
            path = source.parent / (one["file"] + ".ttir")
            if path in written:
                sys.exit(f"{path.relative_to(ROOT)} is written twice, by {written[path].name} and by {source.name}")
            path.write_text(text(**one))
            written[path] = source
    for path in ROOT.glob("pkg/**/kernels/*.ttir"):
        if path not in written:
            path.unlink()
            print("removed", path.relative_to(ROOT))
    lines = [f"triton {triton.__version__}"]
    lines += [f"{sha(p)}  {p.relative_to(ROOT).as_posix()}" for p in [pathlib.Path(__file__).resolve(), *sources, *sorted(written)]]
    (ROOT / "kernels.lock").write_text("\n".join(lines) + "\n")
    print(f"{len(written)} texts of {len(sources)} sources, Triton {triton.__version__}; see git diff")


if __name__ == "__main__":
    main()
