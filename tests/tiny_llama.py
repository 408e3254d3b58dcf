"""The training of the tiny model: a Llama of 0.2 M weights that reads public-domain text for some seconds."""

from __future__ import annotations

import math

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from birdbone.data import load_corpus

VOCAB_SIZE = 512
NUM_STEPS = 300
BATCH_SHAPE = (16, 64)
PEAK_RATE = 4e-3
NUM_DOCUMENTS = 100
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def _texts() -> tuple[str, ...]:
    return load_corpus().healing[:NUM_DOCUMENTS]


def train_tokenizer() -> PreTrainedTokenizerFast:
    """Return a byte-level BPE that splits text as the starter's does and has the starter's special tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    unknown, begin, end = SPECIAL_TOKENS
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token=unknown, bos_token=begin, eos_token=end, pad_token=end
    )


def train_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    generator = torch.Generator().manual_seed(0)
    model = _untrained(tokenizer)
    tokens = torch.tensor(tokenizer("\n\n".join(_texts()))["input_ids"])
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _rate_at)
    for _ in range(NUM_STEPS):
        batch_BT = _draw(tokens, generator)
        logits_BTV = model(batch_BT[:, :-1]).logits
        loss = functional.cross_entropy(logits_BTV.flatten(0, 1), batch_BT[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    return model.eval()


def _untrained(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=VOCAB_SIZE,
                hidden_size=64,
                intermediate_size=160,
                num_hidden_layers=4,
                num_attention_heads=4,
                num_key_value_heads=2,
                initializer_range=0.06,
                max_position_embeddings=256,
                tie_word_embeddings=True,
                bos_token_id=tokenizer.bos_token_id,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id,
            )
        )


def _draw(tokens: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    num_rows, num_tokens = BATCH_SHAPE
    starts = torch.randint(len(tokens) - num_tokens - 1, (num_rows,), generator=generator)
    return torch.stack([tokens[start : start + num_tokens + 1] for start in starts])


def _rate_at(step: int) -> float:
    """Return the share of the peak rate: 20 steps up, then down along a cosine."""
    return min(1.0, (step + 1) / 20) * (0.55 + 0.45 * math.cos(math.pi * step / NUM_STEPS))
