"""What `eval check-task` finds and shows. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.table import Table

from birdbone.cli.output import new_table
from birdbone.evaluate.custom import CustomTask, Item, read_task
from birdbone.evaluate.custom.prompts import messages, plain_text


def describe_task(path: Path, *, num_shown: int) -> dict[str, Any]:
    """Return a task as plain data, with its first prompts as a model would see them. Raises what `read_task` does."""
    task = read_task(path)
    settings = task.settings
    places = [item.right for item in task.items if item.choices]
    return {
        "name": task.name,
        "description": settings.description,
        "scoring": settings.scoring.model_dump(mode="json"),
        "version": task.version,
        "num_items": len(task.items),
        "num_fewshot": settings.fewshot.count if settings.fewshot is not None else 0,
        "chance": sum(1 / len(item.choices) for item in task.items if item.choices) / len(task.items),
        "right_in_place": {str(place): places.count(place) for place in sorted(set(places))},
        "prompts": [_prompt_json(task, item) for item in task.items[:num_shown]],
    }


def task_table(found: Mapping[str, Any]) -> Table:
    """Return what is known of a task as a table."""
    rows = [
        ("scoring", found["scoring"]["kind"]),
        ("items", f"{found['num_items']:,}"),
        ("examples", str(found["num_fewshot"])),
        ("a guess", f"{100 * found['chance']:.1f} %" if found["chance"] else "-"),
        ("version", found["version"]),
    ]
    if found["scoring"]["kind"] == "judged":
        rows.append(("judged by a model", found["scoring"]["judge"]))
    if found["right_in_place"]:
        places = ", ".join(f"{place}: {count:,}" for place, count in found["right_in_place"].items())
        rows.append(("right in place", places))
    return new_table(("task", found["name"]), rows)


def prompt_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the first prompts, line by line."""
    for prompt in found["prompts"]:
        yield f"--- {prompt['where']}"
        if isinstance(prompt["prompt"], str):
            yield prompt["prompt"]
        else:
            yield from (f"[{message['role']}] {message['content']}" for message in prompt["prompt"])
        if prompt["choices"]:
            yield from (
                f"{'>>>' if place == prompt['right'] else '   '} {choice}"
                for place, choice in enumerate(prompt["choices"])
            )
        else:
            yield from (f">>> {answer}" for answer in prompt["answers"])


def _prompt_json(task: CustomTask, item: Item) -> dict[str, Any]:
    settings = task.settings
    return {
        "where": item.where,
        "prompt": messages(settings, item) if settings.chat else plain_text(settings, item),
        "choices": list(item.choices),
        "answers": list(item.answers),
        "right": item.right if item.choices else None,
    }
