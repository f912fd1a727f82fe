"""Where a derivative can be different from zero: known when the graph is built.

The tangent of y along a seed is linear in it, and a linear step is a matrix of zeros and of what may be anything. A walk
over the tangent keeps for each node the pattern of its derivative, a sparse matrix of booleans, and multiplies it by the
pattern of each step (`reach`). Nothing is assumed to cancel, so the pattern holds for all values.

Source: Griewank and Walther, *Evaluating Derivatives* (2nd ed.), section 7.1: propagation of index domains.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..autodiff import check_variables, grad, jvp, scalar_output, why_constant
from ..core import Symbol, Tensor, building, describe, located_error, make_fresh
from ..dims import variables as sizes_unknown
from ..dtypes import is_inexact
from ..errors import GradientError, ShapeError
from ..ops.base import as_tensor
from ..pytree import flatten
from .patterns import Pattern, as_csr, identity, nothing, size_of
from .reach import Reach


def sparsity(y: Any, wrt: Any, order: int = 1) -> Any:
    """The pattern of the Jacobian dy[i]/dx[j], or for order 2 of the Hessian of the scalar y, before it is computed.

    A `scipy.sparse.csr_array` of bool, of shape (size of y, size of x), arrays in C order; nested as `y` outside and
    `wrt` inside, as those of `jacobian` and `hessian` are. It is True wherever the derivative differs from zero for any
    values of the symbols, and more often only where terms cancel or an op mixes its operand in a way that is not known.

    Raises `ShapeError` where a size is known only at the call, and `GradientError` for integers, for an order other
    than 1 or 2, and with order 2 for a y that is not a real scalar.

    Source: Griewank and Walther, *Evaluating Derivatives* (2nd ed.), section 7.1.

    >>> from symgraph import symbol
    >>> from symgraph.structured.sparsity import sparsity
    >>> x = symbol("x", (4,))
    >>> sparsity(x[1:] - x[:-1] ** 2, x).toarray().astype(int)
    array([[1, 1, 0, 0],
           [0, 1, 1, 0],
           [0, 0, 1, 1]])
    >>> sparsity((x[1:] * x[:-1]).sum(), x, order=2).nnz
    6
    """
    if isinstance(order, bool) or order not in (1, 2):
        raise GradientError(f"sparsity: order={order!r} must be 1 (the Jacobian) or 2 (the Hessian of a scalar)")
    variables, restore_x = flatten(wrt)
    check_variables(variables, wrt)
    if order == 2:
        y = scalar_output(y, "sparsity of order 2")
        blocks = hessian_patterns(grad(y, variables, unused="zero"), variables)
        return restore_x([restore_x(row) for row in blocks])
    outputs, restore_y = flatten(y)
    tensors = [as_tensor(output) for output in outputs]
    for output in tensors:
        if isinstance(output.aval, tuple) or not is_inexact(output.dtype):
            raise GradientError(f"sparsity of {describe(output)}: {why_constant(output)}")
    columns = [jacobian_patterns(tensors, x) for x in variables]
    return restore_y([restore_x(row) for row in zip(*columns, strict=True)])


@building()
def jacobian_patterns(ys: Sequence[Tensor], x: Tensor) -> list[Pattern]:
    """The pattern of the derivative of each output with respect to x."""
    for node in (*ys, x):
        _require_known(node, node)
    seed = make_fresh(Symbol("t", x.aval))
    tangents = jvp(list(ys), x, seed)
    found = Reach(lambda node: _require_known(node, x)).of(tangents, {seed: identity(size_of(x))})
    return [
        nothing(size_of(y), size_of(x)) if p is None else as_csr(p)
        for y, p in zip(ys, found, strict=True)
    ]  # fmt: skip


def hessian_patterns(gradients: Sequence[Tensor], variables: Sequence[Tensor]) -> list[list[Pattern]]:
    """The patterns of all blocks: a place counts only if it does so from both sides, for a Hessian is symmetric."""
    columns = [jacobian_patterns(gradients, x) for x in variables]
    count = range(len(variables))
    return [[as_csr(columns[j][i].multiply(columns[i][j].T.tocsr())) for j in count] for i in count]


def _require_known(node: Tensor, of: Tensor) -> None:
    unknown = sizes_unknown(*node.shape)
    if unknown:
        names = ", ".join(sorted(v.name for v in unknown))
        rule = f"a pattern needs sizes that are known while the graph is built, not {names}; give them as ints"
        operands = [node] if node is of else [of, node]
        raise located_error(ShapeError, "sparsity", operands, rule)
