"""Ways of computing one linear. Shapes: M tokens at once, F out_features, D in_features, R rank."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from birdbone.compress.lowrank import Factors

KernelName = Literal["dense_fp32", "dense_bf16", "int8_dynamic", "low_rank", "csr"]
KERNELS: tuple[KernelName, ...] = get_args(KernelName)
"""`int8_dynamic`: weights in 8 bits a row, activations rounded as they come. `low_rank`: two thin products. `csr`: the
zeros of the weight are skipped."""

Kernel = Callable[[Float[Tensor, "M D"]], Float[Tensor, "M F"]]


def make_kernels(
    w_FD: Float[Tensor, "F D"], *, factors: Factors | None = None
) -> tuple[dict[KernelName, Kernel], dict[KernelName, str]]:
    """Return the kernels that this build of torch can run, and for every other one why not.

    Args:
        w_FD: the weight; each kernel gets a copy in its own form. Not changed.
        factors: for `low_rank`.
    """
    w_FD = w_FD.detach().float().contiguous()
    kernels: dict[KernelName, Kernel] = {"dense_fp32": lambda x_MD: functional.linear(x_MD, w_FD)}
    missing: dict[KernelName, str] = {}
    half_FD = w_FD.bfloat16()
    kernels["dense_bf16"] = lambda x_MD: functional.linear(x_MD.bfloat16(), half_FD).float()
    if factors is None:
        missing["low_rank"] = "no factors were given"
    else:
        left_FR, right_RD = factors.left_FR.contiguous(), factors.right_RD.contiguous()
        kernels["low_rank"] = lambda x_MD: functional.linear(functional.linear(x_MD, right_RD), left_FR)
    if bool((w_FD == 0).any()):
        with warnings.catch_warnings():  # "in beta state"
            warnings.simplefilter("ignore")
            sparse_FD = w_FD.to_sparse_csr()
        kernels["csr"] = lambda x_MD: (sparse_FD @ x_MD.T).T
    else:
        missing["csr"] = "the weight has no zeros"
    try:
        kernels["int8_dynamic"] = _int8_dynamic(w_FD)
    except (RuntimeError, AttributeError) as error:  # an engine or an operator that this build lacks
        missing["int8_dynamic"] = f"not in this build of torch: {str(error).splitlines()[0]}"
    return kernels, missing


def _int8_dynamic(w_FD: Tensor) -> Kernel:
    steps_F = (w_FD.abs().amax(dim=1) / 127).clamp_min(1e-12)
    zeros_F = torch.zeros(len(w_FD), dtype=torch.int64)
    with warnings.catch_warnings():  # torch will drop these tensors one day; then this kernel is reported as missing
        warnings.simplefilter("ignore")
        codes_FD = torch.quantize_per_channel(w_FD, steps_F, zeros_F, 0, torch.qint8)
    packed = torch.ops.quantized.linear_prepack(codes_FD, None)
    kernel: Kernel = lambda x_MD: torch.ops.quantized.linear_dynamic(x_MD, packed, False)  # noqa: E731
    kernel(torch.zeros(1, w_FD.shape[1]))  # an operator that does not run here says so now
    return kernel
