"""Loads model folders with transformers and compares their logits with those that the program computed.

usage: python transformers_check.py DIR...
Each DIR holds a model and check/logits.safetensors with input_ids [batch, tokens] and logits [batch, tokens, vocab].
Prints a line for each: "difference of largest".
"""
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

for folder in sys.argv[1:]:
    model, report = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    for key, names in report.items():
        if names:
            sys.exit(f"{folder}: {key}: {names}")
    expected = load_file(folder + "/check/logits.safetensors")
    with torch.no_grad():
        logits = model.eval()(expected["input_ids"]).logits
    difference = (logits - expected["logits"].to(logits.dtype)).abs().max().item()
    print(f"{difference:.3g} of {logits.abs().max().item():.3g}")
