"""Where a tensor stands in its model, told from its name: layer, part of the layer, role of the part.

The names are those of the common families on the Hugging Face hub (Llama, Mistral, Qwen, Gemma, Phi, GPT-2, GPT-NeoX,
OPT, Falcon, BLOOM, BERT, T5, Mixtral) and of GGUF files. A name that says nothing has the role `other`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Role = Literal["embedding", "attention", "feed-forward", "router", "norm", "head", "other"]
ROLES: tuple[Role, ...] = ("embedding", "attention", "feed-forward", "router", "norm", "head", "other")
"""All roles, in the order in which a reader meets them."""

_LAYER = re.compile(r"^(.*?\.\d+)\.")
_PLACE = re.compile(r"^(?P<stack>.*?)\.(?P<layer>\d+)\.(?P<part>.+)$")
_NUMBER = re.compile(r"\.\d+(?=\.)")
_ENDING = re.compile(r"\.(weight|bias)$")

# The first that matches wins: a norm inside attention is a norm, and `attention.output.dense` is attention.
_PATTERNS: tuple[tuple[Role, re.Pattern[str]], ...] = (
    ("norm", re.compile(r"norm|(^|[._])ln(_?\w{0,2})?([._]|$)|layer_?norm", re.IGNORECASE)),
    ("head", re.compile(r"(^|[._])(lm_head|embed_out|score|classifier|cls)([._]|$)|^output(\.weight)?$")),
    ("embedding", re.compile(r"embed|(^|[._])(wte|wpe|shared|token_embd|rotary_emb)([._]|$)", re.IGNORECASE)),
    ("router", re.compile(r"router|ffn_gate_inp|(moe|mlp|feed_forward|ffn)\.gate\.", re.IGNORECASE)),
    ("attention", re.compile(
        r"att(n|ention)|(^|[._])([qkvo]|qkv|query_key_value|query|key|value)(_proj)?([._]|$)", re.IGNORECASE,
    )),
    ("feed-forward", re.compile(
        r"mlp|ffn|ffw|feed_?forward|experts?|(^|[._])(fc\d?|(gate|up|down|gate_up)_proj|w[123i]|wo|dense\w*|"
        r"intermediate|output|c_fc|c_proj)([._]|$)", re.IGNORECASE,
    )),
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a tensor stands. Outside the layers `stack` is empty, `layer` None and `part` the whole name."""

    stack: str
    """What the layers are a list in: `model.layers`."""
    layer: int | None
    part: str
    """The name within the layer, without `.weight`; the numbers of experts are left out."""
    role: Role


def layer_of(name: str) -> str:
    """Return the layer that a tensor's name says it belongs to: the name up to its first number, or the whole."""
    match = _LAYER.match(name)
    return match[1] if match else name


def role_of(name: str) -> Role:
    """Return what a tensor does in its block, as its name tells it."""
    short = name.rpartition("::")[2]
    return next((role for role, pattern in _PATTERNS if pattern.search(short)), "other")


def place_of(name: str) -> Place:
    """Return where a tensor stands in its model."""
    match = _PLACE.match(name)
    if match is None:
        return Place(stack="", layer=None, part=_ENDING.sub("", name), role=role_of(name))
    part = _NUMBER.sub(".*", _ENDING.sub("", "." + match["part"])).removeprefix(".")
    return Place(stack=match["stack"], layer=int(match["layer"]), part=part, role=role_of(name))
