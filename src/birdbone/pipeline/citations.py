"""Who is to be cited for what a run did: one plain catalogue, and which of its entries a run really used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import birdbone
from birdbone.pipeline.service import RunView

_STARTER = "starter"  # as `birdbone.models` calls it, which would load torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Citation:
    """One work as BibTeX needs it. `used_for` says for what a run used it; `eprint` is the arXiv id, if it has one."""

    key: str
    used_for: str
    title: str
    author: str
    year: int | None = None
    eprint: str = ""
    url: str = ""
    note: str = ""

    @property
    def bibtex(self) -> str:
        """The entry as BibTeX."""
        archive = {"eprint": self.eprint, "archiveprefix": "arXiv"} if self.eprint else {}
        fields = {"title": f"{{{self.title}}}", "author": self.author, "year": self.year, **archive}
        fields |= {"url": self.url, "note": self.note}
        lines = ",\n".join(f"  {name} = {{{value}}}" for name, value in fields.items() if value)
        return f"% {self.used_for}\n@misc{{{self.key},\n{lines}\n}}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {**asdict(self), "bibtex": self.bibtex}


CITATIONS: dict[str, Citation] = {
    "birdbone": Citation(
        key="birdbone",
        used_for="the run itself",
        title="Birdbone: a self-hosted workshop for small language models",
        author="{The Birdbone authors}",
        note=f"Software, version {birdbone.__version__}",
    ),
    "starter": Citation(
        key="benallal2025smollm2",
        used_for="the model",
        title="SmolLM2: When Smol Goes Big -- Data-Centric Training of a Small Language Model",
        author="Ben Allal, Loubna and Lozhkov, Anton and Bakouch, Elie and others",
        year=2025,
        eprint="2502.02737",
    ),
    "wanda": Citation(
        key="sun2023wanda",
        used_for="the importance of a weight",
        title="A Simple and Effective Pruning Approach for Large Language Models",
        author="Sun, Mingjie and Liu, Zhuang and Bair, Anna and Kolter, J. Zico",
        year=2023,
        eprint="2306.11695",
    ),
    "magnitude": Citation(
        key="han2015learning",
        used_for="the importance of a weight",
        title="Learning both Weights and Connections for Efficient Neural Networks",
        author="Han, Song and Pool, Jeff and Tran, John and Dally, William J.",
        year=2015,
        eprint="1506.02626",
    ),
    "ria": Citation(
        key="zhang2024plug",
        used_for="the importance of a weight",
        title="Plug-and-Play: An Efficient Post-training Pruning Method for Large Language Models",
        author="Zhang, Yingtao and Bai, Haoli and Lin, Haokun and Zhao, Jialin and others",
        year=2024,
        url="https://openreview.net/forum?id=Tr0lPx9woF",
    ),
    "hessian": Citation(
        key="frantar2023sparsegpt",
        used_for="the importance of a weight",
        title="SparseGPT: Massive Language Models Can Be Accurately Pruned in One-Shot",
        author="Frantar, Elias and Alistarh, Dan",
        year=2023,
        eprint="2301.00774",
    ),
    "gradient": Citation(
        key="molchanov2019importance",
        used_for="the importance of a weight",
        title="Importance Estimation for Neural Network Pruning",
        author="Molchanov, Pavlo and Mallya, Arun and Tyree, Stephen and Frosio, Iuri and Kautz, Jan",
        year=2019,
        eprint="1906.10771",
    ),
    "fisher": Citation(
        key="theis2018faster",
        used_for="the importance of a weight",
        title="Faster gaze prediction with dense networks and Fisher pruning",
        author="Theis, Lucas and Korshunova, Iryna and Tejani, Alykhan and Husz{\\'a}r, Ferenc",
        year=2018,
        eprint="1801.05787",
    ),
    "pruner_zero": Citation(
        key="dong2024pruner",
        used_for="the importance of a weight",
        title="Pruner-Zero: Evolving Symbolic Pruning Metric from Scratch for Large Language Models",
        author="Dong, Peijie and Li, Lujun and Tang, Zhenheng and Liu, Xiang and Pan, Xinglin and others",
        year=2024,
        eprint="2406.02924",
    ),
    "refit": Citation(
        key="meng2024alps",
        used_for="the refit of the surviving weights",
        title="ALPS: Improved Optimization for Highly Sparse One-Shot Pruning for Large Language Models",
        author="Meng, Xiang and Behdin, Kayhan and Wang, Haoyue and Mazumder, Rahul",
        year=2024,
        eprint="2406.07831",
    ),
    "blockwise": Citation(
        key="frantar2022obc",
        used_for="block-wise healing",
        title="Optimal Brain Compression: A Framework for Accurate Post-Training Quantization and Pruning",
        author="Frantar, Elias and Singh, Sidak Pal and Alistarh, Dan",
        year=2022,
        eprint="2208.11580",
    ),
    "structures": Citation(
        key="kurtic2023ziplm",
        used_for="the order in which structures go and the refit of the rest",
        title="ZipLM: Inference-Aware Structured Pruning of Language Models",
        author="Kurtic, Eldar and Frantar, Elias and Alistarh, Dan",
        year=2023,
        eprint="2302.04089",
    ),
    "distill": Citation(
        key="hinton2015distilling",
        used_for="healing by distillation from the dense model",
        title="Distilling the Knowledge in a Neural Network",
        author="Hinton, Geoffrey and Vinyals, Oriol and Dean, Jeff",
        year=2015,
        eprint="1503.02531",
    ),
    "lora": Citation(
        key="hu2021lora",
        used_for="healing by low-rank updates",
        title="LoRA: Low-Rank Adaptation of Large Language Models",
        author="Hu, Edward J. and Shen, Yelong and Wallis, Phillip and Allen-Zhu, Zeyuan and Li, Yuanzhi and others",
        year=2021,
        eprint="2106.09685",
    ),
    "masked_lora": Citation(
        key="zimmer2023perp",
        used_for="low-rank updates under the mask, and norms that learn",
        title="PERP: Rethinking the Prune-Retrain Paradigm in the Era of LLMs",
        author="Zimmer, Max and Andoni, Megi and Spiegel, Christoph and Pokutta, Sebastian",
        year=2023,
        eprint="2312.15230",
    ),
    "qlora": Citation(
        key="dettmers2023qlora",
        used_for="low-rank updates beside weights in 4 bits",
        title="QLoRA: Efficient Finetuning of Quantized LLMs",
        author="Dettmers, Tim and Pagnoni, Artidoro and Holtzman, Ari and Zettlemoyer, Luke",
        year=2023,
        eprint="2305.14314",
    ),
    "regrow": Citation(
        key="evci2019rigl",
        used_for="the regrowth of weights after a spike",
        title="Rigging the Lottery: Making All Tickets Winners",
        author="Evci, Utku and Gale, Trevor and Menick, Jacob and Castro, Pablo Samuel and Elsen, Erich",
        year=2019,
        eprint="1911.11134",
    ),
    "feedback": Citation(
        key="frantar2022gptq",
        used_for="rounding with error feedback",
        title="GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
        author="Frantar, Elias and Ashkboos, Saleh and Hoefler, Torsten and Alistarh, Dan",
        year=2022,
        eprint="2210.17323",
    ),
    "descent": Citation(
        key="behdin2023quantease",
        used_for="rounding by coordinate descent",
        title="QuantEase: Optimization-based Quantization for Language Models",
        author="Behdin, Kayhan and Acharya, Ayan and Gupta, Aman and Song, Qingquan and others",
        year=2023,
        eprint="2309.01885",
    ),
    "learned_rounding": Citation(
        key="cheng2023signround",
        used_for="learning which way each weight rounds",
        title="Optimize Weight Rounding via Signed Gradient Descent for the Quantization of LLMs",
        author="Cheng, Wenhua and Zhang, Weiwei and Shen, Haihao and Cai, Yiyang and others",
        year=2023,
        eprint="2309.05516",
    ),
    "allocation": Citation(
        key="martens2015kfac",
        used_for="the Fisher information by which bits were allocated",
        title="Optimizing Neural Networks with Kronecker-factored Approximate Curvature",
        author="Martens, James and Grosse, Roger",
        year=2015,
        eprint="1503.05671",
    ),
    "gguf": Citation(
        key="llamacpp",
        used_for="the GGUF format, its block formats and the engine that judged the file",
        title="llama.cpp: LLM inference in C/C++",
        author="Gerganov, Georgi and {The ggml authors}",
        year=2023,
        url="https://github.com/ggml-org/llama.cpp",
        note="Software",
    ),
}
"""All that may be cited, by what it is used for (a `kind` of the settings where there is one)."""


def cite_run(view: RunView) -> list[Citation]:
    """Return the works that the steps which a run has done rest on, the run's own software first."""
    done = [step for step in view.steps if step.status == "done"]
    num_regrown = sum(int((step.result or {}).get("notes", {}).get("num_regrown", 0)) for step in done)
    return cite_recipe(view.run.recipe, kinds={step.kind for step in done}, has_regrown=num_regrown > 0)


