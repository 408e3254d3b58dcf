"""A tiny model of bytes, and judges that are broken in one way each: what a check must find."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

from birdbone.evaluate.benchmarks import Continuation, Judge, Likelihood
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import BadRequestError
from birdbone.models.gguf import GgufType, write_gguf

CONTEXT = 128
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of bytes without merges: it gives back every text as it was."""
    names = [*_SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    backend = Tokenizer(models.BPE({name: at for at, name in enumerate(names)}, []))
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(_SPECIAL))
    unknown, begin, end = _SPECIAL
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token=unknown, bos_token=begin, eos_token=end, pad_token=end
    )


def new_judge(*, seed: int = 0) -> TorchJudge:
    """Return a judge over a random Llama of its own."""
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.normal_(std=0.2)
    return TorchJudge(model.float().eval(), tokenizer)


@cache
def whole_judge() -> TorchJudge:
    """Return the one that most tests share."""
    return new_judge()


def write_judge(judge: TorchJudge, path: Path) -> None:
    """Write its model as an F32 GGUF file."""
    write_gguf(
        path,
        model_config=judge.model.config,
        state_tensors=judge.model.state_dict(),
        tokenizer=judge.tokenizer,
        default_type=GgufType.F32,
    )


class Wrapped:
    """Answers as the judge inside does; each subclass breaks one thing."""

    def __init__(self, inside: Judge) -> None:
        self.inside = inside
        self.settings = inside.settings
        self.max_tokens = inside.max_tokens
        self.prefix_token = inside.prefix_token
        self.end_token = inside.end_token

    def encode(self, text, *, add_special=None):
        return self.inside.encode(text, add_special=add_special)

    def decode(self, tokens):
        return self.inside.decode(tokens)

    def score(self, requests: Sequence[Continuation], *, progress=None) -> list[Likelihood]:
        return self.inside.score(requests, progress=progress)

    def generate(self, prompts, *, stops, max_new_tokens, progress=None):
        return self.inside.generate(prompts, stops=stops, max_new_tokens=max_new_tokens, progress=progress)


class NoisyByPlace(Wrapped):
    """Adds a little for each place in the batch, as padding that is not masked does."""

    def score(self, requests, *, progress=None):
        found = self.inside.score(requests)
        return [replace(one, logprob=one.logprob - 0.01 * place) for place, one in enumerate(found)]


class NoisyByRound(Wrapped):
    """Adds a little more each time it is asked."""

    num_asked = 0

    def score(self, requests, *, progress=None):
        self.num_asked += 1
        return [replace(one, logprob=one.logprob - 1e-6 * self.num_asked) for one in self.inside.score(requests)]


class ForgetsFirst(Wrapped):
    """Leaves out the first judged token wherever there are more: off by one at the seam."""

    def score(self, requests, *, progress=None):
        return self.inside.score(
            [
                Continuation((*one.context, one.tokens[0]), one.tokens[1:]) if len(one.tokens) > 1 else one
                for one in requests
            ]
        )


class CutsToFit(Wrapped):
    """Cuts what is too long and answers, where it should refuse."""

    def score(self, requests, *, progress=None):
        return self.inside.score(
            [Continuation(one.context[-(self.max_tokens - len(one.tokens) + 1) :], one.tokens) for one in requests]
        )


class OneShort(Wrapped):
    """Refuses the last token that it says it takes."""

    def score(self, requests, *, progress=None):
        for one in requests:
            if len(one.context) + len(one.tokens) > self.max_tokens:
                raise BadRequestError(f"The model takes {self.max_tokens}.")
        return self.inside.score(requests)


class Unclear(Wrapped):
    """Refuses by an error of the machinery."""

    def score(self, requests, *, progress=None):
        try:
            return self.inside.score(requests)
        except BadRequestError as error:
            raise IndexError("index out of range in self") from error


class NotANumber(Wrapped):
    """Says NaN of what is longer than a few tokens."""

    def score(self, requests, *, progress=None):
        found = self.inside.score(requests)
        pairs = zip(requests, found, strict=True)
        return [replace(one, logprob=float("nan")) if len(asked.tokens) > 6 else one for asked, one in pairs]


class IgnoresCase(Wrapped):
    """Reads small letters only."""

    def encode(self, text, *, add_special=None):
        return self.inside.encode(text.lower(), add_special=add_special)


class Growing(Wrapped):
    """Gives back more than it read, each time anew."""

    def decode(self, tokens):
        return self.inside.decode(tokens) + "."


class HatesChange(Wrapped):
    """Turns its opinion round where a test says that the context was touched."""

    def __init__(self, inside: Judge, is_touched) -> None:
        super().__init__(inside)
        self.is_touched = is_touched

    def score(self, requests, *, progress=None):
        found = self.inside.score(requests)
        pairs = zip(requests, found, strict=True)
        return [
            replace(one, logprob=-100 - one.logprob) if self.is_touched(self.decode(asked.context)) else one
            for asked, one in pairs
        ]


class Knows(Wrapped):
    """Is told which whole texts are right."""

    def __init__(self, inside: Judge, right: set[str]) -> None:
        super().__init__(inside)
        self.right = right

    def score(self, requests, *, progress=None):
        texts = [self.decode([*one.context, *one.tokens]) for one in requests]
        return [Likelihood(-1.0 if text in self.right else -2.0, False) for text in texts]


class Leaky(Wrapped):
    """Keeps a megabyte each time it is asked."""

    def __init__(self, inside: Judge) -> None:
        super().__init__(inside)
        self.kept: list[bytes] = []

    def score(self, requests, *, progress=None):
        self.kept.append(b"x" * 1_000_000)
        return self.inside.score(requests)


class Parallel(Wrapped):
    """Says that it may be asked at once."""

    num_parallel = 4


class Muddled(Parallel):
    """Says so, and yet keeps one question for all who ask."""

    def __init__(self, inside: Judge) -> None:
        super().__init__(inside)
        self.barrier = threading.Barrier(self.num_parallel, timeout=60)

    def score(self, requests, *, progress=None):
        self.asked = requests
        if threading.current_thread() is not threading.main_thread():
            self.barrier.wait()  # all have written before any reads
        return self.inside.score(self.asked)
