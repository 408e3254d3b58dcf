"""The scores of a whole model, and what is said of them, against all scores held in memory."""

from __future__ import annotations

import pytest
import scipy.stats
import torch
from tests.compress.conftest import Dense

from birdbone.compress.config import METRICS, AnalysisConfig
from birdbone.compress.errors import NonFiniteScoreError
from birdbone.compress.gradients import collect_gradients
from birdbone.compress.importance import score_linear
from birdbone.compress.importance.analysis import Analysis, analyse_scores
from birdbone.compress.importance.model_scores import LinearScores, score_model
from birdbone.compress.importance.sketch import RELATIVE_ERROR
from birdbone.compress.statistics import collect_statistics
from birdbone.models import LoadedModel, describe_architecture

pytestmark = pytest.mark.usefixtures("dense_stays")


@pytest.fixture(scope="session")
def scored(dense: Dense) -> list[LinearScores]:
    """All scores of the tiny model by every metric."""
    return list(score_model(dense.loaded.model, dense.loaded.architecture, dense.calibration_NT[:6], metrics=METRICS))


@pytest.fixture(scope="session")
def analysis(scored: list[LinearScores]) -> Analysis:
    return analyse_scores(scored, AnalysisConfig(), generator=torch.Generator().manual_seed(0))


def test_one_pass_gives_what_each_statistic_by_itself_gives(dense: Dense, scored: list[LinearScores]) -> None:
    model, architecture, windows_NT = dense.loaded.model, dense.loaded.architecture, dense.calibration_NT[:6]
    statistics = collect_statistics(model, architecture, windows_NT, first_token_share=0.1)
    gradients = collect_gradients(model, architecture, windows_NT)
    assert {linear.slot.path for linear in scored} == set(architecture.linear_paths)
    assert [linear.layer for linear in scored[:7]] == [3] * 7
    for linear in scored:
        path = linear.slot.path
        weight_FD = model.get_parameter(f"{path}.weight").detach()
        for name, config in METRICS.items():
            expected_FD = score_linear(weight_FD, statistics[path], config, gradients=gradients[path])
            torch.testing.assert_close(linear.scores[name], expected_FD)


def test_metrics_of_activations_need_no_way_back_and_come_in_order(dense: Dense) -> None:
    seen: list[tuple[str, int, int]] = []
    found = score_model(
        dense.loaded.model,
        dense.loaded.architecture,
        dense.calibration_NT[:6],
        metrics={"mine": METRICS["wanda"]},
        told=lambda *what: seen.append(what),
    )
    assert [linear.slot.path for linear in found] == list(dense.loaded.architecture.linear_paths)
    assert seen == [("activations", 4, 6), ("activations", 6, 6), *(("scores", layer, 4) for layer in (1, 2, 3, 4))]


def everything(scored: list[LinearScores], metric: str, **where: object) -> torch.Tensor:
    chosen = [
        linear.scores[metric].flatten()
        for linear in scored
        if all({"layer": linear.layer, "role": linear.slot.role}[key] == value for key, value in where.items())
    ]
    return torch.cat(chosen).double()


@pytest.mark.parametrize("metric", ["wanda", "fisher"])
@pytest.mark.parametrize("where", [{}, {"layer": 2}, {"role": "down"}, {"layer": 1, "role": "q"}], ids=str)
def test_a_place_is_summed_up_as_its_scores_are(
    scored: list[LinearScores], analysis: Analysis, metric: str, where: dict[str, object]
) -> None:
    exact = everything(scored, metric, **where)
    place = {"layer": None, "role": None, **where}
    (found,) = (
        each
        for each in analysis.summaries
        if each.metric == metric and (each.place.layer, each.place.role) == (place["layer"], place["role"])
    )
    assert found.num_weights == len(exact)
    assert found.mean == pytest.approx(float(exact.mean()), rel=1e-6)
    assert found.deviation == pytest.approx(float(exact.std(correction=0)), rel=1e-4)
    assert (found.low, found.high) == (float(exact.min()), float(exact.max()))
    for share, value in found.quantiles.items():
        assert value == pytest.approx(float(exact.quantile(share, interpolation="lower")), rel=0.02)
    for share, value in found.held_by_top.items():
        top = exact.sort(descending=True).values[: round(share * len(exact))]
        assert value == pytest.approx(float(top.sum() / exact.sum()), rel=0.02)
    for share, value in found.global_sparsity.items():
        threshold = analysis.global_thresholds[metric][share]
        assert value == pytest.approx(int((exact < threshold).sum()) / len(exact))
    assert sum(found.histogram) == len(exact)


