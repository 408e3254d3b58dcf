"""A model of transformers as a judge. Shapes: B bundles, L tokens of the longest, S scored positions, V vocabulary.

Bundles go through the backbone with a mask of their own, the longest first, and the head runs only over the positions
whose next token is asked for. Whether a model keeps to such a mask is found out on the model itself: on a probe, each
branch must be as likely in a bundle as alone. Where it is not (a sliding window, positions that the model counts
itself), every request goes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from birdbone.evaluate.benchmarks.judge import Continuation, Likelihood, Progress, cut_at
from birdbone.evaluate.benchmarks.packing import Bundle, batches_of, bundle_requests
from birdbone.evaluate.benchmarks.vocabulary import Vocabulary
from birdbone.evaluate.errors import NonFiniteLogitsError
from birdbone.evaluate.perplexity import evaluation_mode
from birdbone.evaluate.readout import Readout, find_readout

_MAX_BATCH_TOKENS = 2048
_MAX_GENERATED_AT_ONCE = 8
_PROBE_TOLERANCE = 1e-3  # nats a branch, in float32; masks that are ignored are off by tenths


@dataclass(slots=True)
class TorchJudge(Vocabulary):
    """Asks a causal model of transformers. The model's weights and mode are left as they are."""

    model: nn.Module
    tokenizer: Any
    dtype: torch.dtype = torch.float32
    """Number format of the computation; the model must be in it already."""
    max_batch_tokens: int = _MAX_BATCH_TOKENS
    _readout: Readout = field(init=False)
    _is_shared: bool = field(init=False)

    def __post_init__(self) -> None:
        """Find the model's parts and whether it keeps to a mask."""
        with evaluation_mode(self.model):
            self._readout = find_readout(self.model)
            self._is_shared = not self._has_window() and self._keeps_to_masks()

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """Engine and number format."""
        return {"engine": "torch", "dtype": str(self.dtype).removeprefix("torch.")}

    @property
    def max_tokens(self) -> int:
        """Longest sequence the model takes."""
        return self._readout.max_tokens or 2048

    def score(self, requests: Sequence[Continuation], *, progress: Progress | None = None) -> list[Likelihood]:
        """Return the likelihood of each continuation, in their order. Raises what `Judge.score` does."""
        bundles = bundle_requests(requests, max_tokens=self.max_tokens, is_shared=self._is_shared)
        found: dict[int, Likelihood] = {}
        with evaluation_mode(self.model):
            for batch in batches_of(bundles, max_batch_tokens=self.max_batch_tokens):
                found.update(self._score_batch(batch))
                if progress is not None:
                    progress(len(found), len(requests))
        return [found[number] for number in range(len(requests))]

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        *,
        stops: Sequence[str],
        max_new_tokens: int,
        progress: Progress | None = None,
    ) -> list[str]:
        """Return the greedy continuation of each prompt, cut before the first of `stops`."""
        order = sorted(range(len(prompts)), key=lambda number: -len(prompts[number]))
        found: dict[int, str] = {}
        with evaluation_mode(self.model):
            for start in range(0, len(order), _MAX_GENERATED_AT_ONCE):
                numbers = order[start : start + _MAX_GENERATED_AT_ONCE]
                texts = self._generate_batch([prompts[number] for number in numbers], stops, max_new_tokens)
                found.update(zip(numbers, texts, strict=True))
                if progress is not None:
                    progress(len(found), len(prompts))
        return [found[number] for number in range(len(prompts))]

    @torch.no_grad()
    def _score_batch(self, batch: Sequence[Bundle]) -> Iterator[tuple[int, Likelihood]]:
        hidden_BLH = self._hidden(batch)
        places, targets, owners = _scored_positions(batch)
        rows_SH = hidden_BLH[[bundle for bundle, _ in places], [place for _, place in places]]
        logprobs, are_best = [], []
        begin = 0
        for logits_CV in self._readout.chunks(rows_SH):
            wanted_C = torch.tensor(targets[begin : begin + len(logits_CV)], device=logits_CV.device)
            chosen_C = logits_CV.gather(1, wanted_C[:, None])[:, 0]
            logprobs.append((chosen_C - logits_CV.logsumexp(-1)).double().cpu().numpy())
            are_best.append((logits_CV.argmax(-1) == wanted_C).cpu().numpy())
            begin += len(logits_CV)
        return _add_up(owners, np.concatenate(logprobs), np.concatenate(are_best))

    def _hidden(self, batch: Sequence[Bundle]) -> Tensor:
        """Return the last hidden states (B, L, H)."""
        length = max(bundle.size for bundle in batch)
        ids_BL, positions_BL = torch.zeros(2, len(batch), length, dtype=torch.int64)
        for row, bundle in enumerate(batch):
            ids_BL[row, : bundle.size] = torch.tensor(_tokens_of(bundle))
            positions_BL[row, : bundle.size] = torch.tensor(_positions_of(bundle))
        device = next(self.model.parameters()).device
        options: dict[str, Any] = {}
        if _needs_mask(batch):
            mask_BLL = torch.stack([_mask_of(bundle, length) for bundle in batch])
            bias_BLL = torch.zeros(mask_BLL.shape, dtype=self.dtype).masked_fill_(
                ~mask_BLL, torch.finfo(self.dtype).min
            )
            options = {"attention_mask": bias_BLL[:, None].to(device), "position_ids": positions_BL.to(device)}
        states: Tensor = self._readout.backbone(input_ids=ids_BL.to(device), use_cache=False, **options)[0]
        return states

    def _has_window(self) -> bool:
        """Return whether tokens look back only so far, which a mask of ours would undo."""
        config: Any = getattr(self.model, "config", None)
        return getattr(config, "sliding_window", None) is not None and getattr(config, "use_sliding_window", True)

    @torch.no_grad()
    def _keeps_to_masks(self) -> bool:
        ids = [int(token) for token in np.arange(24) * 37 % self._readout.vocab_size]
        requests = [Continuation(tuple(ids[:6]), tuple(ids[start : start + 4])) for start in (6, 12, 18)]
        try:
            ((together),) = [dict(self._score_batch(bundle_requests(requests, max_tokens=64)))]
        except (TypeError, ValueError, RuntimeError):
            return False
        alone = dict(self._score_batch(bundle_requests(requests, max_tokens=64, is_shared=False)))
        scale = 1.0 if self.dtype == torch.float32 else 100.0
        return all(abs(together[number].logprob - alone[number].logprob) < scale * _PROBE_TOLERANCE for number in alone)

    @torch.no_grad()
    def _generate_batch(self, prompts: Sequence[Sequence[int]], stops: Sequence[str], max_new_tokens: int) -> list[str]:
        length = max(map(len, prompts))
        # What pads is masked out, so any token does where the tokenizer names none.
        pad = next((at for at in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id) if at is not None), 0)
        ids_BL = torch.full((len(prompts), length), int(pad))
        mask_BL = torch.zeros_like(ids_BL)
        for row, prompt in enumerate(prompts):
            ids_BL[row, length - len(prompt) :] = torch.tensor(list(prompt))
            mask_BL[row, length - len(prompt) :] = 1
        device = next(self.model.parameters()).device
        options: dict[str, Any] = {"stop_strings": list(stops), "tokenizer": self.tokenizer} if stops else {}
        generate: Any = self.model.generate
        made_BL = generate(
            input_ids=ids_BL.to(device),
            attention_mask=mask_BL.to(device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
            **options,
        )
        return [cut_at(self.decode(row[length:].tolist()), stops) for row in made_BL.cpu()]


def _needs_mask(batch: Sequence[Bundle]) -> bool:
    """Return whether some bundle has two branches with tokens: else a causal mask and padding behind do."""
    return any(sum(len(branch.tokens) > 1 for branch in bundle.branches) > 1 for bundle in batch)


def _tokens_of(bundle: Bundle) -> list[int]:
    return [*bundle.context, *(token for branch in bundle.branches for token in branch.tokens[:-1])]


def _positions_of(bundle: Bundle) -> list[int]:
    start = len(bundle.context)
    return [*range(start), *(start + step for branch in bundle.branches for step in range(len(branch.tokens) - 1))]


def _mask_of(bundle: Bundle, length: int) -> Tensor:
    """Return where a token may look, (L, L); what is padding looks at the first token, so that no row is empty."""
    mask_LL = torch.zeros(length, length, dtype=torch.bool)
    context = len(bundle.context)
    mask_LL[:context, :context] = torch.ones(context, context, dtype=torch.bool).tril()
    for branch in bundle.branches:
        end = branch.start + len(branch.tokens) - 1
        mask_LL[branch.start : end, :context] = True
        mask_LL[branch.start : end, branch.start : end] = torch.ones(
            end - branch.start, end - branch.start, dtype=torch.bool
        ).tril()
    mask_LL[bundle.size :, 0] = True
    return mask_LL


def _scored_positions(batch: Sequence[Bundle]) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Return (bundle, place) whose next token is asked for, the token, and the request that asks."""
    places: list[tuple[int, int]] = []
    targets: list[int] = []
    owners: list[int] = []
    for row, bundle in enumerate(batch):
        for branch in bundle.branches:
            inside = range(branch.start, branch.start + len(branch.tokens) - 1)
            places += [(row, place) for place in (len(bundle.context) - 1, *inside)]
            targets += branch.tokens
            owners += [branch.request] * len(branch.tokens)
    return places, targets, owners


def _add_up(owners: Sequence[int], logprobs_S: Any, are_best_S: Any) -> Iterator[tuple[int, Likelihood]]:
    if not np.isfinite(logprobs_S).all():
        request = owners[int(np.flatnonzero(~np.isfinite(logprobs_S))[0])]
        raise NonFiniteLogitsError(f"The likelihood of request {request} is not a number.", request=request)
    ends = [*np.flatnonzero(np.diff(owners)) + 1, len(owners)]
    start = 0
    for end in ends:
        total, is_greedy = float(logprobs_S[start:end].sum()), bool(are_best_S[start:end].all())
        yield owners[start], Likelihood(total, is_greedy)
        start = end
