"""Two files are timed in a process whose threads wait as llama.cpp's do; what goes wrong there is told here."""

from __future__ import annotations

import contextlib
from pathlib import Path

import psutil
import pytest

from birdbone.models import load_model
from birdbone.models.gguf import write_gguf
from birdbone.models.llamacpp import EngineError
from birdbone.pipeline.steps.decoding import race


@pytest.fixture(scope="module")
def gguf(tmp_path_factory: pytest.TempPathFactory, tiny_model_folder: Path) -> Path:
    path = tmp_path_factory.mktemp("race") / "tiny.gguf"
    loaded = load_model(str(tiny_model_folder))
    write_gguf(
        path,
        model_config=loaded.model.config,
        state_tensors=loaded.model.state_dict(),
        tokenizer=loaded.tokenizer,
    )
    return path


def timers() -> list[psutil.Process]:
    """Return the children that time files; other tests of this process have children too."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended by now, or is a zombie
            if "birdbone.pipeline.steps.decoding" in child.cmdline():
                found.append(child)
    return found


def test_both_files_take_their_turns_with_the_same_threads(gguf: Path) -> None:
    seen: list[tuple[int, int]] = []
    raced = race(
        gguf, gguf, num_tokens=8, repeats=3, max_threads=2, progress=lambda done, total: seen.append((done, total))
    )
    assert raced.num_threads in (1, 2)
    assert seen == [(turn, 8) for turn in range(1, 9)]
    for rate in (raced.rates.candidate, raced.rates.baseline):
        assert (rate.num_tokens, rate.repeats) == (24, 3)
        assert rate.tokens_per_second.value > 0
        assert rate.cpu_seconds_per_token.value > 0
    assert raced.rates.speedup.value > 0


def test_a_file_that_llama_cpp_refuses_is_an_error_with_its_reason(gguf: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(gguf.read_bytes()[:1000])
    with pytest.raises(EngineError, match=r"llama.cpp does not take broken.gguf") as caught:
        race(broken, gguf, num_tokens=8, repeats=1, max_threads=1)
    assert (caught.value.code, caught.value.kind) == ("models.engine_refused", "invalid")
    assert caught.value.fields["engine_log"]


def test_a_child_that_the_kernel_kills_is_an_error_that_speaks_of_memory(gguf: Path) -> None:
    def kill(_done: int, _total: int) -> None:
        for child in timers():
            child.kill()

    with pytest.raises(EngineError, match="signal 9") as caught:
        race(gguf, gguf, num_tokens=8, repeats=1000, max_threads=1, progress=kill)
    assert "memory" in caught.value.hint


def test_what_the_progress_raises_ends_the_child(gguf: Path) -> None:
    children: list[psutil.Process] = []

    def stop(_done: int, _total: int) -> None:
        children.extend(timers())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        race(gguf, gguf, num_tokens=8, repeats=1000, max_threads=1, progress=stop)
    assert children
    assert not any(child.is_running() for child in children)