def test_one_threshold_thins_the_model_as_asked(scored: list[LinearScores], analysis: Analysis) -> None:
    for metric in analysis.metrics:
        (whole,) = analysis.of_scope("model", metric)
        for share, sparsity in whole.global_sparsity.items():
            assert share - 0.01 < sparsity <= share
        parts = analysis.of_scope("linear", metric)
        mean = sum(part.global_sparsity[0.5] * part.num_weights for part in parts) / whole.num_weights
        assert mean == pytest.approx(whole.global_sparsity[0.5])


def test_every_place_is_there_in_the_order_of_the_model(dense: Dense, analysis: Analysis) -> None:
    linears = analysis.of_scope("linear", "wanda")
    assert [each.place.name for each in linears] == list(dense.loaded.architecture.linear_paths)
    assert [each.place.name for each in analysis.of_scope("block", "wanda")] == [f"block {layer}" for layer in range(4)]
    assert {each.place.name for each in analysis.of_scope("role", "wanda")} == {
        "q",
        "k",
        "v",
        "o",
        "gate",
        "up",
        "down",
    }
    assert len(analysis.summaries) == len(METRICS) * (28 + 4 + 7 + 1)


def test_metrics_agree_as_they_do_on_all_weights_where_all_are_drawn(
    scored: list[LinearScores], analysis: Analysis
) -> None:
    path = "model.layers.1.self_attn.k_proj"
    (linear,) = (each for each in scored if each.slot.path == path)
    (found,) = (
        each
        for each in analysis.agreements
        if each.place.name == path and (each.first, each.second) == ("wanda", "fisher")
    )
    pair = [linear.scores[name].flatten().numpy() for name in ("wanda", "fisher")]
    assert found.num_sampled == len(pair[0])
    assert found.rank_correlation == pytest.approx(scipy.stats.spearmanr(*pair)[0], abs=1e-9)


def test_a_sample_of_weights_comes_close_to_all_of_them(scored: list[LinearScores], analysis: Analysis) -> None:
    config = AnalysisConfig(num_sampled=1_000)
    drawn = analyse_scores(scored, config, generator=torch.Generator().manual_seed(1))
    pairs = zip(drawn.agreements, analysis.agreements, strict=True)
    gaps = [abs(a.rank_correlation - b.rank_correlation) for a, b in pairs if a.place.scope == "model"]
    assert len(gaps) == 21
    assert max(gaps) < 0.03
    first, again = (analyse_scores(scored[:3], config, generator=torch.Generator().manual_seed(1)) for _ in range(2))
    assert again.agreements == first.agreements


def test_sampled_ranks_are_shares_of_their_linear(analysis: Analysis) -> None:
    sample = analysis.sample
    assert sample.ranks_PM.shape == (len(sample.paths), 7)
    assert 0 < sample.ranks_PM.min() < 0.02
    assert 0.98 < sample.ranks_PM.max() < 1
    assert set(sample.paths) == {each.place.name for each in analysis.of_scope("linear", "wanda")}


def test_a_score_that_overflows_is_named(tiny_model: LoadedModel, dense: Dense) -> None:
    with torch.no_grad():
        tiny_model.model.get_parameter("model.layers.3.mlp.down_proj.weight")[0, 0] = 2e19  # its square is not
    with pytest.raises(NonFiniteScoreError, match="hessian") as caught:
        list(
            score_model(
                tiny_model.model,
                describe_architecture(tiny_model.model),
                dense.calibration_NT[:2],
                metrics={"hessian": METRICS["hessian"]},
            )
        )
    assert caught.value.fields == {"layer": "model.layers.3.mlp.down_proj", "metric": "hessian"}


def test_the_stated_error_is_small() -> None:
    assert RELATIVE_ERROR < 0.004
