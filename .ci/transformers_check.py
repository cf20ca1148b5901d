"""Loads a model folder with transformers and compares its logits with those that the program computed.

usage: python transformers_check.py MODEL_DIR LOGITS.safetensors
LOGITS holds input_ids [batch, tokens] and logits [batch, tokens, vocab]. Prints "max abs difference X of Y".
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

model, report = AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.float32, output_loading_info=True)
for key, names in report.items():
    if names and key != "error_msgs":
        sys.exit(f"{key}: {sorted(map(str, names))}")
expected = load_file(sys.argv[2])
with torch.no_grad():
    logits = model.eval()(expected["input_ids"]).logits
difference = (logits - expected["logits"].to(logits.dtype)).abs().max().item()
print(f"max abs difference {difference:.3g} of {logits.abs().max().item():.3g}")
