"""Mending what a wave hurt, without reviving what it shed.

`job.heal_model` heals by the way that the settings name: block by block (`blockwise`), the whole model by the dense
one's predictions (`distillation`), or low-rank updates beside frozen weights (`lora`, with `adapters` and `nf4`). Needs
the dense model, windows of text and the masks; gives a `HealReport`.
"""

from birdbone.compress.healing.adapter_files import read_adapters, write_adapters
from birdbone.compress.healing.adapters import MaskedLora, Placed, merge_adapters, put_adapters, take_adapters_out
from birdbone.compress.healing.blockwise import heal_blocks
from birdbone.compress.healing.distillation import distill
from birdbone.compress.healing.job import heal_model
from birdbone.compress.healing.lora import heal_by_adapters
from birdbone.compress.healing.masking import Masks, masks_of_zeros
from birdbone.compress.healing.nf4 import Nf4Tensor, quantize_nf4
from birdbone.compress.healing.recovery import Recovery, share_won_back
from birdbone.compress.healing.report import HealReport

__all__ = [
    "HealReport",
    "MaskedLora",
    "Masks",
    "Nf4Tensor",
    "Placed",
    "Recovery",
    "distill",
    "heal_blocks",
    "heal_by_adapters",
    "heal_model",
    "masks_of_zeros",
    "merge_adapters",
    "put_adapters",
    "quantize_nf4",
    "read_adapters",
    "share_won_back",
    "take_adapters_out",
    "write_adapters",
]
