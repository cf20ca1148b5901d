#!/usr/bin/env bash
# Times the operators of all architectures and, beside them on the same GPU, flash-linear-attention's kernels.
# Usage: bench/operators.sh OUT [WHEEL…]
#   OUT      folder of operators.json (ours) and operators-fla.json
#   WHEEL    fla-core 0.6.0 (and einops where it is missing), on a machine without a network; else they are installed beforehand
# PYTHON names an interpreter with torch and triton, STUFFED the program. Some minutes, of compilation above all.
set -euo pipefail
out=${1:?usage: bench/operators.sh OUT [WHEEL…]}
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
mkdir -p "$out"
if [ $# -gt 0 ]; then
    site=$(mktemp -d)
    trap 'rm -rf "$site"' EXIT
    "$python" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir --target "$site" "$@"
    export PYTHONPATH="$site${PYTHONPATH:+:$PYTHONPATH}"
fi

stuffed=${STUFFED:-$here/../bin/stuffed}

# Both compile, and try, many variants: side by side, before anything is timed.
warm=()
for name in retention gla rwkv6 "delta rule" "gated delta rule" kda rwkv7 attention rwkv4 "selective scan N16"; do
    "$stuffed" bench --backend cuda --scale operators --operators "$name" >"$out/warm-ours-${name// /-}.log" 2>&1 &
    warm+=($!)
done
for name in retention gla rwkv6 "delta rule" "gated delta rule" kda rwkv7 attention rwkv4; do
    "$python" "$here/peers/fla_gpu.py" --only "$name" --runs 1 >"$out/warm-${name// /-}.log" 2>&1 &
    warm+=($!)
done
wait "${warm[@]}" || true
"$stuffed" bench --backend cuda --scale operators --output "$out/operators.json"
"$python" "$here/peers/fla_gpu.py" --output "$out/operators-fla.json"
rm -f "$out"/warm-*.log
