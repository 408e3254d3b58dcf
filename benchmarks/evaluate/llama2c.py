"""Reads the checkpoints and vocabularies of llama2.c, small real models whose passes are cheap, as Llama models.

Source: Karpathy's llama2.c, `run.c` (format version 0; RoPE turns neighbouring pairs) and `tokenizer.py`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

BEGIN, END = 1, 2
_FIRST_BYTE = 3


def read_model(path: Path) -> LlamaForCausalLM:
    """Return the model in evaluation mode, float32."""
    data = path.read_bytes()
    width, inner, num_layers, num_heads, num_kv_heads, vocab, context = struct.unpack("<7i", data[:28])
    assert vocab > 0, "a checkpoint with an output head of its own"
    values = torch.from_numpy(np.frombuffer(data, dtype="<f4", offset=28).copy())
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=num_layers,
        num_attention_heads=num_heads,
        num_key_value_heads=num_kv_heads,
        max_position_embeddings=context,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        bos_token_id=BEGIN,
        eos_token_id=END,
    )
    kv_width = width // num_heads * num_kv_heads
    shapes = {
        "embed_tokens": (vocab, width),
        "input_layernorm": (num_layers, width),
        "q_proj": (num_layers, width, width),
        "k_proj": (num_layers, kv_width, width),
        "v_proj": (num_layers, kv_width, width),
        "o_proj": (num_layers, width, width),
        "post_attention_layernorm": (num_layers, width),
        "gate_proj": (num_layers, inner, width),
        "down_proj": (num_layers, width, inner),
        "up_proj": (num_layers, inner, width),
        "norm": (width,),
    }
    parts, begin = {}, 0
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        parts[name] = values[begin : begin + size].view(shape)
        begin += size
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            words = name.split(".")
            block = parts[words[-2]][int(words[2])] if words[1] == "layers" else parts[words[-2]]
            if words[-2] in ("q_proj", "k_proj"):
                block = _to_halves(block, num_heads if words[-2] == "q_proj" else num_kv_heads)
            parameter.copy_(block)
    return model.eval()


def _to_halves(weight_FD: Tensor, num_heads: int) -> Tensor:
    """Order the rows of each head so that RoPE turns halves against each other instead of neighbours."""
    rows, columns = weight_FD.shape
    pairs = weight_FD.view(num_heads, rows // num_heads // 2, 2, columns)
    return pairs.transpose(1, 2).reshape(rows, columns)


class Vocabulary:
    """Pieces with scores: the two neighbours that make the piece of the best score are joined, again and again."""

    def __init__(self, pieces: Sequence[bytes], scores: Sequence[float]) -> None:
        self.pieces = list(pieces)
        self.scores = list(scores)
        self._ids = {piece: token for token, piece in enumerate(self.pieces) if token >= _FIRST_BYTE + 256}
        self._known: dict[str, list[int]] = {}

    @classmethod
    def read(cls, path: Path, size: int) -> Vocabulary:
        data = path.read_bytes()
        pieces, scores, begin = [], [], 4
        for _ in range(size):
            score, length = struct.unpack_from("<fi", data, begin)
            pieces.append(data[begin + 8 : begin + 8 + length])
            scores.append(score)
            begin += 8 + length
        return cls(pieces, scores)

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text; no piece holds a space but at its beginning, so words are joined one by one."""
        words = text.split(" ")
        return [token for word in words for token in self._encode_word(f" {word}")]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of ids, without the space that every text begins with."""
        data = b"".join(self._bytes_of(token) for token in tokens)
        return data.decode("utf-8", errors="replace").removeprefix(" ")

    def _bytes_of(self, token: int) -> bytes:
        if token < _FIRST_BYTE:
            return b""
        return bytes([token - _FIRST_BYTE]) if token < _FIRST_BYTE + 256 else self.pieces[token]

    def _encode_word(self, word: str) -> list[int]:
        if word not in self._known:
            self._known[word] = self._join([token for letter in word for token in self._start(letter.encode())])
        return self._known[word]

    def _start(self, letter: bytes) -> list[int]:
        return [self._ids[letter]] if letter in self._ids else [_FIRST_BYTE + byte for byte in letter]

    def _join(self, tokens: list[int]) -> list[int]:
        while True:
            joined = [self._ids.get(self.pieces[one] + self.pieces[two]) for one, two in pairwise(tokens)]
            found = [(self.scores[token], -place) for place, token in enumerate(joined) if token is not None]
            if not found:
                return tokens
            place = -max(found)[1]
            tokens = [*tokens[:place], joined[place], *tokens[place + 2 :]]  # type: ignore[list-item]
