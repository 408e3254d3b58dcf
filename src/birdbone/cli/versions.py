"""Commands that look into the vault: all versions, and one of them."""

from __future__ import annotations

from typing import Annotated

import typer

from birdbone.cli.options import AsJson


def models(as_json: AsJson = False) -> None:
    """List the versions that the vault holds."""
    from birdbone.cli import output, shelf
    from birdbone.core import find_workspace
    from birdbone.vault import open_vault

    found = shelf.list_versions(open_vault(find_workspace().vault_folder))
    if as_json:
        output.print_json([entry.to_dict() for entry in found])
    else:
        output.print_table(shelf.versions_table(found))


def model(
    name: Annotated[
        str, typer.Argument(metavar="ID", help="A ref, a version or an artefact; six hex digits are enough.")
    ],
    info: Annotated[bool, typer.Option("--info", help="Show what it is and where it came from (the default).")] = False,
    load: Annotated[bool, typer.Option("--load", help="Load it and let it complete a sentence.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show one version or artefact, or load it."""
    from dataclasses import asdict

    from birdbone.cli import output, shelf
    from birdbone.core import find_workspace
    from birdbone.vault import open_vault

    vault = open_vault(find_workspace().vault_folder)
    data = shelf.describe(vault, name) if info or not load else {}
    if data and not as_json:
        output.data_console().print(shelf.description(data))
    if load:
        from birdbone.cli.greeting import greet

        greeting = greet(vault, name)
        data |= {"greeting": asdict(greeting)}
        if not as_json:
            output.print_line(f"{greeting.prompt}{greeting.completion}")
            output.talk(f"{greeting.num_weights:,} weights, {greeting.engine}, {greeting.seconds:.1f} s in all")
    if as_json:
        output.print_json(data)
