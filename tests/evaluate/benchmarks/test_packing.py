"""Every request is in one bundle, once, and no bundle or batch is larger than it may be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.evaluate.benchmarks import Continuation
from birdbone.evaluate.benchmarks.packing import batches_of, bundle_requests
from birdbone.evaluate.errors import BadRequestError

LIMIT = 12
tokens = st.lists(st.integers(0, 3), min_size=1, max_size=6).map(tuple)
requests_ = st.lists(st.builds(Continuation, tokens, tokens), max_size=12)


@given(requests_, st.booleans())
def test_every_request_stands_in_one_bundle_with_its_context(requests, is_shared):
    bundles = bundle_requests(requests, max_tokens=LIMIT, is_shared=is_shared)
    found = {branch.request: (bundle.context, branch.tokens) for bundle in bundles for branch in bundle.branches}
    assert found == {number: (request.context, request.tokens) for number, request in enumerate(requests)}
    assert sum(len(bundle.branches) for bundle in bundles) == len(requests)


@given(requests_)
def test_no_bundle_is_longer_than_the_model_takes_and_branches_do_not_overlap(requests):
    for bundle in bundle_requests(requests, max_tokens=LIMIT):
        assert bundle.size <= LIMIT
        starts = [len(bundle.context)] + [branch.start + len(branch.tokens) - 1 for branch in bundle.branches]
        assert [branch.start for branch in bundle.branches] == starts[:-1]
        assert starts[-1] == bundle.size


@given(requests_)
def test_one_context_is_read_once_as_long_as_there_is_room(requests):
    bundles = bundle_requests(requests, max_tokens=1000)
    assert len(bundles) == len({request.context for request in requests})


@given(requests_, st.integers(1, 60))
def test_batches_hold_all_bundles_in_order_within_their_size(requests, most):
    bundles = bundle_requests(requests, max_tokens=LIMIT)
    batches = list(batches_of(bundles, max_batch_tokens=most))
    assert [bundle for batch in batches for bundle in batch] == bundles
    assert all(len(batch) == 1 or len(batch) * batch[0].size <= most for batch in batches)
    assert all(bundle.size <= batch[0].size for batch in batches for bundle in batch)


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Continuation((), (1,)), "no context"),
        (Continuation((1,), ()), "no tokens"),
        (Continuation((1,) * 10, (1,) * 4), "13 tokens; the model takes 12"),
    ],
)
def test_what_cannot_be_asked_is_refused(request_, words):
    with pytest.raises(BadRequestError, match=words):
        bundle_requests([request_], max_tokens=LIMIT)
