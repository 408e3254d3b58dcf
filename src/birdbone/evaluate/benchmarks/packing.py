"""Requests packed into few sequences: answers to one question share its tokens. Needs no torch.

A *bundle* is one context with its branches, laid out as one sequence:

```text
tokens     c0 c1 c2 ... cC-1 | a0 a1 ... | b0 b1 ...
positions  0  1  2  ... C-1  | C  C+1    | C  C+1
```

A token attends to the context and to its own branch. The last token of a branch is only a target, so it is left out; a
branch of one token needs no tokens at all, its likelihood is read where the context ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from birdbone.evaluate.benchmarks.judge import Continuation
from birdbone.evaluate.errors import BadRequestError


@dataclass(frozen=True, slots=True, kw_only=True)
class Branch:
    """One continuation in a bundle."""

    request: int
    """Its place among the requests."""
    tokens: tuple[int, ...]
    """All its tokens; the last is only a target."""
    start: int
    """Where its first token stands in the sequence, if it has more than one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A context and what may follow it."""

    context: tuple[int, ...]
    branches: tuple[Branch, ...]

    @property
    def size(self) -> int:
        """Tokens of the sequence."""
        return len(self.context) + sum(len(branch.tokens) - 1 for branch in self.branches)


def bundle_requests(requests: Sequence[Continuation], *, max_tokens: int, is_shared: bool = True) -> list[Bundle]:
    """Return all requests in bundles, the longest first.

    Args:
        max_tokens: the longest context with its continuation that the model takes; also bounds a bundle.
        is_shared: whether several continuations of one context go into one bundle.

    Raises:
        BadRequestError: a request has no context or no tokens, or is too long.
    """
    by_context: dict[tuple[int, ...], list[int]] = {}
    for number, request in enumerate(requests):
        _check(request, number, max_tokens=max_tokens)
        key = request.context if is_shared else (*request.context, -1 - number)
        by_context.setdefault(key, []).append(number)
    bundles = [bundle for numbers in by_context.values() for bundle in _cut(requests, numbers, max_tokens=max_tokens)]
    return sorted(bundles, key=lambda bundle: (-bundle.size, bundle.context))


def batches_of(bundles: Sequence[Bundle], *, max_batch_tokens: int) -> Iterator[list[Bundle]]:
    """Yield the bundles in batches that, padded to their longest, have at most so many tokens (one bundle at least)."""
    batch: list[Bundle] = []
    for bundle in bundles:
        longest = batch[0].size if batch else bundle.size
        if batch and (len(batch) + 1) * longest > max_batch_tokens:
            yield batch
            batch = []
        batch.append(bundle)
    if batch:
        yield batch


def _cut(requests: Sequence[Continuation], numbers: Sequence[int], *, max_tokens: int) -> Iterator[Bundle]:
    context = requests[numbers[0]].context
    branches: list[Branch] = []
    end = len(context)
    for number in numbers:
        tokens = requests[number].tokens
        if branches and end + len(tokens) - 1 > max_tokens:
            yield Bundle(context=context, branches=tuple(branches))
            branches, end = [], len(context)
        branches.append(Branch(request=number, tokens=tokens, start=end))
        end += len(tokens) - 1
    yield Bundle(context=context, branches=tuple(branches))


def _check(request: Continuation, number: int, *, max_tokens: int) -> None:
    if not request.context or not request.tokens:
        raise BadRequestError(f"Request {number} has no {'tokens' if request.context else 'context'}.", request=number)
    size = len(request.context) + len(request.tokens) - 1
    if size > max_tokens:
        raise BadRequestError(f"Request {number} has {size} tokens; the model takes {max_tokens}.", request=number)
