"""Where the time of a phase goes, by module and operator: torch's profiler, read into plain data.

Every module marks its own call, so that an operator is found below the module that called it. Layers of one kind share
a mark (`layers.*`): thirty columns that are alike say no more than one, and cannot be read on a telephone.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from birdbone.evaluate.cost.results import Flame, Operator, OperatorKind, Profile

BETWEEN = "Python between operators"
"""Self time of modules: what passes between the calls of operators."""

_MARK = "module: "
_MIN_SHARE = 0.002
_MATRIX_PRODUCT = re.compile(r"::_?(mkldnn_|mkl_)?(addmm|baddbmm|bmm|mm|addmv|mv|linear|matmul)(_pointwise)?$")

Stack = tuple[str, ...]
Spent = Mapping[Stack, tuple[float, int]]
"""Self seconds and calls of each stack of names."""


def profile_phase(
    model: nn.Module, run: Callable[[], None], *, name: str, num_tokens: int, min_share: float = _MIN_SHARE
) -> Profile:
    """Return where the time goes while `run` calls the model.

    Args:
        model: whose modules are told apart.
        run: does the work.
        name: of the phase.
        num_tokens: that `run` reads or decodes.
        min_share: of the whole, under which a box is left out of the picture: it could not be seen.
    """
    has_gpu = next(model.parameters()).is_cuda
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if has_gpu else [])]
    with _marked(model), profile(activities=activities) as taken:
        run()
    spent = _spent(taken.events(), has_gpu=has_gpu)
    return Profile(
        num_tokens=num_tokens,
        clock="GPU" if has_gpu else "CPU",
        operators=operators_of(spent),
        flame=flame_of(spent, name=name, min_share=min_share),
    )


def operators_of(spent: Spent) -> tuple[Operator, ...]:
    """Return each operator over all its calls, the dearest first; the modules' own time is one row."""
    seconds: dict[str, float] = defaultdict(float)
    calls: dict[str, int] = defaultdict(int)
    for stack, (self_seconds, count) in spent.items():
        name = BETWEEN if stack[-1].startswith(_MARK) else stack[-1]
        seconds[name] += self_seconds
        calls[name] += count
    total = sum(seconds.values()) or 1.0
    return tuple(
        Operator(
            name=name,
            kind="module" if name == BETWEEN else kind_of(name),
            self_seconds=seconds[name],
            share=seconds[name] / total,
            num_calls=calls[name],
        )
        for name in sorted(seconds, key=lambda name: -seconds[name])
    )


def flame_of(spent: Spent, *, name: str, min_share: float = _MIN_SHARE) -> Flame:
    """Return the tree of stacks, the widest box first; boxes under `min_share` of the whole are left out."""
    total = sum(seconds for seconds, _ in spent.values())
    return _box(name, "module", (), spent, least=min_share * total)


def kind_of(name: str) -> OperatorKind:
    """Return what a box or an operator of this name is."""
    if name.startswith(_MARK):
        return "module"
    if "attention" in name:
        return "attention"
    return "matrix product" if _MATRIX_PRODUCT.search(name) else "other operator"


def _box(name: str, kind: OperatorKind, stack: Stack, spent: Spent, *, least: float) -> Flame:
    depth = len(stack)
    below = {path: value for path, value in spent.items() if path[:depth] == stack}
    names = dict.fromkeys(path[depth] for path in below if len(path) > depth)
    children = [_box(child.removeprefix(_MARK), kind_of(child), (*stack, child), below, least=least) for child in names]
    return Flame(
        name=name,
        kind=kind,
        seconds=sum(seconds for seconds, _ in below.values()),
        count=below.get(stack, (0.0, 1))[1],
        children=tuple(sorted((box for box in children if box.seconds >= least), key=lambda box: -box.seconds)),
    )


def _spent(events: Any, *, has_gpu: bool) -> Spent:
    spent: dict[Stack, tuple[float, int]] = {}
    for event in events:
        if event.device_type.name != "CPU":  # a kernel's time is told by the operator that called it
            continue
        microseconds = event.self_device_time_total if has_gpu else event.self_cpu_time_total
        seconds, count = spent.get(stack := _stack(event), (0.0, 0))
        spent[stack] = (seconds + max(0.0, microseconds) / 1e6, count + 1)
    return spent


def _stack(event: Any) -> Stack:
    names = []
    while event is not None:
        names.append(str(event.name))
        event = event.cpu_parent
    return tuple(reversed(names))


@contextmanager
def _marked(model: nn.Module) -> Iterator[None]:
    """Have every module mark its call while the block runs."""
    marks: list[Any] = []
    handles = []
    for path, module in model.named_modules():
        handles.append(module.register_forward_pre_hook(_opening(_MARK + _short(path, model), marks)))
        handles.append(module.register_forward_hook(lambda *_: marks.pop().__exit__(None, None, None)))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _opening(name: str, marks: list[Any]) -> Callable[..., None]:
    def begin(*_: Any) -> None:
        mark: Any = record_function(name)
        mark.__enter__()
        marks.append(mark)

    return begin


def _short(path: str, model: nn.Module) -> str:
    """Return the last name of a module; of one in a row, the row's with a star."""
    names = path.split(".")
    if not path:
        return type(model).__name__
    return f"{names[-2]}.*" if names[-1].isdigit() and len(names) > 1 else names[-1]
