"""The structure of the derivatives of every op against products with all unit vectors: Jacobians and Hessians, both modes."""

import numpy as np
import pytest

import symgraph as sg
from symgraph.autodiff import batched_jacobian
from symgraph.dtypes import is_complex, is_inexact
from symgraph.errors import GradientError
from symgraph.pytree import flatten
from symgraph.structured.derive import HESSIAN_MODES
from symgraph.testing.records import RECORDS

DIFFERENTIABLE = [r for r in RECORDS if r.order]
SMALL = 40
"""Larger outputs and variables make large Jacobians, and nothing new."""


def cases(record):
    """The outputs and variables of each sample, with the values of the symbols."""
    for sample in record.samples:
        values = [np.asarray(v) for v in sample]
        xs = [sg.symbol("xyzuvw"[i], v.shape, v.dtype) for i, v in enumerate(values)]
        outputs = [y for y in flatten(record.build(*xs))[0] if is_inexact(y.dtype) and y.size <= SMALL]
        wrt = [x for x in xs if is_inexact(x.dtype) and x.size <= SMALL]
        if outputs and wrt:
            yield outputs, wrt, dict(zip(xs, values, strict=True))


def close(found, expected, what):
    scale = np.max(np.abs(expected), initial=1)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * scale, err_msg=what)


@pytest.mark.parametrize("record", DIFFERENTIABLE, ids=lambda r: r.name)
def test_jacobians(record):
    for outputs, wrt, given in cases(record):
        for y in outputs:
            for x in wrt:
                (expected,) = sg.interpret(batched_jacobian(y, [x]), given)
                for mode in ("forward", "reverse"):
                    found = sg.jacobian(y, x, mode)
                    close(sg.interpret([found], given)[0], expected, f"{mode}:\n{found}")


@pytest.mark.parametrize("record", DIFFERENTIABLE, ids=lambda r: r.name)
def test_hessians(record):
    rng = np.random.default_rng(0)
    for outputs, wrt, given in cases(record):
        real = [y for y in outputs if not is_complex(y.dtype)]
        wrt = [x for x in wrt if not is_complex(x.dtype)]
        if not real or not wrt:
            continue
        loss = sum(sg.sum(y * sg.constant(rng.normal(size=given_shape(y)).astype(y.dtype)) + y**3) for y in real)
        for x in wrt:
            (expected,) = sg.interpret(batched_jacobian(sg.grad(loss, x, unused="zero"), [x]), given)
            for mode in HESSIAN_MODES:
                try:
                    found = sg.hessian(loss, x, mode)
                except GradientError as error:
                    assert mode == "edge-pushing" and "cannot be written" in str(error)
                    continue
                close(sg.interpret([found], given)[0], expected, f"{mode}:\n{found}")
                v = rng.normal(size=x.shape).astype(x.dtype)
                product = sg.interpret([found.matvec(sg.constant(v))], given)[0]
                close(product, np.tensordot(expected, v, v.ndim), f"matvec, {mode}:\n{found}")
            diagonal, trace = (
                sg.interpret([found.diagonal(), found.trace()], given) if found.shape else (expected, expected)
            )
            n = int(np.prod(x.shape))
            flat = expected.reshape(n, n)
            close(np.ravel(diagonal), np.diag(flat), f"diagonal:\n{found}")
            close(trace, np.trace(flat), f"trace:\n{found}")


def given_shape(y):
    return tuple(int(n) for n in y.shape)
