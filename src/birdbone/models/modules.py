"""Finding a module by its full path, with an error that names what is missing or of another kind."""

from __future__ import annotations

from typing import Any, TypeVar

from torch import nn

from birdbone.models.errors import ArchitectureMismatchError

ModuleT = TypeVar("ModuleT", bound=nn.Module)


def optional_module(model: nn.Module, path: str) -> str | None:
    """Return `path` if the model has a module there, or None."""
    module: Any = model
    for name in path.split("."):
        module = getattr(module, name, None)
    return path if isinstance(module, nn.Module) else None


def require_module(model: nn.Module, path: str) -> str:
    """Return `path`, having checked that the model has a module there.

    Raises:
        ArchitectureMismatchError: it has none.
    """
    if optional_module(model, path) is None:
        raise ArchitectureMismatchError(f"The model has no module `{path}`.", path=path)
    return path


def module_at(model: nn.Module, path: str, kind: type[ModuleT]) -> ModuleT:
    """Return the module at `path`.

    Raises:
        ArchitectureMismatchError: there is none, or it is not of `kind`.
    """
    module = model.get_submodule(require_module(model, path))
    if not isinstance(module, kind):
        message = f"`{path}` should be a {kind.__name__}, it is a {type(module).__name__}."
        raise ArchitectureMismatchError(message, path=path)
    return module
