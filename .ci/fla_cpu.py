"""flash-linear-attention on a CPU: its own Triton kernels, run by Triton's interpreter.

Importing this module prepares Triton; import it before anything else that imports Triton. Every kernel runs with its first
configuration, since there is nothing to measure. Kernels that go token by token run at once; those that go by chunks, which the
layers choose above 64 tokens, need a GPU: see by_token.
"""
import contextlib
import os
import warnings

os.environ["TRITON_INTERPRET"] = os.environ["TORCHDYNAMO_DISABLE"] = "1"
warnings.filterwarnings("ignore", module="fla")

import fla.models  # noqa: E402,F401  registers its classes with transformers; before the driver below, or it takes this for a GPU
import torch  # noqa: E402
import triton.language as tl  # noqa: E402
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.runtime import autotuner, interpreter  # noqa: E402
from triton.runtime.driver import driver  # noqa: E402


class Interpreter:
    """The little that kernels ask a driver."""

    @staticmethod
    def get_benchmarker():
        return lambda f, quantiles=None: [0.0] * 3

    @staticmethod
    def get_current_target():
        return GPUTarget("cuda", 80, 32)

    @staticmethod
    def get_active_torch_device():
        return torch.device("cpu")

    @staticmethod
    def get_current_device():
        return 0

    @staticmethod
    def get_device_interface():
        return torch.cpu


def first_configuration(self, *args, **kwargs):
    chosen = self.configs[0].all_kwargs()
    if self.configs[0].pre_hook:
        self.configs[0].pre_hook({**dict(zip(self.arg_names, args)), **kwargs, **chosen})
    return self.fn.run(*args, **kwargs, **chosen)


driver.set_active(Interpreter())
autotuner.Autotuner.run = first_configuration


def by_token(model):
    """Has every layer go token by token at any length, as the kernels for up to 64 tokens do."""
    for layer in model.modules():
        if getattr(layer, "mode", None) == "chunk":
            layer.mode = "fused_recurrent"
    return model


@contextlib.contextmanager
def float64():
    """Computes in float64 wherever a library writes float32, in kernels and outside: the same code with more digits, for tensors
    and models of float64. A float32 tensor that reaches a kernel all the same is an error."""
    def type_of(name, c):
        if "fp32" in name:
            raise TypeError(f"a kernel got {name}")
        return type_of_name(name, c)

    type_of_name = tl.str_to_ty
    replaced = [(tl, "float32", tl.float64), (tl, "str_to_ty", type_of), (torch, "float32", torch.float64), (torch, "float", torch.float64),
                (torch.Tensor, "float", torch.Tensor.double), (interpreter.InterpreterBuilder, "get_fp32", interpreter.InterpreterBuilder.get_fp64)]
    before = [(place, name, getattr(place, name)) for place, name, _ in replaced]
    for place, name, value in replaced:
        setattr(place, name, value)
    try:
        yield
    finally:
        for place, name, value in before:
            setattr(place, name, value)
