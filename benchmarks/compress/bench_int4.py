"""Whether linears at 4.6 bits a weight keep the model, and whether they keep it better than ggml's own quantizer.

Question: with the linears of the starter at no more than 4.6 bits a weight, how much does the perplexity of WikiText-2
rise over dense? The bar is 3 %. Is it below that of ggml's quantizer with the same imatrix, the same type for every
tensor, and so the same bytes? KL divergence from dense and the share of same first tokens are reported beside it.
Method: an allocation of types under the target (`AllocationConfig`), then `descent` rounding, loudest inputs first;
statistics of the first windows of `--calibration`, judged on the first windows of `--text`, all arms on the same
windows and in the same number format. The embedding, which is the head too, stays dense in every arm. Intervals are
paired over windows.
The starter was dequantised from a file of Q4_1 blocks: its linears lie on that grid, and Q4_1 keeps them exactly. At
4.6 bits Q4_1 (5 bits) can hold only a few of them, but any claim might still be an artefact of the grid. So all is done
twice: on the weights as they are, and moved off the grid by up to a quarter of a step, uniformly at random; there,
"dense" is the moved model.
Peer: `ggml_quantize_chunk` of the llama.cpp in the `xllamacpp` wheel, with the mean squares of the inputs as imatrix.

Run: `python benchmarks/compress/bench_int4.py --calibration VALID --text TEST [--num-test-windows 32] [--output PATH]`.
Prints one JSON row; `make bench` stores it in `benchmarks/results/`.
"""

from __future__ import annotations

import argparse
import ctypes
import importlib.util
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType
from gguf.quants import dequantize
from numpy.typing import NDArray
from rows import provenance, tell
from torch import Tensor, nn

from birdbone.compress.config import FIRST_TOKEN_SHARE, AllocationConfig, QuantizeFormat, RoundingConfig, StoredType
from birdbone.compress.quantize import choose_types, round_linears
from birdbone.compress.statistics import InputStatistics, collect_statistics
from birdbone.data import token_windows
from birdbone.evaluate import paired_ratio
from birdbone.evaluate.divergence import divergence, model_logits
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel, compute_in, load_model
from birdbone.models.gguf import GgufType, quantize_tensor, size_bytes

