"""The commands of the vault: `birdbone vault ...`, with git's meanings. One file a small group of them."""

from birdbone.cli.vault.group import vault

__all__ = ["vault"]
