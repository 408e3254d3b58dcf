"""Mending what a wave hurt, without reviving what it shed."""

from birdbone.compress.healing.blockwise import HealReport, heal_blocks

__all__ = ["HealReport", "heal_blocks"]
