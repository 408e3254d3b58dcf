"""What the machine gives is told, and with less than the minimum nothing is run."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.evaluate.errors import NoSandboxError
from birdbone.evaluate.sandbox import Layer, Limits, describe_layers, run_python

pytestmark = pytest.mark.usefixtures("sandbox")

TOO_FEW: list[tuple[Layer, ...]] = [
    ("namespaces", "private_root", "landlock"),
    ("namespaces", "private_root", "seccomp"),
    ("private_root", "landlock"),
    ("no_new_privs",),
]


@pytest.mark.parametrize("without", TOO_FEW)
def test_with_too_few_walls_nothing_is_run(without: tuple[Layer, ...]) -> None:
    assert not describe_layers(without=without).is_enough
    with pytest.raises(NoSandboxError) as raised:
        run_python("print('ran')", without=without)
    assert raised.value.code == "evaluate.no_sandbox"
    assert all(name in raised.value.message for name in without)


@pytest.mark.parametrize("left_out", ["landlock", "seccomp", "namespaces"])
def test_a_layer_that_is_left_out_is_named_with_its_reason(left_out: Layer) -> None:
    layers = describe_layers(without=[left_out])
    assert left_out not in layers.standing
    assert layers.missing[left_out]


def test_a_result_names_the_layers_it_ran_behind(limits: Limits) -> None:
    result = run_python("pass", limits=limits)
    assert result.layers == describe_layers().standing
    assert {"process_group", "rlimits", "no_new_privs"} <= set(result.layers)


def test_the_scratch_folder_is_the_only_place_to_write_and_is_gone_afterwards(limits: Limits) -> None:
    if "private_root" not in describe_layers().standing:
        pytest.skip("no root of its own on this machine")
    code = "import os\nopen('note', 'w').write('kept')\nprint(os.getcwd(), os.listdir('.'))"
    for _ in range(2):
        assert run_python(code, limits=limits).stdout == "/tmp ['note']\n"
    for place in ("/", "/usr/lib", "/dev", "/root"):
        assert not run_python(f"open('{place}/note', 'w')", limits=limits).has_passed


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open('a', 'wb').write(b'x' * 2**20)", "OSError"),
        ("for n in range(99): open(str(n), 'wb').write(b'x' * 2**15)", "OSError"),
        ("for n in range(5000): open(str(n), 'w')", "OSError"),
        ("keep = [open('/dev/null') for _ in range(99)]", "OSError"),
        (
            "import threading\nfor _ in range(99): threading.Thread(target=threading.Event().wait).start()",
            "RuntimeError",
        ),
        ("import os\nfor _ in range(99): os.fork()", "BlockingIOError"),
    ],
)
def test_what_is_used_up_ends_in_an_error(code: str, expected: str) -> None:
    tight = Limits(wall_seconds=30, file_bytes=2**16, scratch_bytes=2**20, num_descriptors=16, num_processes=4)
    result = run_python(code, limits=tight)
    assert (result.ending, result.exception) == ("failed", expected), result


def descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


def test_the_parent_keeps_no_descriptor(limits: Limits) -> None:
    run_python("pass", limits=limits)
    before = descriptors()
    for code in ("pass", "import os\nos._exit(3)", "1 / 0"):
        run_python(code, limits=limits)
    assert descriptors() == before
