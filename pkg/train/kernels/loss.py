"""The cross-entropy of a row of logits and its gradient as one Triton kernel, and its text for XLA.

    python loss.py       compares with PyTorch in float64, in Triton's interpreter (TRITON_INTERPRET=1); make kernels writes the texts
"""
import sys

import triton
import triton.language as tl


@triton.jit
def cross_entropy(logits, labels, weight, loss, grad, V, BLOCK: tl.constexpr):
    """loss = weight · −log softmax(logits)[label] and its gradient, one program per row; a row of weight 0 gives zeros."""
    row = tl.program_id(0).to(tl.int64)
    i = tl.arange(0, BLOCK)
    logits += row * V
    grad += row * V
    label = tl.load(labels + row)
    w = tl.load(weight + row)
    top = -1e30
    total = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, V, BLOCK):
        x = tl.load(logits + start + i, mask=start + i < V, other=float("-inf")).to(tl.float32)
        above = tl.maximum(top, tl.max(x, 0))
        total = total * tl.exp(top - above) + tl.exp(x - above)
        top = above
    lse = top + tl.log(tl.sum(total, 0))
    hit = tl.load(logits + tl.maximum(label, 0)).to(tl.float32)
    tl.store(loss + row, tl.where(w > 0, (lse - hit) * w, 0.0))
    for start in range(0, V, BLOCK):
        x = tl.load(logits + start + i, mask=start + i < V, other=0.0).to(tl.float32)
        g = (tl.exp(x - lse) - tl.where(start + i == label, 1.0, 0.0)) * w
        tl.store(grad + start + i, tl.where(w > 0, g, 0.0).to(grad.dtype.element_ty), mask=start + i < V)


BLOCK = 4096
POINTERS = {"logits": "bf16", "labels": "i32", "weight": "fp32", "loss": "fp32", "grad": "bf16"}


def texts():
    yield dict(file="cross_entropy", kernel=cross_entropy, pointers=POINTERS, constants=dict(BLOCK=BLOCK), warps=8, stages=2)


def check():
    import torch
    torch.manual_seed(0)
    rows, V = 5, 300
    logits = (3 * torch.randn(rows, V)).double().requires_grad_()
    labels, weight = torch.randint(0, V, (rows,), dtype=torch.int32), torch.rand(rows)
    weight[1], labels[1] = 0, -1
    want = torch.nn.functional.cross_entropy(logits, labels.clamp(min=0).long(), reduction="none") * weight.double()
    want.sum().backward()
    loss, grad = torch.ones(rows), torch.ones(rows, V)
    cross_entropy[(rows,)](logits.detach().float(), labels, weight, loss, grad, V, 128)
    bad = 0
    for name, a, b in (("loss", loss, want.detach()), ("gradient", grad, logits.grad)):
        ratio = ((a.double() - b).norm() / b.norm()).item()
        print(f"{name:8} {ratio:.2e}")
        bad += not ratio < 1e-6
    return bad


if __name__ == "__main__":
    sys.exit(check())
