"""The programs that are compared compute the same: symgraph's against NumPy's by hand, on small sizes."""

import numpy as np
import pytest

from benchmarks.workloads import PEERS, WORKLOADS, base


@pytest.mark.parametrize("name", WORKLOADS)
def test_symgraph_agrees_with_numpy_by_hand(name):
    workload = WORKLOADS[name]
    data = workload.data(small=True)
    by_hand, generated = (workload.case(peer, data) for peer in ("numpy", "symgraph"))
    for _ in range(2):  # the second call starts from what the first left behind
        wanted, found = by_hand.results(), generated.results()
        assert len(found) == len(wanted)
        for a, b in zip(found, wanted):
            assert a.shape == b.shape
            np.testing.assert_allclose(
                a, b, rtol=workload.tolerance, atol=workload.tolerance * np.abs(b).max(initial=1e-3)
            )


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_call_leaves_its_data_as_it_was(name):
    """Every peer gets the same arrays, whoever ran before."""
    workload = WORKLOADS[name]
    data, fresh = workload.data(small=True), workload.data(small=True)
    for peer in ("numpy", "symgraph"):
        workload.case(peer, data).results()
        for a, b in zip(base.flat(data), base.flat(fresh)):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", WORKLOADS)
def test_every_peer_has_a_program_or_a_reason(name):
    workload = WORKLOADS[name]
    assert workload.peers()[:2] == ["symgraph", "numpy"]
    assert not set(workload.peers()) & set(workload.without)
    assert set(workload.without) <= set(PEERS)


@pytest.mark.parametrize("cores", [1, 3])
@pytest.mark.parametrize("n", [1, 9, 10, 25])
def test_tiles_visit_every_element_once(monkeypatch, cores, n):
    monkeypatch.setattr(base, "cores", lambda: cores)
    seen = np.zeros(n)

    def body(block, buffer):
        assert len(buffer) == block.stop - block.start <= 10
        seen[block] += 1

    base.tiles(n, 10, np.float64)(body)
    np.testing.assert_array_equal(seen, 1)
