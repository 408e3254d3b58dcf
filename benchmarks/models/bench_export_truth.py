"""Whether an exported file says the same as the model it came from, and what INT4 saves.

Question: is the perplexity of the F16 GGUF in stock llama.cpp within 0.1 % of torch in fp32 on the same tokens; does
llama.cpp read 10,000 strings as the model's own tokenizer does; how many bytes and how much time a token does a file
in the demo's types (Q4_0, Q4_1 for up and down, a Q5_0 embedding; plain rounding, no calibration) take against F16?
Method: windows of consecutive tokens from the bundled held-out text, the first token of each window given; nats over
the others, in torch and in llama.cpp on the exported file. Decoding: one token a call after a short prompt, both files
open in the same process at the same threads, turns alternating; wall clock and CPU seconds.
Peer: torch is the truth for quality, the F16 file in the same engine is the peer for size and speed.

Run: `python benchmarks/models/bench_export_truth.py [--model starter] [--num-threads 2]`. Prints one JSON row.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from birdbone.core import digest_json
from birdbone.data import load_corpus
from birdbone.models import LoadedModel, load_model
from birdbone.models.gguf import GgufReport, GgufType, StateTensor, quantize_tensor, write_gguf
from birdbone.models.llamacpp import LlamaCpp, compare_tokenizers, open_engine, probe_strings, system_info

_NUM_PROMPT, _NUM_GENERATED = 32, 64


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    loaded = load_model(settings.model)
    with tempfile.TemporaryDirectory() as folder:
        row = _measure(loaded, Path(folder), settings)
    print(json.dumps(row, ensure_ascii=False))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Truth, size and speed of an exported model.")
    parser.add_argument("--model", default="starter")
    parser.add_argument("--num-windows", type=int, default=8)
    parser.add_argument("--window-tokens", type=int, default=512)
    parser.add_argument("--num-strings", type=int, default=10_000)
    parser.add_argument("--num-turns", type=int, default=5)
    parser.add_argument("--num-threads", type=int, default=1)
    return parser.parse_args()


def _measure(loaded: LoadedModel, folder: Path, settings: argparse.Namespace) -> dict[str, Any]:
    state = loaded.model.state_dict()
    f16 = _export(loaded, folder / "f16.gguf", state)
    int4 = _export(loaded, folder / "int4.gguf", _rounded(state))
    texts = load_corpus().heldout
    windows = _windows(loaded, texts, settings)
    truth = _torch_nll(loaded, windows)
    with _open(f16, settings) as dense, _open(int4, settings) as light:
        return {
            **_provenance(settings),
            **_quality(truth, _engine_nll(dense, windows), _engine_nll(light, windows)),
            **_tokenizer_agreement(dense, loaded, texts, settings),
            **_sizes(f16, int4),
            **_speeds(dense, light, settings.num_turns),
        }


def _export(loaded: LoadedModel, path: Path, state: dict[str, StateTensor]) -> GgufReport:
    return write_gguf(
        path,
        model_config=loaded.model.config,
        state_tensors=state,
        tokenizer=loaded.tokenizer,
        name=loaded.name,
        license_name=loaded.licence or "",
    )


def _rounded(state: dict[str, Tensor]) -> dict[str, StateTensor]:
    def rounded(name: str, tensor: Tensor) -> StateTensor:
        if tensor.ndim != 2:
            return tensor
        if ".layers." not in name:
            return quantize_tensor(tensor, GgufType.Q5_0)
        is_wide = name.endswith(("up_proj.weight", "down_proj.weight"))
        return quantize_tensor(tensor, GgufType.Q4_1 if is_wide else GgufType.Q4_0)

    return {name: rounded(name, tensor) for name, tensor in state.items()}


def _open(report: GgufReport, settings: argparse.Namespace) -> LlamaCpp:
    return open_engine(report.path, num_ctx=settings.window_tokens, num_threads=settings.num_threads)


def _windows(loaded: LoadedModel, texts: tuple[str, ...], settings: argparse.Namespace) -> list[list[int]]:
    size, count = settings.window_tokens, settings.num_windows
    ids = loaded.tokenizer("\n\n".join(texts), add_special_tokens=False)["input_ids"]
    if len(ids) < size * count:
        raise SystemExit(f"The held-out text has {len(ids)} tokens; {size * count} are needed.")
    return [list(ids[start : start + size]) for start in range(0, size * count, size)]


def _torch_nll(loaded: LoadedModel, windows: list[list[int]]) -> NDArray[np.float64]:
    with torch.inference_mode():
        return np.concatenate([_window_nll(loaded, window) for window in windows])


def _window_nll(loaded: LoadedModel, window: list[int]) -> NDArray[np.float64]:
    ids_T = torch.tensor(window)
    logits_TV = loaded.model(ids_T[None]).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits_TV, ids_T[1:], reduction="none").double().numpy()


def _engine_nll(engine: LlamaCpp, windows: list[list[int]]) -> NDArray[np.float64]:
    return np.concatenate([engine.nll(window) for window in windows])


def _quality(
    truth: NDArray[np.float64], dense: NDArray[np.float64], light: NDArray[np.float64]
) -> dict[str, float | int]:
    return {
        "num_tokens_judged": len(truth),
        "perplexity_torch_fp32": math.exp(truth.mean()),
        "perplexity_f16_gguf": math.exp(dense.mean()),
        "perplexity_int4_gguf": math.exp(light.mean()),
        "f16_over_torch_percent": 100 * (math.exp(dense.mean() - truth.mean()) - 1),
        "f16_largest_token_difference_nats": float(np.abs(dense - truth).max()),
        "int4_over_torch_percent": 100 * (math.exp(light.mean() - truth.mean()) - 1),
    }


def _tokenizer_agreement(
    engine: LlamaCpp, loaded: LoadedModel, texts: tuple[str, ...], settings: argparse.Namespace
) -> dict[str, int]:
    special = sorted(loaded.tokenizer.get_added_vocab())
    strings = probe_strings(settings.num_strings, seed=0, texts=texts, special_tokens=special)
    mismatches = compare_tokenizers(engine, loaded.tokenizer, strings)
    return {
        "num_strings": len(strings),
        "num_strings_differing": len(mismatches),
        "num_strings_differing_without_unknown_bytes": sum(not mismatch.unknown_bytes for mismatch in mismatches),
    }


def _sizes(f16: GgufReport, int4: GgufReport) -> dict[str, float | int]:
    return {
        "f16_bytes": f16.size_bytes,
        "int4_bytes": int4.size_bytes,
        "int4_bytes_percent": 100 * int4.size_bytes / f16.size_bytes,
        "f16_bits_per_weight": f16.bits_per_weight,
        "int4_bits_per_weight": int4.bits_per_weight,
        "f16_bytes_read_per_token": f16.bytes_read_per_token,
        "int4_bytes_read_per_token": int4.bytes_read_per_token,
    }


def _speeds(dense: LlamaCpp, light: LlamaCpp, num_turns: int) -> dict[str, float]:
    """Return medians and extremes over alternating turns, so that a neighbour's load falls on both."""
    turns = [
        (dense.decode_rate(_NUM_PROMPT, _NUM_GENERATED, 1), light.decode_rate(_NUM_PROMPT, _NUM_GENERATED, 1))
        for _ in range(num_turns)
    ]
    dense_rates, light_rates = ([turn[side].tokens_per_second[0] for turn in turns] for side in (0, 1))
    dense_cpu, light_cpu = ([turn[side].cpu_seconds_per_token[0] for turn in turns] for side in (0, 1))
    return {
        **_spread("f16_tokens_per_second", dense_rates),
        **_spread("int4_tokens_per_second", light_rates),
        **_spread("int4_over_f16_rate", [b / a for a, b in zip(dense_rates, light_rates, strict=True)]),
        **_spread("f16_over_int4_cpu_seconds", [a / b for a, b in zip(dense_cpu, light_cpu, strict=True)]),
    }


def _spread(name: str, values: list[float]) -> dict[str, float]:
    return {name: statistics.median(values), f"{name}_min": min(values), f"{name}_max": max(values)}


def _provenance(settings: argparse.Namespace) -> dict[str, Any]:
    described = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return {
        "bench": "models/bench_export_truth",
        "commit": described.stdout.strip(),
        "machine": f"{platform.machine()}, {torch.get_num_threads()} threads",
        "engine": system_info(),
        "settings": vars(settings),
        "settings_digest": digest_json(vars(settings)),
    }


if __name__ == "__main__":
    main()
