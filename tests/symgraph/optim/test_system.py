"""(H + S) p = b by every structure, against NumPy on the whole matrix; nan where it is not positive definite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import symgraph as sg
from symgraph import function, grad, hessian, parameter
from symgraph.core import toposort
from symgraph.optim.system import _groups, solve_shifted

RNG = np.random.default_rng(3)
SMALL = RNG.normal(size=(6, 4))
WIDE = RNG.normal(size=(2, 60))


def _params(*shapes: tuple[int, ...], dtype: Any = "float64") -> list[Any]:
    rng = np.random.default_rng(4)  # the same values whichever tests ran before
    return [parameter(rng.normal(size=s).astype(dtype), f"p{i}") for i, s in enumerate(shapes)]


def _chain(z: Any) -> Any:
    return (z**4).sum() + ((z[1:] - z[:-1] ** 2) ** 2).sum() + 3 * (z**2).sum()


def _far(z: Any) -> Any:
    """A band three wide once the two halves are laid beside each other."""
    n = z.size // 2
    return ((z[:n] - z[n:]) ** 4).sum() + _chain(z[:n]) + (z[n:] ** 2).sum()


CASES = {
    "diagonal": ([(40,)], lambda z: (z**4).sum() + (z**2).sum(), {"solve_definite", "solve_definite_banded"}, ""),
    "band": ([(40,)], _chain, {"solve_definite"}, "solve_definite_banded"),
    "band by permutation": ([(80,)], _far, {"solve_definite"}, "solve_definite_banded"),
    "blocks": ([(30, 3)], lambda z: ((z * z).sum(axis=1) ** 2).sum() + 9 * (z**2).sum(), {"solve_definite"},
               "solve_definite_banded"),
    "low rank": ([(60,)], lambda z: ((WIDE @ z) ** 2).sum() + (z**2).sum(), {"solve_definite"}, "solve"),
    "dense": ([(4,)], lambda z: sg.softplus(SMALL @ z).sum() + 0.1 * (z**2).sum(), set(), "solve_definite"),
    "a matrix": ([(3, 4)], lambda z: sg.tanh(z).sum() ** 2 + 20 * (z**2).sum(), set(), "solve_definite"),
    "two beside each other": ([(40,), (40,)], lambda a, b: ((a - b) ** 2).sum() + _chain(a) + (b**2).sum(),
                              {"solve_definite"}, "solve_definite_banded"),
    "two that meet": ([(3,), (2, 2)], lambda a, b: sg.exp(0.1 * (a.sum() * b)).sum() + 9 * ((a**2).sum() + (b**2).sum()),
                      set(), "solve_definite"),
    "two that do not": ([(40,), (4,)], lambda a, b: _chain(a) + sg.softplus(SMALL @ b).sum() + (b**2).sum(),
                        set(), "solve_definite_banded"),
    "numbers": ([(), (1,)], lambda a, b: (a**2 + (a * b).sum() + (b**2).sum()), set(), "solve_definite"),
    "one number": ([()], lambda a: a**4 + a**2, {"solve_definite"}, ""),
    "nothing": ([(0,), (2,)], lambda a, b: a.sum() + (b**2).sum(), {"solve_definite"}, ""),
}  # fmt: skip


def _both(xs: Any, loss: Any, shift: float) -> tuple[Any, Any, set[str]]:
    blocks = hessian(loss, xs)
    gs = grad(loss, xs, unused="zero")
    dtype = np.result_type(*[x.dtype for x in xs])
    found = solve_shifted(blocks, xs, [sg.constant(np.array(shift, dtype))] * len(xs), gs, dtype)
    arrays, g, p = function([], [[[b.dense() for b in row] for row in blocks], gs, found])()
    sizes = [x.value.size for x in xs]
    whole = np.block([[a.reshape(m, n) for a, n in zip(row, sizes)] for row, m in zip(arrays, sizes)])
    whole += shift * np.eye(sum(sizes))
    b, p = (np.concatenate([np.ravel(x) for x in part]) for part in (g, p))
    return whole, (b, p), {node.op.name for node in toposort(found)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_every_structure_gives_the_solution_of_the_whole(name: str, dtype: str) -> None:
    shapes, make, without, by = CASES[name]
    xs = _params(*shapes, dtype=dtype)
    whole, (b, p), ops = _both(xs, make(*xs), 0.5)
    assert p.dtype == dtype
    assert np.linalg.eigvalsh(whole).min() > 0
    rtol = {"float64": 1e-9, "float32": 1e-3}[dtype]
    expected = np.linalg.solve(whole.astype(float), b)
    np.testing.assert_allclose(p, expected, rtol=rtol, atol=rtol * abs(expected).max(initial=0))
    assert not without & ops
    assert by in ops or not by


@pytest.mark.parametrize("name", ["diagonal", "band", "low rank", "dense", "two that meet", "one number"])
def test_a_matrix_that_is_not_positive_definite_gives_nan(name: str) -> None:
    shapes, make, _, _ = CASES[name]
    xs = _params(*shapes)
    whole, (_, p), _ = _both(xs, make(*xs), -30.0)
    assert np.linalg.eigvalsh(whole).min() < 0
    assert np.isnan(p).any()


def test_low_rank_with_one_negative_eigenvalue_is_seen_though_the_diagonal_is_positive() -> None:
    (z,) = _params((60,))
    u = np.ones(60)
    whole, (_, p), _ = _both([z], (z**2).sum() - 0.5 * (u @ z) ** 2, 0.0)
    values = np.linalg.eigvalsh(whole)
    assert values[0] < 0 < values[1]
    assert np.isnan(p).all()


def test_only_variables_that_meet_are_solved_together() -> None:
    a, b, c, d = _params((2,), (2,), (3,), ())
    loss = (a * b).sum() + (c**2).sum() + (b.sum() * d) ** 2
    assert _groups(hessian(loss, [a, b, c, d])) == [[0, 1, 3], [2]]
