"""The page stands by itself, says what the figures say, and no name or text can break out of it."""

import datetime as dt
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import numpy as np
import pytest

from birdbone.vault import commit, put_folder
from birdbone.vault.diff import Comparison, compare_versions, place_of, render_page, role_of
from birdbone.vault.diff.heat_map import shade_of

from ..checkpoints import Tensor, write_model

EVIL = '</code><script>alert("1")</script>&'
VOID = frozenset(("meta", "br", "link", "input", "img"))


class Outline(HTMLParser):
    """Tags that are opened and closed, and where the page would fetch something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.anchors: list[str] = []
        self.fetched: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        self.ids += [str(values["id"])] if "id" in values else []
        self.anchors += [str(values["href"])[1:]] if tag == "a" else []
        self.fetched += [str(values[key]) for key in ("src", "srcset", "data", "action") if key in values]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tensor_of(values: np.ndarray) -> Tensor:
    return "F32", values.shape, values.astype(np.float32).tobytes()


@pytest.fixture
def comparison(vault, tmp_path) -> Comparison:
    generator = np.random.default_rng(1)
    before = {f"model.layers.{i}.mlp.up_proj.weight": generator.standard_normal((20, 30)) for i in range(3)}
    before |= {"model.norm.weight": np.ones(20), f"model.layers.0.{EVIL}": np.ones(4), "old": np.ones(2)}
    after = {name: values.copy() for name, values in before.items() if name != "old"} | {"new": np.ones(2)}
    after["model.layers.1.mlp.up_proj.weight"][:5] = 0
    after[f"model.layers.0.{EVIL}"][0] = 2
    after["model.norm.weight"] = np.ones(21)
    sides = []
    for side, tensors, config in (("one", before, '{"a": 1}'), ("two", after, '{"a": "</pre><script>x"}')):
        folder = write_model(tmp_path / side, config=config, **{name: tensor_of(v) for name, v in tensors.items()})
        (folder / "README.md").write_text(f"# {side}\n{EVIL}\n")
        sides.append(put_folder(vault, folder, kind="model"))
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    rows = [{"name": "perplexity", "value": 12.5, "unit": "1", "basis": "measured"}]
    commit(vault, sides[0], ref="main", message="first", author="Ada", time=moment)
    commit(vault, sides[1], ref="next", message=EVIL, author="Ada", time=moment, measurements=rows)
    return compare_versions(vault, "main", "next")


def outline_of(page: str) -> Outline:
    outline = Outline()
    outline.feed(page)
    return outline


def test_the_page_is_well_formed_and_fetches_nothing(comparison):
    page = render_page(comparison)
    outline = outline_of(page)
    assert outline.open == []
    assert outline.fetched == []
    assert "http" not in re.sub(r"http-equiv", "", page)
    assert len(set(outline.ids)) == len(outline.ids)
    assert set(outline.anchors) <= set(outline.ids)


def test_no_name_message_or_file_breaks_out_of_the_page(comparison):
    page = render_page(comparison)
    assert outline_of(page).scripts == 1
    assert page.count("&lt;script&gt;") > 3


def test_the_page_is_the_same_text_each_time(vault, comparison):
    again = compare_versions(vault, "main", "next", num_threads=1)
    assert render_page(again) == render_page(comparison)


def test_every_drawing_is_valid_and_has_a_cell_for_each_part_of_each_layer(comparison):
    drawings = re.findall(r"<svg.*?</svg>", render_page(comparison), re.DOTALL)
    cells = [
        sum(str(element.get("class")).startswith("cell") for element in ElementTree.fromstring(drawing).iter())
        for drawing in drawings
    ]
    num_parts = sum(len(grid.cells) for grid in comparison.grids)
    assert sum(cells) == 2 * num_parts
    assert num_parts == len(comparison.names.tensors.changed) + len(comparison.names.tensors.same)


def test_the_page_tells_measurements_names_and_figures(comparison):
    page = render_page(comparison)
    changed = next(tensor for tensor in comparison.tensors if tensor.num_zeroed)
    assert changed.num_zeroed == 150
    assert f'data-value="{changed.l2}"' in page
    assert "12.5" in page
    assert "not measured" in page
    assert "<code>new</code>" in page
    assert "<code>old</code>" in page
    assert "20 → 21" in page


def test_two_equal_sides_have_a_page_that_says_so(vault, comparison):
    page = render_page(compare_versions(vault, "main", "main"))
    assert "nothing changed" in page
    assert outline_of(page).open == []


@pytest.mark.parametrize(
    ("share", "shade"), [(None, "unknown"), (0.0, "q0"), (0.0009, "q0"), (0.001, "q1"), (0.3, "q5"), (7.0, "q5")]
)
def test_a_shade_begins_at_its_bound(share, shade):
    assert shade_of(share) == shade


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("model.embed_tokens.weight", "embedding"),
        ("transformer.wte.weight", "embedding"),
        ("gpt_neox.embed_in.weight", "embedding"),
        ("token_embd.weight", "embedding"),
        ("lm_head.weight", "head"),
        ("output.weight", "head"),
        ("embed_out.weight", "head"),
        ("model.layers.0.self_attn.q_proj.weight", "attention"),
        ("transformer.h.3.attn.c_attn.weight", "attention"),
        ("transformer.h.3.attn.c_proj.weight", "attention"),
        ("bert.encoder.layer.0.attention.output.dense.weight", "attention"),
        ("transformer.h.0.self_attention.query_key_value.weight", "attention"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "attention"),
        ("blk.4.attn_output.weight", "attention"),
        ("model.layers.0.mlp.gate_proj.weight", "feed-forward"),
        ("transformer.h.3.mlp.c_proj.weight", "feed-forward"),
        ("bert.encoder.layer.0.intermediate.dense.weight", "feed-forward"),
        ("bert.encoder.layer.0.output.dense.weight", "feed-forward"),
        ("model.decoder.layers.1.fc1.weight", "feed-forward"),
        ("encoder.block.0.layer.1.DenseReluDense.wi_0.weight", "feed-forward"),
        ("model.layers.0.block_sparse_moe.experts.3.w1.weight", "feed-forward"),
        ("blk.4.ffn_down.weight", "feed-forward"),
        ("model.layers.0.block_sparse_moe.gate.weight", "router"),
        ("model.layers.0.mlp.gate.weight", "router"),
        ("blk.4.ffn_gate_inp.weight", "router"),
        ("model.norm.weight", "norm"),
        ("model.layers.0.post_attention_layernorm.weight", "norm"),
        ("model.layers.0.self_attn.q_norm.weight", "norm"),
        ("transformer.ln_f.weight", "norm"),
        ("bert.encoder.layer.0.attention.output.LayerNorm.weight", "norm"),
        ("blk.4.attn_norm.weight", "norm"),
        ("blk.4.ffn_norm.weight", "norm"),
        ("model.safetensors::model.layers.0.mlp.up_proj.weight", "feed-forward"),
        ("something", "other"),
    ],
)
def test_the_role_of_a_tensor_is_told_from_its_name(name, role):
    assert role_of(name) == role


def test_experts_share_a_part_of_their_layer():
    places = [place_of(f"model.layers.2.mlp.experts.{expert}.up_proj.weight") for expert in range(3)]
    assert {(place.stack, place.layer, place.part) for place in places} == {
        ("model.layers", 2, "mlp.experts.*.up_proj")
    }
