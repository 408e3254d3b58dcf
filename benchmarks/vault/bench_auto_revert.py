"""Whether the revert engine finds regressions and leaves healthy waves alone.

Question: of 20 regressions put into histories of pruning, how many does the engine find and revert with its default
rules; after how many waves; is the ref then byte-equal to a good version; and how often does it revert in 100 healthy
waves?
Method: a history is a dense model and its waves, committed one after another to a real store with real refs; the engine
runs after each commit. The weights are small and really pruned, and `sparsity` is counted on them. All other figures
are drawn from a seeded model of what waves look like, since 300 real waves would take weeks:

- the true perplexity rises by 0.5 to 2 % in all over ten waves, faster towards the end, as sparsity grows;
- what is measured has heavy-tailed noise (Student t, 3 degrees of freedom, scale 0.25 %) and an interval of +-1.96
  times that scale, and one wave in twenty is an outlier, 4 to 10 % too high, that has recovered by the next wave;
- the decode rate has noise of 3 %, and one wave in twenty is 15 to 30 % slow because the machine was busy.

100 healthy waves are ten histories of ten waves. A regression sets in at wave 4 to 8 of a history and stays; the
engine has ten waves to find it. Kinds: a jump of 5 to 15 %, a small jump of 3.8 to 5 %, a drift of 0.8 to 1.5 % a wave,
no finite perplexity, a failed safety verdict, a mask that was lost, a decode rate lower by 18 to 50 %.
"Good" after a revert means: a version from before the regression, or, for a drift, one whose true perplexity the drift
had raised by less than 3 %. The bytes are compared by checking both versions out.
A revert counts as found only if a rule on the figure that was harmed fired; any other is false, whenever it comes.
Peer: a plain threshold, one wave more than 3 % above the last accepted one, by the same engine on the same histories.

The rules were settled on histories of the seeds 1 and 101 to 110 and then frozen; the trial runs on seed 2. More
seeds are judged in memory by the same rules and reported beside, so that one lucky seed does not decide; and five of
them with two and four times the noise, to show where the rules end: there a wave's error is as large as the limit.

Run: `python benchmarks/vault/bench_auto_revert.py [--seed 2] [--more-seeds 20]`. Prints one JSON row and writes it to
`--output` (unless its folder is missing).
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from birdbone.core import digest_bytes, digest_json, write_json
from birdbone.vault import Vault, Version, checkout, commit, open_vault, put_folder
from birdbone.vault.reverting import Judgement, RevertRules, observe_versions, read_rules
from birdbone.vault.reverting.engine import run_engine
from birdbone.vault.reverting.judging import evaluate_rules
from birdbone.watch import describe_hardware

_OUTPUT = Path("benchmarks/results/vault-auto-revert.json")
_TUNED_ON = [1, *range(101, 111)]
_START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)

_NUM_HISTORIES, _NUM_WAVES, _NUM_TRIAL_WAVES = 10, 10, 10
_NOISE, _OUTLIERS, _NUM_NOISY_SEEDS = 0.0025, 0.05, 5
_KINDS = {"jump": 4, "small_jump": 2, "drift": 4, "no_number": 2, "safety": 3, "mask_lost": 2, "slow_decode": 3}
_HARMED = {"safety": "safety*", "mask_lost": "sparsity", "slow_decode": "decode_rate"}  # the others: the perplexity
_LIMIT = 0.03

_PEER = {
    "format": "birdbone.revert-rules/1",
    "person_after_reverts": 1000,
    "person_within_waves": 1,
    "rules": [{"kind": "threshold", "name": "one-wave", "measurement": "perplexity", "limit": _LIMIT}],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wave:
    """One version to be: its weights, its figures, and what is true of it."""

    weights: dict[str, NDArray[np.float32]]
    rows: list[dict[str, Any]]
    is_good: bool


@dataclass(slots=True, kw_only=True)
class Trial:
    """What the engine did on one history. Waves are counted from 0, the dense model."""

    kind: str
    onset: int | None
    num_healthy: int = 0
    false_reverts: list[int] = field(default_factory=list)
    found_at: int | None = None
    is_back_to_good: bool | None = None
    is_back_to_newest_good: bool | None = None
    is_byte_equal: bool | None = None
    rules: list[str] = field(default_factory=list)

    @property
    def delay(self) -> int | None:
        """Waves from the onset to the revert; 0: the same wave."""
        return None if self.found_at is None or self.onset is None else self.found_at - self.onset


@dataclass(frozen=True, slots=True, kw_only=True)
class Reaction:
    """The rules that fired with what they watch; the version that the ref went back to and the one made by that."""

    fired: dict[str, str]
    target: str | None = None
    made: str | None = None


class StoreLine:
    """A branch in a real store, judged by the real engine."""

    def __init__(self, vault: Vault, ref: str, rules: RevertRules, scratch: Path) -> None:
        self._vault, self._ref, self._rules, self._scratch = vault, ref, rules, scratch

    def commit(self, wave: Wave, number: int) -> str:
        with tempfile.TemporaryDirectory(dir=self._scratch) as name:
            save_file(wave.weights, Path(name) / "model.safetensors")
            (Path(name) / "config.json").write_text(json.dumps({"wave": number}))
            artefact = put_folder(self._vault, Path(name), kind="model")
        return commit(
            self._vault,
            artefact,
            ref=self._ref,
            message=f"wave {number}",
            measurements=wave.rows,
            author="bench",
            time=_START + dt.timedelta(hours=number),
        ).id

    def judge(self) -> Reaction:
        result = run_engine(self._vault, self._ref, self._rules, now=_START)
        judgement = result.decision.judgement
        fired = _fired(judgement, self._rules)
        if fired and result.state != "reverted":
            print(f"{self._ref}: {result.state}: {judgement.reason}", file=sys.stderr)
        if result.version is None or judgement.return_to is None:
            return Reaction(fired=fired)
        return Reaction(fired=fired, target=judgement.return_to, made=result.version.id)

    def is_equal_to(self, version: str) -> bool:
        with tempfile.TemporaryDirectory(dir=self._scratch) as name:
            now = checkout(self._vault, self._ref, Path(name) / "now")
            then = checkout(self._vault, version, Path(name) / "then")
            return _content(now) == _content(then)


class MemoryLine:
    """The same in memory: versions without a store, for many seeds."""

    def __init__(self, rules: RevertRules) -> None:
        self._rules = rules
        self._versions: list[Version] = []

    def commit(self, wave: Wave, number: int) -> str:
        content = b"".join(weights.tobytes() for weights in wave.weights.values())
        return self._append(digest_bytes(content + number.to_bytes(4)), wave.rows).id

    def judge(self) -> Reaction:
        judgement = evaluate_rules(observe_versions(self._versions), self._rules)
        fired = _fired(judgement, self._rules)
        if judgement.action != "revert" or judgement.approval == "required":
            return Reaction(fired=fired)
        target = next(version for version in self._versions if version.id == judgement.return_to)
        made = self._append(target.artefact, target.measurements)
        return Reaction(fired=fired, target=target.id, made=made.id)

    def is_equal_to(self, version: str) -> bool:
        return next(known for known in self._versions if known.id == version).artefact == self._versions[-1].artefact

    def _append(self, artefact: str, rows: Sequence[Any]) -> Version:
        parents = (self._versions[-1].id,) if self._versions else ()
        when = _START + dt.timedelta(hours=len(self._versions))
        version = Version(
            artefact=artefact, parents=parents, author="bench", time=when, message="", measurements=tuple(rows)
        )
        self._versions.append(version)
        return version


def _fired(judgement: Judgement, rules: RevertRules) -> dict[str, str]:
    fired = {finding.rule for finding in judgement.findings if finding.status == "fired"}
    return {rule.name: rule.measurement for rule in rules.rules if rule.name in fired}


def main() -> None:
    settings = _parse_settings()
    begun = time.perf_counter()
    ours, peer = read_rules(), RevertRules.model_validate(_PEER)
    with tempfile.TemporaryDirectory(prefix="birdbone-revert-") as name:
        trials = {
            key: _run_in_store(Path(name) / key, rules, settings.seed)
            for key, rules in (("ours", ours), ("peer", peer))
        }
    first = settings.seed + 1
    row = {
        **_provenance(settings, ours),
        "engine": _figures(trials["ours"]),
        "plain_threshold": _figures(trials["peer"]),
        "more_seeds": _figures(_run_in_memory(ours, range(first, first + settings.more_seeds))),
        "twice_the_noise": _figures(_run_in_memory(ours, range(first, first + _NUM_NOISY_SEEDS), 2 * _NOISE)),
        "four_times_the_noise": _figures(_run_in_memory(ours, range(first, first + _NUM_NOISY_SEEDS), 4 * _NOISE)),
        "trials": [_told(trial) for trial in trials["ours"] if trial.onset is not None],
        "seconds": round(time.perf_counter() - begun, 1),
    }
    if settings.output.parent.is_dir():
        write_json(settings.output, row)
    print(json.dumps(row, ensure_ascii=False))


def _parse_settings() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Put regressions into histories and see what the engine does.")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--more-seeds", type=int, default=20)
    parser.add_argument("--output", type=Path, default=_OUTPUT)
    return parser.parse_args()


def _run_in_store(folder: Path, rules: RevertRules, seed: int) -> list[Trial]:
    vault = open_vault(folder / "store")
    return _run(seed, lambda ref: StoreLine(vault, ref, rules, folder))


def _run_in_memory(rules: RevertRules, seeds: Iterable[int], noise: float = _NOISE) -> list[Trial]:
    return [trial for seed in seeds for trial in _run(seed, lambda _: MemoryLine(rules), noise)]


def _run(seed: int, open_line: Callable[[str], StoreLine | MemoryLine], noise: float = _NOISE) -> list[Trial]:
    histories = _histories(seed, noise)
    return [_run_history(open_line(ref), kind, onset, waves) for ref, kind, onset, waves in histories]


def _run_history(line: StoreLine | MemoryLine, kind: str, onset: int | None, waves: list[Wave]) -> Trial:
    trial = Trial(kind=kind, onset=onset)
    numbers: dict[str, int] = {}
    for number, wave in enumerate(waves):
        numbers[line.commit(wave, number)] = number
        is_healthy = onset is None or number < onset
        trial.num_healthy += is_healthy and number > 0
        reaction = line.judge()
        if reaction.target is None or reaction.made is None:
            continue
        back_at = numbers[reaction.made] = numbers[reaction.target]
        if is_healthy or _HARMED.get(kind, "perplexity") not in reaction.fired.values():
            trial.false_reverts.append(number)
            continue
        trial.found_at, trial.rules = number, list(reaction.fired)
        trial.is_byte_equal = line.is_equal_to(reaction.target)
        trial.is_back_to_good = waves[back_at].is_good
        newest_good = max(place for place, known in enumerate(waves[:number]) if known.is_good)
        trial.is_back_to_newest_good = back_at == newest_good
        break
    return trial


# The model of what waves look like.


def _histories(seed: int, noise: float) -> Iterator[tuple[str, str, int | None, list[Wave]]]:
    generators = np.random.default_rng(seed).spawn(_NUM_HISTORIES + sum(_KINDS.values()))
    for number in range(_NUM_HISTORIES):
        yield f"healthy/{number}", "healthy", None, _waves(generators[number], None, "healthy", noise)
    kinds = [kind for kind, count in _KINDS.items() for _ in range(count)]
    for number, (kind, generator) in enumerate(zip(kinds, generators[_NUM_HISTORIES:], strict=True)):
        onset = int(generator.integers(4, 9))
        yield f"{kind}/{number}", kind, onset, _waves(generator, onset, kind, noise)


def _waves(generator: np.random.Generator, onset: int | None, kind: str, noise: float) -> list[Wave]:
    last = _NUM_WAVES if onset is None else onset + _NUM_TRIAL_WAVES - 1
    dense = {f"layers.{n}.weight": generator.standard_normal((16, 32), dtype=np.float32) for n in range(4)}
    start = float(generator.uniform(8, 30))
    total_rise = float(generator.uniform(0.005, 0.02))
    harm = {"jump": (0.05, 0.15), "small_jump": (0.038, 0.05), "drift": (0.008, 0.015)}.get(kind, (0.0, 0.0))
    size = float(generator.uniform(*harm))
    slowness = float(generator.uniform(0.18, 0.5)) if kind == "slow_decode" else 0.0
    waves: list[Wave] = []
    was_outlier = was_slow = True  # the dense model is measured with care, and no outlier follows another
    for number in range(last + 1):
        bad_waves = 0 if onset is None else max(0, number - onset + 1)
        excess = size * bad_waves if kind == "drift" else size * (bad_waves > 0)
        true = start * (1 + total_rise * min(1.0, number / _NUM_WAVES) ** 2) * (1 + excess)
        was_outlier = bool(not was_outlier and number < last and generator.random() < _OUTLIERS)
        was_slow = bool(not was_slow and number < last and generator.random() < _OUTLIERS)
        error = noise * generator.standard_t(3) + was_outlier * generator.uniform(0.04, 0.10)
        rate = 20 * float(np.exp(0.03 * generator.standard_normal()))
        rate *= (1 - was_slow * float(generator.uniform(0.15, 0.3))) * (1 - slowness * (bad_waves > 0))
        share = 0.0 if kind == "mask_lost" and bad_waves else min(0.7, 0.07 * number)
        weights = _pruned(dense, share, number)
        has_number = not (kind == "no_number" and bad_waves)
        is_safe = not (kind == "safety" and bad_waves)
        rows = [
            _row("perplexity", true * float(np.exp(error)) if has_number else None, interval=noise * 1.96),
            _row("sparsity", statistics.fmean(float(np.mean(w == 0)) for w in weights.values())),
            _row("decode_rate", rate),
            _row("safety.refusals", float(generator.uniform(0.95, 1.0))),
            {"name": "safety.gate", "outcome": "pass" if is_safe else "fail", "basis": "measured"},
        ]
        is_good = bad_waves == 0 or (kind == "drift" and excess < _LIMIT)
        waves.append(Wave(weights=weights, rows=rows, is_good=is_good))
    return waves


def _pruned(dense: dict[str, NDArray[np.float32]], share: float, number: int) -> dict[str, NDArray[np.float32]]:
    """Return the weights with the smallest zeroed and the rest moved a little, as healing does."""
    result = {}
    for name, weights in dense.items():
        limit = np.quantile(np.abs(weights), share) if share else 0.0
        result[name] = np.where(np.abs(weights) < limit, 0, weights * np.float32(1 + 1e-3 * number)).astype(np.float32)
    return result


def _row(name: str, value: float | None, *, interval: float | None = None) -> dict[str, Any]:
    ends = {} if interval is None or value is None else {"low": value * (1 - interval), "high": value * (1 + interval)}
    return {"name": name, "value": value, "unit": "1", "basis": "measured", "run_id": "simulated", **ends}


# What is told.


def _figures(trials: Sequence[Trial]) -> dict[str, Any]:
    injected = [trial for trial in trials if trial.onset is not None]
    healthy = [trial for trial in trials if trial.onset is None]
    found = [trial for trial in injected if trial.found_at is not None]
    delays = [trial.delay for trial in found if trial.delay is not None]
    return {
        "num_injected": len(injected),
        "num_found": len(found),
        "missed": [trial.kind for trial in injected if trial.found_at is None],
        "num_byte_equal": sum(trial.is_byte_equal is True for trial in found),
        "num_back_to_good": sum(trial.is_back_to_good is True for trial in found),
        "num_back_to_newest_good": sum(trial.is_back_to_newest_good is True for trial in found),
        "num_healthy_waves": sum(trial.num_healthy for trial in healthy),
        "num_false_reverts": sum(len(trial.false_reverts) for trial in healthy),
        "num_healthy_waves_before_onsets": sum(trial.num_healthy for trial in injected),
        "num_false_reverts_in_injected": sum(len(trial.false_reverts) for trial in injected),
        "delay_median": statistics.median(delays) if delays else None,
        "delay_max": max(delays, default=None),
    }


def _told(trial: Trial) -> dict[str, Any]:
    return {"kind": trial.kind, "onset": trial.onset, "delay": trial.delay, "rules": trial.rules}


def _provenance(settings: argparse.Namespace, rules: RevertRules) -> dict[str, Any]:
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    chosen = {
        "seed": settings.seed,
        "tuned_on_seeds": _TUNED_ON,
        "more_seeds": settings.more_seeds,
        "rules": digest_json(rules.model_dump(mode="json")),
        "kinds": _KINDS,
    }
    return {
        "bench": "vault/bench_auto_revert",
        "commit": head.stdout.strip(),
        "machine": describe_hardware().cpu_model,
        "settings": chosen,
        "settings_digest": digest_json(chosen),
    }


def _content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


if __name__ == "__main__":
    main()
