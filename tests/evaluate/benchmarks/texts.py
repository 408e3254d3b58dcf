"""A tokenizer of bytes for the tiny models, and small files of items as their makers write them."""

from __future__ import annotations

import csv
import gzip
import json
import lzma
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tests.evaluate.tiny import VOCAB
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

_CHARACTERS = [chr(code) for code in range(32, 32 + VOCAB - 4)]


def character_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer of printable ASCII, a token a character, that fits the tiny models' vocabulary."""
    vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, **{text: 4 + at for at, text in enumerate(_CHARACTERS)}}
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON lines, packed as the name says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    packed = {".gz": gzip.compress, ".xz": lzma.compress}.get(path.suffix, bytes)(content)
    path.write_bytes(packed)


def write_all_items(folder: Path) -> None:
    """Write a few items of every benchmark."""
    arc = {"query": "Question: Which is light?", "choices": ["a bone", "a stone", "lead"], "gold": 0}
    write_lines(folder / "llmfoundry" / "arc_easy.jsonl", [arc, arc | {"query": "Question: Which flies?", "gold": 1}])
    write_lines(folder / "llmfoundry" / "arc_challenge.jsonl", [arc])
    sides = ["The bird saw the cat so the bird", "The bird saw the cat so the cat"]
    write_lines(
        folder / "llmfoundry" / "winogrande.jsonl",
        [{"context_options": sides, "continuation": "flew away.", "gold": 0}],
    )
    write_lines(folder / "llmfoundry" / "lambada_openai.jsonl", [{"context": "a bird has", "continuation": "wings"}])
    write_lines(
        folder / "llmfoundry" / "piqa.jsonl", [{"query": "Question: fly\n", "choices": ["flap", "sit"], "gold": 0}]
    )
    swag = {"activity_label": "Flying", "ctx_a": "A bird jumps.", "ctx_b": "it", "endings": ["a", "b", "c", "d"]}
    write_lines(folder / "hellaswag_subset.jsonl", [swag | {"label": 2}, swag | {"label": 1}])
    ask = {"subject": "anatomy", "question": "Light?", "choices": ["a", "b", "c", "d"], "answer": 1}
    write_lines(folder / "mmlu.jsonl.xz", [ask | {"split": split} for split in ("dev", "test", "validation")])
    sums = {"question": "1 + 1?", "answer": "1 + 1 = 2\n#### 2"}
    for name in ("test", "train"):
        write_lines(folder / "gsm8k" / f"{name}.jsonl", [sums])
    with (folder / "TruthfulQA.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ("Question", "Best Answer", "Correct Answers", "Incorrect Answers"))
        writer.writeheader()
        writer.writerow(
            {
                "Question": "Do bones weigh?",
                "Best Answer": "Yes",
                "Correct Answers": "Yes; A little; Yes",
                "Incorrect Answers": "No; Never",
            }
        )
    light = {"task_id": "HumanEval/0", "prompt": "def light(w):\n", "entry_point": "light"}
    write_lines(
        folder / "HumanEval.jsonl.gz",
        [light | {"test": "def check(candidate):\n    assert candidate(1)\n    assert not candidate(9)\n"}],
    )
    write_lines(
        folder / "mbpp.jsonl",
        [
            {
                "task_id": number,
                "text": f"Add {number}.",
                "code": f"def add(n):\n    return n + {number}",
                "test_list": [f"assert add({n}) == {n + number}" for n in range(3)],
                "test_setup_code": "",
            }
            for number in (2, 3, 4, 11)
        ],
    )
    with zipfile.ZipFile(folder / "BLiMP.zip", "w") as archive:
        for name in ("one", "two"):
            pair = {"sentence_good": f"Birds fly {name}.", "sentence_bad": f"Birds flies {name}.", "UID": name}
            archive.writestr(f"data/{name}.jsonl", "".join(json.dumps(pair) + "\n" for _ in range(2)))
