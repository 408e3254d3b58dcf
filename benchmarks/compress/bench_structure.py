"""What a structural cut brings in stock llama.cpp, and what it costs beside LLM-Pruner's way.

Question: with 20 % or 30 % of all parameters gone from the decoder as whole structures, how much faster does the stock
llama.cpp decode at the same bits (F16 against F16, Q4_0 against Q4_0), and is the perplexity below that of the
best-known recipe at equal healing tokens? The bars: at least 1.2 times and 1.35 times; below the peer.
Method: attention blocks are taken out one by one, each time the one that raises the loss least on calibration windows
(2SSP), and feed-forward neurons in the order of exact elimination, to one width for all layers, a multiple of 32. The
rest is refitted by least squares, then learns from the dense model's predictions. Calibration and healing on
WikiText-2's validation text, perplexity on its test text with the dense model beside it, paired by window. Both files
of a pair are decoded in turns in a process of their own; medians over pairs of turns, with their 95 % interval.
Peer: LLM-Pruner (Ma et al. 2023, arXiv:2305.11627): element-wise first-order Taylor scores summed over coupled groups,
neurons and KV groups of the layers from the fifth to the last but two, then LoRA of rank 8 on every linear with
the language-modelling loss. It gets the same windows as the healing, each as often, and the same number of parameters.

Every stage is kept in `--work`, so that a run that was cut short goes on where it stopped.

Run: `python benchmarks/compress/bench_structure.py --text FOLDER --work FOLDER [--weights starter] [--cut 0.2]
[--output PATH]`, where FOLDER holds `valid.txt` and `test.txt`. Prints one JSON row a cut, the last one last.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from kept_stages import Bench, draw_windows
from rows import provenance
from structure_ours import MIXES, cut_our_way, heal_our_way
from structure_peer import cut_peers_way, heal_peers_way

from birdbone.compress.growth import build_dependency_graph
from birdbone.evaluate.perplexity import token_nll
from birdbone.models import LoadedModel
from birdbone.models.gguf import GgufType, quantize_tensor, write_gguf
from birdbone.pipeline.steps.decoding import race


def main() -> None:
    settings = _parse_settings()
    torch.set_num_threads(settings.num_threads)
    settings.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(settings=settings, work=settings.work)
    rows = [_measure(bench, cut) for cut in settings.cut]
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    if settings.output is not None:
        settings.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Speed and perplexity of structural cuts beside LLM-Pruner's.")
    parser.add_argument("--weights", default="starter")
    parser.add_argument("--text", type=Path, required=True, help="folder with valid.txt and test.txt")
    parser.add_argument("--work", type=Path, required=True, help="folder that keeps every stage")
    parser.add_argument("--cut", type=float, nargs="+", default=sorted(MIXES))
    parser.add_argument("--window-tokens", type=int, default=512)
    parser.add_argument("--num-ablated", type=int, default=2, help="windows of 256 tokens that rank attention blocks")
    parser.add_argument("--num-calibrated", type=int, default=12)
    parser.add_argument("--num-healed", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=2, help="how often each healing window is learned from")
    parser.add_argument("--heal-rate", type=float, default=2e-4)
    parser.add_argument("--lora-rate", type=float, default=1e-3)
    parser.add_argument("--num-judged", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--num-threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=None)
    return parser.parse_args()


def _measure(bench: Bench, cut: float) -> dict[str, Any]:
    dense = bench.model("dense", None, lambda _loaded: None)
    label = f"{100 * cut:.0f}"
    bench.model(f"cut-{label}", "dense", lambda loaded: cut_our_way(bench, loaded, cut))
    ours = bench.model(f"ours-{label}", f"cut-{label}", lambda loaded: heal_our_way(bench, loaded))
    gone = _size(dense) - _size(ours)
    bench.model(f"peer-cut-{label}", "dense", lambda loaded: cut_peers_way(bench, loaded, gone))
    peer = bench.model(f"peer-{label}", f"peer-cut-{label}", lambda loaded: heal_peers_way(bench, loaded))
    nll = {
        name: bench.stage(f"nll-{name}", lambda loaded=loaded: _nll(bench, loaded))
        for name, loaded in {"dense": dense, f"ours-{label}": ours, f"peer-{label}": peer}.items()
    }
    speeds = {kind: bench.stage(f"speed-{label}-{kind}", lambda kind=kind: _race(bench, dense, ours, kind))
              for kind in ("F16", "Q4_0")}  # fmt: skip
    return {
        **provenance(bench.settings, "compress/bench_structure", hidden=("work", "cut")),
        "cut": cut,
        "share_of_decoder": gone / build_dependency_graph(dense.architecture).num_decoder_parameters,
        "peer_share_of_decoder": (_size(dense) - _size(peer))
        / build_dependency_graph(dense.architecture).num_decoder_parameters,
        "attention_blocks_gone": MIXES[cut],
        "perplexity_dense": _perplexity(nll["dense"]),
        "perplexity_ours": _perplexity(nll[f"ours-{label}"]),
        "perplexity_peer": _perplexity(nll[f"peer-{label}"]),
        **_paired(nll[f"ours-{label}"], nll[f"peer-{label}"]),
        "ours_cpu_seconds": bench.seconds(f"cut-{label}") + bench.seconds(f"ours-{label}"),
        "peer_cpu_seconds": bench.seconds(f"peer-cut-{label}") + bench.seconds(f"peer-{label}"),
        **{f"decode_speedup_{kind}{end}": value for kind, found in speeds.items() for end, value in found.items()},
    }


def _nll(bench: Bench, loaded: LoadedModel) -> Any:
    windows_NT = draw_windows(bench, loaded, "test", bench.settings.num_judged)
    return token_nll(loaded.model, windows_NT.numpy(), batch_size=2).mean(axis=1)


def _race(bench: Bench, dense: LoadedModel, ours: LoadedModel, kind: str) -> dict[str, float]:
    files = {name: bench.work / f"{name}-{kind}.gguf" for name in ("dense", "ours")}
    for name, loaded in (("dense", dense), ("ours", ours)):
        state: dict[str, Any] = dict(loaded.model.state_dict())
        if kind != "F16":
            state = {key: quantize_tensor(w, GgufType[kind]) if w.ndim > 1 else w for key, w in state.items()}
        write_gguf(files[name], model_config=loaded.model.config, state_tensors=state, tokenizer=loaded.tokenizer)
    settings = bench.settings
    found = race(
        files["ours"],
        files["dense"],
        num_tokens=settings.new_tokens,
        repeats=settings.repeats,
        max_threads=settings.num_threads,
    )
    rates = found.rates
    return {
        "": rates.speedup.value,
        "_low": rates.speedup.low or math.nan,
        "_high": rates.speedup.high or math.nan,
        "_tokens_per_second": rates.candidate.tokens_per_second.value,
        "_dense_tokens_per_second": rates.baseline.tokens_per_second.value,
    }


def _size(loaded: LoadedModel) -> int:
    return sum(parameter.numel() for parameter in loaded.model.parameters())


def _perplexity(nll_N: Any) -> float:
    return float(np.exp(np.mean(nll_N)))


def _paired(ours_N: Any, peer_N: Any) -> dict[str, float]:
    """Return our perplexity over the peer's, and the interval of two standard errors over windows."""
    difference_N = np.asarray(ours_N) - np.asarray(peer_N)
    error = statistics.stdev(difference_N.tolist()) / math.sqrt(len(difference_N))
    mean = float(difference_N.mean())
    names = ("ours_over_peer", "ours_over_peer_low", "ours_over_peer_high")
    return dict(zip(names, (math.exp(mean), math.exp(mean - 2 * error), math.exp(mean + 2 * error)), strict=True))


if __name__ == "__main__":
    main()
