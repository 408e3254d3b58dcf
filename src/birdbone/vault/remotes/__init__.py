"""Remotes: other places that hold a store, and what goes there and comes back.

Owns: the names of remotes, the way to their bytes (the seam for sealing them), push, fetch, pull, clone, and healing a
store from a remote. Needs: the store itself, and `fsspec` for object stores.
"""

from birdbone.vault.remotes.fetching import FetchReport, PullReport, clone, fetch, fetch_objects, pull
from birdbone.vault.remotes.healing import HealedCheckout, HealReport, checkout_healing, heal
from birdbone.vault.remotes.pushing import PushReport, push
from birdbone.vault.remotes.settings import add_remote, list_remotes, remove_remote
from birdbone.vault.remotes.tables import RefChange, RemoteRefs
from birdbone.vault.remotes.transport import Transport, Wrap, unsealed

__all__ = [
    "FetchReport",
    "HealReport",
    "HealedCheckout",
    "PullReport",
    "PushReport",
    "RefChange",
    "RemoteRefs",
    "Transport",
    "Wrap",
    "add_remote",
    "checkout_healing",
    "clone",
    "fetch",
    "fetch_objects",
    "heal",
    "list_remotes",
    "pull",
    "push",
    "remove_remote",
    "unsealed",
]