Weights = dict[str, Tensor]
"""By the path of the linear, what its stored codes stand for."""


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    row = {**provenance(settings, "compress/bench_int4")}
    for name, noise in (("on_grid", 0.0), ("off_grid", settings.noise)):
        if name in settings.bases:
            row |= {f"{name}_{key}": value for key, value in _measure(settings, noise=noise).items()}
    tell(row, settings.output)


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Perplexity of linears at a target of bits, beside ggml's quantizer.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--calibration", type=Path, required=True)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--bits", type=float, default=4.6)
    parser.add_argument("--bases", nargs="+", choices=("on_grid", "off_grid"), default=["on_grid", "off_grid"])
    parser.add_argument("--noise", type=float, default=0.25)
    parser.add_argument("--num-windows", type=int, default=16)
    parser.add_argument("--window-tokens", type=int, default=1024)
    parser.add_argument("--num-test-windows", type=int, default=32)
    parser.add_argument("--num-sensitivity-windows", type=int, default=2)
    parser.add_argument("--num-sweeps", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(settings: argparse.Namespace, *, noise: float) -> dict[str, Any]:
    loaded = load_model(settings.model)
    _move_off_grid(loaded, noise=noise, seed=settings.seed)
    calibration_NT = _windows(loaded, settings.calibration, settings.num_windows, settings.window_tokens)
    test_NT = _windows(loaded, settings.text, settings.num_test_windows, settings.window_tokens)
    with compute_in(settings.dtype):
        statistics = collect_statistics(
            loaded.model,
            loaded.architecture,
            torch.from_numpy(calibration_NT),
            batch_size=1,
            first_token_share=FIRST_TOKEN_SHARE,
        )
    begin = time.process_time()
    chosen = choose_types(
        loaded.model,
        loaded.architecture,
        statistics,
        windows_NT=torch.from_numpy(calibration_NT),
        wanted=_wanted(settings),
    )
    allocated = time.process_time()
    config = RoundingConfig(kind="descent", order="loudest_first", num_sweeps=settings.num_sweeps)
    rounded = round_linears(loaded.model, statistics, types=chosen.types, config=config)
    seconds = {"allocation_cpu_seconds": allocated - begin, "rounding_cpu_seconds": time.process_time() - allocated}
    ours = {name.removesuffix(".weight"): tensor.dequantize() for name, tensor in rounded.items()}
    peer = ggml_weights(loaded.model, statistics, chosen.types)
    assert chosen.allocation is not None
    assert chosen.calibration is not None
    num_weights = sum(
        slot.out_features * slot.in_features for layer in loaded.architecture.layers for slot in layer.linears
    )
    with compute_in(settings.dtype):
        figures = _judge(loaded, {"ours": ours, "ggml": peer}, test_NT, seed=settings.seed)
    return {
        **figures,
        **seconds,
        "bits_per_weight": 8 * chosen.allocation.size_bytes / num_weights,
        "linear_bytes": chosen.allocation.size_bytes,
        "types": dict(Counter(chosen.types.values())),
        "rank_agreement": chosen.calibration.rank_agreement,
        "num_measured": chosen.calibration.num_measured,
        "num_test_tokens": test_NT.size,
    }


def _wanted(settings: argparse.Namespace) -> QuantizeFormat:
    allocation = AllocationConfig(
        bits_per_weight=settings.bits, num_windows=settings.num_sensitivity_windows, seed=settings.seed
    )
    return QuantizeFormat(allocation=allocation)


@torch.no_grad()
def _move_off_grid(loaded: LoadedModel, *, noise: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for path in loaded.architecture.linear_paths:
        weight_FD = loaded.model.get_parameter(f"{path}.weight")
        steps_FB = quantize_tensor(weight_FD, GgufType.Q4_1).scales.float()
        drawn_FD = 2 * torch.rand(weight_FD.shape, generator=generator) - 1
        weight_FD.add_(noise * drawn_FD * steps_FB.repeat_interleave(32, dim=1))


def _judge(
    loaded: LoadedModel, arms: Mapping[str, Weights], test_NT: NDArray[np.int64], *, seed: int
) -> dict[str, Any]:
    """Return perplexities, their paired ratios, divergence from dense and same first tokens, for every arm."""
    dense = load_model(loaded.spec)
    with torch.no_grad():
        for path in loaded.architecture.linear_paths:
            dense.model.get_parameter(f"{path}.weight").copy_(loaded.model.get_parameter(f"{path}.weight"))
    nll = {"dense": token_nll(dense.model, test_NT, batch_size=1)}
    row: dict[str, Any] = {"dense_perplexity": float(np.exp(nll["dense"].mean()))}
    for name, weights in arms.items():
        _load(loaded, weights)
        nll[name] = token_nll(loaded.model, test_NT, batch_size=1)
        ratio = paired_ratio(nll[name], nll["dense"], seed=seed)
        row[f"{name}_perplexity"] = float(np.exp(nll[name].mean()))
        row |= _ends(f"{name}_over_dense", ratio)
        found = divergence(
            model_logits(dense.model),
            model_logits(loaded.model),
            test_NT[: max(8, len(test_NT) // 4)],
            generator=np.random.default_rng(seed),
        )
        row |= {f"{name}_kl": found.kl, f"{name}_kl_min": found.kl_low, f"{name}_kl_max": found.kl_high}
        row |= {f"{name}_same_top1": found.same_top1}
    if {"ours", "ggml"} <= arms.keys():
        row |= _ends("ours_over_ggml", paired_ratio(nll["ours"], nll["ggml"], seed=seed))
    return row


def _ends(name: str, ratio: Any) -> dict[str, float]:
    return {name: ratio.value, f"{name}_min": ratio.low, f"{name}_max": ratio.high}


@torch.no_grad()
def _load(loaded: LoadedModel, weights: Weights) -> None:
    for path, weight_FD in weights.items():
        loaded.model.get_parameter(f"{path}.weight").copy_(weight_FD)


def ggml_weights(
    model: nn.Module, statistics: Mapping[str, InputStatistics], types: Mapping[str, StoredType]
) -> Weights:
    """Return every linear as ggml's quantizer stores it, with the mean squares of its inputs as imatrix."""
    quantize_chunk = _ggml_quantizer()
    weights = {}
    for path, kind in types.items():
        w_FD = model.get_parameter(f"{path}.weight").detach().float().contiguous()
        if kind == "f16":
            weights[path] = w_FD.half().float()
            continue
        stored = GgufType[kind.upper()]
        importance_D = statistics[path].mean_square_D.float().contiguous()
        importance_D = importance_D.clamp_min(1e-7 * float(importance_D.max()))  # ggml divides by a block's sum
        data = np.zeros(size_bytes(stored, num_weights=w_FD.numel()), dtype=np.uint8)
        written = quantize_chunk(
            int(stored), w_FD.data_ptr(), data.ctypes.data, 0, w_FD.shape[0], w_FD.shape[1], importance_D.data_ptr()
        )
        assert written == data.nbytes
        rows = data.reshape(len(w_FD), -1)
        weights[path] = torch.from_numpy(dequantize(rows, GGMLQuantizationType(int(stored)))).view_as(w_FD)
    return weights


def _ggml_quantizer() -> Any:
    found = importlib.util.find_spec("xllamacpp")
    assert found is not None
    folder = Path(next(iter(found.submodule_search_locations or [])))
    library = ctypes.CDLL(str(next(folder.glob("xllamacpp*.so"))))
    library.ggml_quantize_chunk.restype = ctypes.c_size_t
    library.ggml_quantize_chunk.argtypes = [
        ctypes.c_int,
        ctypes.c_void_p,
        ctypes.c_void_p,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_int64,
        ctypes.c_void_p,
    ]
    return library.ggml_quantize_chunk


def _windows(loaded: LoadedModel, path: Path, count: int, window: int) -> NDArray[np.int64]:
    return token_windows((path.read_text(encoding="utf-8"),), loaded.encode, window=window, count=count)


if __name__ == "__main__":
    main()
