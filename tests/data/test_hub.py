"""Datasets of a hub, served by a small real server on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import huggingface_hub.constants
import pytest

from birdbone.data import DataNotFoundError, HubUnreachableError, UnknownFormatError, find_hub_dataset, load_texts

COMMIT = "0123456789abcdef0123456789abcdef01234567"
DOCUMENTS = [f"Document {number}: " + "several words about it. " * 30 for number in range(40)]
FILES = {
    "data/part-0.jsonl": "\n".join(json.dumps({"text": text}) for text in DOCUMENTS[:20]).encode(),
    "data/part-1.jsonl": "\n".join(json.dumps({"text": text}) for text in DOCUMENTS[20:]).encode(),
    "other/notes.txt": b"not asked for",
    "README.md": b"# A dataset",
}


class Hub(BaseHTTPRequestHandler):
    """The two calls of the hub that a download makes."""

    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        path = self.path.split("?")[0]
        prefix = f"/datasets/ann/books/resolve/{COMMIT}/"
        if path in ("/api/datasets/ann/books", "/api/datasets/ann/pictures"):
            names = FILES if path.endswith("books") else ["cat.png"]
            listing = {"id": "ann/books", "sha": COMMIT, "siblings": [{"rfilename": name} for name in names]}
            self.reply(200, json.dumps(listing).encode(), body=body)
        elif path.startswith(prefix) and path.removeprefix(prefix) in FILES:
            self.server.asked.append(path.removeprefix(prefix))  # type: ignore[attr-defined]
            self.reply(200, FILES[path.removeprefix(prefix)], body=body)
        else:
            self.reply(404, b"{}", body=body, **{"X-Error-Code": "RepoNotFound"})

    def reply(self, status: int, content: bytes, *, body: bool, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()[:40]}"')
        self.send_header("X-Repo-Commit", COMMIT)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        return


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def address(server: ThreadingHTTPServer) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}"


def test_a_dataset_is_read_at_one_commit(hub: ThreadingHTTPServer) -> None:
    corpus = load_texts("ann/books/data", endpoint=address(hub))
    assert {*corpus.calibration, *corpus.healing, *corpus.heldout} == set(DOCUMENTS)
    assert corpus.name == f"ann/books/data@{COMMIT}"


def test_no_more_files_are_fetched_than_the_limit_needs(hub: ThreadingHTTPServer) -> None:
    size = sum(map(len, DOCUMENTS[:20]))
    load_texts("ann/books/data", endpoint=address(hub), max_characters=size - 100)
    assert set(hub.asked) == {"data/part-0.jsonl"}  # type: ignore[attr-defined]


def test_all_readable_files_are_found_sorted_and_others_left_out(hub: ThreadingHTTPServer) -> None:
    dataset = find_hub_dataset("ann/books", endpoint=address(hub))
    assert dataset.paths == ("data/part-0.jsonl", "data/part-1.jsonl", "other/notes.txt")


def test_a_dataset_without_text_files_is_refused(hub: ThreadingHTTPServer) -> None:
    with pytest.raises(UnknownFormatError, match=r"no \.txt, \.jsonl, \.parquet file"):
        find_hub_dataset("ann/pictures", endpoint=address(hub))


def test_an_unknown_dataset_is_not_found(hub: ThreadingHTTPServer) -> None:
    with pytest.raises(DataNotFoundError, match="Neither this machine nor the hub has 'ann/nothing'"):
        load_texts("ann/nothing", endpoint=address(hub))


def test_a_hub_that_does_not_answer_is_unreachable() -> None:
    with pytest.raises(HubUnreachableError, match="did not give 'ann/books'") as caught:
        load_texts("ann/books", endpoint="http://127.0.0.1:9")
    assert caught.value.kind == "unavailable"