def cite_recipe(recipe: Mapping[str, Any], *, kinds: Collection[str], has_regrown: bool) -> list[Citation]:
    """Return the works that a recipe rests on.

    Args:
        recipe: a whole recipe as plain data, as a run stores it. Another release of Birdbone may have written it.
        kinds: the kinds of step that were done; a method of a step that never ran is not cited.
        has_regrown: whether a spike made weights grow back.
    """
    return [CITATIONS[name] for name in dict.fromkeys(_names(recipe, kinds, has_regrown=has_regrown))]


def _names(recipe: Mapping[str, Any], kinds: Collection[str], *, has_regrown: bool) -> Iterator[str]:
    yield "birdbone"
    if recipe.get("model") == _STARTER:
        yield "starter"
    done = {step["kind"]: step for step in recipe.get("steps", ()) if step["kind"] in kinds}
    if "shed" in done:
        yield from _of_cuts(done["shed"])
    if "waves" in done:
        yield from _of_waves(done["waves"], has_regrown=has_regrown)
    if "quantize" in done:
        yield from _of_quantize(done["quantize"])
    if {"export", "judge"} & set(done):
        yield "gguf"


def _of_quantize(settings: Mapping[str, Any]) -> Iterator[str]:
    rounding = settings.get("rounding", {})
    if settings.get("format", {}).get("allocation"):
        yield "allocation"
    if rounding.get("kind") in ("feedback", "descent"):
        yield "feedback"
    if rounding.get("kind") == "descent":
        yield "descent"
    if rounding.get("num_learning_steps", 0) > 0:
        yield "learned_rounding"


def _of_cuts(settings: Mapping[str, Any]) -> Iterator[str]:
    heal = settings.get("heal", {})
    yield "structures"
    if heal.get("num_steps", 0) > 0:
        yield from _of_healing(heal)


def _of_waves(settings: Mapping[str, Any], *, has_regrown: bool) -> Iterator[str]:
    heal = settings.get("heal", {})
    yield from (name for name in (settings.get("importance", {}).get("kind"),) if name in CITATIONS)
    yield "refit"
    if heal.get("num_steps", 0) > 0:
        yield from _of_healing(heal)
    if has_regrown:
        yield "regrow"


def _of_healing(heal: Mapping[str, Any]) -> Iterator[str]:
    kind, distill_share = heal.get("kind"), heal.get("distill_share", 0)
    if kind in ("lora", "qlora"):
        yield from ("lora", "masked_lora")
    if kind in ("blockwise", "qlora"):
        yield kind
    if kind in ("distill", "lora", "qlora") and distill_share > 0:
        yield "distill"
