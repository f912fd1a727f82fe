"""Convolutions of images, and of sequences, with channels, as neural networks use them.

    conv2d    y[n, o, q, s] = b[o] + sum of w[o, c, i, j] x[n, c, q*stride + i*dilation, s*stride + j*dilation]

This is a cross-correlation: the kernel is not flipped. The axes are those of PyTorch, but inside they stand as height,
channels, width, batch. Windows along the width are copied, which costs as many times the image as the kernel is wide, not
as many as it has places. Then the windows along the height lie behind each other in memory, and one stack of matrix
products (`correlation`) does the rest. The result is transposed back; between two layers the transpositions cancel.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Tensor, describe, located_error, make
from ..dims import Size, require_equal
from ..errors import ShapeError
from .base import as_tensor, cast, promoted
from .correlation import Correlate, CorrelateRows
from .late import F
from .windows import Fold, one_for_each, positive, window_extent, windows

__all__ = ["conv1d", "conv2d", "conv_transpose1d", "conv_transpose2d"]


# Layers --------------------------------------------------------------------------------------------------------------


def conv1d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1
) -> Tensor:
    """The cross-correlation of sequences with kernels, for every pair of channels.

        y[n, o, q] = b[o] + sum over c, i of w[o, c, i] x[n, c, q*stride + i*dilation]

    x (batch, channels, length), w (outputs, channels / groups, places), b (outputs,) -> (batch, outputs, windows). The
    other arguments, dtypes and errors are those of `conv2d`.

    >>> from symgraph.core import symbol
    >>> conv1d(symbol("x", ("batch", 3, 100)), symbol("w", (8, 3, 5)), padding="same").shape
    (batch, 8, 100)
    """
    return _conv("conv1d", 1, x, w, b, stride, padding, dilation, groups)


def conv2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = "valid", dilation: Any = 1, groups: int = 1
) -> Tensor:
    """The cross-correlation of images with kernels, for every pair of channels.

        y[n, o, q, s] = b[o] + sum over c, i, j of w[o, c, i, j] x[n, c, q*stride + i*dilation, s*stride + j*dilation]

    x (batch, channels, height, width), w (outputs, channels / groups, kernel height, kernel width), b (outputs,) ->
    (batch, outputs, rows, columns), as torch.nn.functional.conv2d. `stride` and `dilation` are one int or a pair.
    `padding` is "valid" (none), "same" (as many rows and columns as x has, for stride 1), an int, a pair (vertical,
    horizontal), or two pairs ((above, below), (left, right)); it is made of zeros. With `groups`, each of that many
    groups of outputs sees its own group of channels. The batch, and sizes of the image, may be symbolic.

    Dtypes promote as in a product; booleans are added as int64. Raises `ShapeError` for channels that do not match, a
    kernel larger than the padded image, a stride, dilation or group count below 1 or that does not divide.

    >>> from symgraph.core import symbol
    >>> conv2d(symbol("x", ("batch", 1, 28, 28)), symbol("w", (8, 1, 5, 5))).shape
    (batch, 8, 24, 24)
    """
    return _conv("conv2d", 2, x, w, b, stride, padding, dilation, groups)


def conv_transpose1d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1
) -> Tensor:  # fmt: skip
    """The transpose of `conv1d` with respect to its first operand, plus b: each element of x adds a scaled kernel.

    x (batch, channels, length), w (channels, outputs / groups, places) -> (batch, outputs, length), otherwise as
    `conv_transpose2d`.

    >>> from symgraph.core import symbol
    >>> conv_transpose1d(symbol("x", ("batch", 8, 10)), symbol("w", (8, 3, 4)), stride=2).shape
    (batch, 3, 22)
    """
    return _conv_transpose("conv_transpose1d", 1, x, w, b, stride, padding, output_padding, groups, dilation)


def conv_transpose2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, output_padding: Any = 0, groups: int = 1, dilation: Any = 1
) -> Tensor:  # fmt: skip
    """The transpose of `conv2d` with respect to its first operand, plus b: each element of x adds a scaled kernel.

        y[n, o, q*stride + i*dilation, s*stride + j*dilation] += w[c, o, i, j] x[n, c, q, s]

    x (batch, channels, height, width), w (channels, outputs / groups, kernel height, kernel width), b (outputs,) ->
    (batch, outputs, rows, columns) with rows = (height - 1)*stride + dilation*(kernel height - 1) + 1 -
    2*padding + output_padding, as torch.nn.functional.conv_transpose2d. Raises `ShapeError` as `conv2d` does, and for an
    `output_padding` that is not below the stride.

    >>> from symgraph.core import symbol
    >>> conv_transpose2d(symbol("x", ("batch", 8, 12, 12)), symbol("w", (8, 1, 5, 5)), stride=2).shape
    (batch, 1, 27, 27)
    """
    return _conv_transpose("conv_transpose2d", 2, x, w, b, stride, padding, output_padding, groups, dilation)


def _conv(
    name: str, count: int, x: Any, w: Any, b: Any, stride: Any, padding: Any, dilation: Any, groups: Any
) -> Tensor:
    x, w, b = _operands(name, count, x, w, b)
    given = [x, w]
    groups = positive(groups, "groups", name, given)
    steps = one_for_each(stride, count, "stride", name, given)
    spread = one_for_each(dilation, count, "dilation", name, given)
    outputs, channels, *kernel = w.shape
    _channels(name, given, x.shape[1], channels * groups, f"{channels} per group" if groups > 1 else "")
    _divides(name, given, groups, outputs, "outputs", 0)
    around = _padding(name, given, padding, kernel, steps, spread)
    for a, (n, k, d, (before, after)) in enumerate(zip(x.shape[2:], kernel, spread, around, strict=True), 2):
        extent = window_extent(k, d)
        if isinstance(n, int) and n + before + after < extent:
            padded = f", {n + before + after} with its padding," if before or after else ""
            rule = f"the kernel covers {extent} places, and axis {a} of {describe(x, short=True)} has size {n}{padded} " \
                   "which is less. Pad more, or take a smaller kernel"  # fmt: skip
            raise located_error(ShapeError, name, given, rule)
    image = _inside(x)
    if any(before or after for before, after in around):
        sides = around if count == 2 else [(0, 0), *around]
        image = F.pad(image, [sides[0], (0, 0), sides[1], (0, 0)])
    steps, spread = _two(steps), _two(spread)
    image = _grouped(image, groups)
    at = image.ndim - 2
    wide = windows(image, at, kernel[-1], steps[1], spread[1], copied=True) if kernel[-1] > 1 or steps[1] > 1 else None
    columns = image.shape[at] if wide is None else wide.shape[at + 1]
    batch = x.shape[0]
    rows = F.reshape(image if wide is None else wide, (*image.shape[: at - 1], channels * kernel[-1], columns * batch))
    y = make(Correlate(steps[0], spread[0]), rows, _weights(w, groups))
    if groups > 1:
        y = F.reshape(F.moveaxis(y, 0, 1), (y.shape[1], outputs, columns * batch))
    y = _biased(name, y, b, given)
    return _outside(F.reshape(y, (y.shape[0], outputs, columns, batch)), count)


def _conv_transpose(
    name: str, count: int, x: Any, w: Any, b: Any, stride: Any, padding: Any, extra: Any, groups: Any, dilation: Any
) -> Tensor:
    x, w, b = _operands(name, count, x, w, b)
    given = [x, w]
    groups = positive(groups, "groups", name, given)
    steps = one_for_each(stride, count, "stride", name, given)
    spread = one_for_each(dilation, count, "dilation", name, given)
    around = one_for_each(padding, count, "padding", name, given, least=0)
    more = one_for_each(extra, count, "output_padding", name, given, least=0)
    channels, outputs, *kernel = w.shape
    _channels(name, given, x.shape[1], channels, "")
    _divides(name, given, groups, channels, "channels", 0)
    if any(m >= s for m, s in zip(more, steps, strict=True)):
        rule = f"output_padding={extra!r} must be less than stride={stride!r}"
        raise located_error(ShapeError, name, given, rule)
    full = [
        (n - 1) * s + window_extent(k, d) + m
        for n, s, k, d, m in zip(x.shape[2:], steps, kernel, spread, more, strict=True)
    ]
    for n, p in zip(full, around, strict=True):
        if isinstance(n, int) and n <= 2 * p:
            rule = f"padding={padding!r} leaves nothing of the {n} places of the result. Take less"
            raise located_error(ShapeError, name, given, rule)
    steps, spread = _two(steps), _two(spread)
    height, width = full if count == 2 else [1, *full]
    image = _grouped(_inside(x), groups)
    batch, columns = x.shape[0], image.shape[-2]
    flat = F.reshape(image, (*image.shape[:-2], columns * batch))
    y = make(CorrelateRows(steps[0], spread[0], height), flat, _weights(w, groups))
    at = y.ndim - 1
    if kernel[-1] > 1 or steps[1] > 1:
        y = F.reshape(y, (*y.shape[:-2], outputs, kernel[-1], columns, batch))
        y = make(Fold(at, width, steps[1], spread[1]), y)
    else:
        y = F.reshape(y, (*y.shape[:-2], outputs, columns, batch))
    if groups > 1:
        y = F.reshape(F.moveaxis(y, 0, 1), (height, groups * outputs, width, batch))
    sides = _two(around, 0)
    if any(sides):
        (p, q) = sides
        y = y[p : height - p, :, q : width - q]
    return _outside(_biased(name, y, b, given), count)


def _operands(name: str, count: int, x: Any, w: Any, b: Any) -> tuple[Tensor, Tensor, Tensor | None]:
    """The operands in one dtype, with as many axes as they must have."""
    found = promoted(name, np.matmul, [x, w])
    if found[0].dtype.kind == "b":
        found = [cast(t, np.dtype(np.int64)) for t in found]
    axes = ("height", "width")[-count:] if count > 1 else ("length",)
    for t, wanted in zip(found, (("batch", "channels", *axes), ("outputs", "channels", *["places"] * count))):
        if t.ndim != count + 2:
            rule = f"{describe(t, short=True)} has {t.ndim} axes and must have {count + 2}: ({', '.join(wanted)}). Reshape it"
            raise located_error(ShapeError, name, found, rule)
    for n in found[1].shape[1:]:
        if not isinstance(n, int):
            raise located_error(ShapeError, name, found, f"the sizes of the kernel must be fixed ints, not {n}")
        if n < 1:
            raise located_error(ShapeError, name, found, "the kernel has an axis of size 0. It must hold something")
    x, w = found
    if b is None:
        return x, w, None
    _, b = promoted(name, np.add, [x, as_tensor(b)])
    if b.ndim != 1:
        raise located_error(ShapeError, name, [x, w, b], f"b must have one axis, (outputs,), not {b.ndim}. Reshape it")
    return cast(x, b.dtype), cast(w, b.dtype), b


def _biased(name: str, y: Tensor, b: Tensor | None, given: list[Tensor]) -> Tensor:
    """`y` (rows, outputs, ...) plus a number for each output."""
    if b is None:
        return y
    try:
        require_equal(b.shape[0], y.shape[1])
    except ShapeError:
        rule = f"b has {b.shape[0]} values and the result has {y.shape[1]} outputs. Give one for each"
        raise located_error(ShapeError, name, [*given, b], rule) from None
    return y + F.expand_dims(b, tuple(range(1, y.ndim - 1)))


def _channels(name: str, given: list[Tensor], found: Size, wanted: Size, how: str) -> None:
    try:
        require_equal(found, wanted)
    except ShapeError:
        x, w = (describe(t, short=True) for t in given)
        rule = (
            f"{x} has {found} channels (axis 1) and {w} is for {wanted}{f' ({how})' if how else ''}. They must be equal; "
            "images are (batch, channels, height, width)"
        )
        raise located_error(ShapeError, name, given, rule) from None


def _divides(name: str, given: list[Tensor], groups: int, size: Size, what: str, axis: int) -> None:
    if isinstance(size, int) and size % groups:
        rule = f"groups={groups} must divide the {size} {what} (axis {axis} of {describe(given[1], short=True)})"
        raise located_error(ShapeError, name, given, rule)


def _padding(
    name: str, given: list[Tensor], padding: Any, kernel: Sequence[int], steps: Sequence[int], spread: Sequence[int]
) -> list[tuple[int, int]]:
    """The zeros before and after each axis of the image."""
    if isinstance(padding, str):
        if padding == "valid":
            return [(0, 0)] * len(kernel)
        if padding != "same":
            rule = f"padding={padding!r} must be 'valid', 'same', an int, or ints for each axis"
            raise located_error(ShapeError, name, given, rule)
        if any(s > 1 for s in steps):
            rule = "padding='same' is for stride 1: with a larger stride the result cannot be as large as x. Give ints"
            raise located_error(ShapeError, name, given, rule)
        whole = [window_extent(k, d) - 1 for k, d in zip(kernel, spread, strict=True)]
        return [(n // 2, n - n // 2) for n in whole]
    if isinstance(padding, tuple | list) and any(isinstance(p, tuple | list) for p in padding):
        if len(padding) != len(kernel):
            rule = f"padding={padding!r} must have a pair (before, after) for each of {len(kernel)} axes"
            raise located_error(ShapeError, name, given, rule)
        pairs = [one_for_each(p, 2, "padding", name, given, least=0) for p in padding]
        return [(p[0], p[1]) for p in pairs]
    return [(p, p) for p in one_for_each(padding, len(kernel), "padding", name, given, least=0)]


# Layout --------------------------------------------------------------------------------------------------------------


def _two(values: Sequence[int], missing: int = 1) -> tuple[int, int]:
    """(vertical, horizontal); a sequence is an image of height 1."""
    return (values[0], values[1]) if len(values) == 2 else (missing, values[0])


def _inside(x: Tensor) -> Tensor:
    """(batch, channels, height, width) as (height, channels, width, batch); a sequence has height 1."""
    return F.transpose(x, (2, 1, 3, 0)) if x.ndim == 4 else F.expand_dims(F.transpose(x, (1, 2, 0)), 0)


def _outside(y: Tensor, count: int) -> Tensor:
    """(rows, outputs, columns, batch) as (batch, outputs, rows, columns), or for sequences without the rows."""
    return F.transpose(y, (3, 1, 0, 2)) if count == 2 else F.transpose(F.squeeze(y, 0), (2, 0, 1))


def _grouped(x: Tensor, groups: int) -> Tensor:
    """(height, channels, ...) as (groups, height, channels of the group, ...)."""
    if groups == 1:
        return x
    height, channels, *rest = x.shape
    return F.moveaxis(F.reshape(x, (height, groups, channels // groups, *rest)), 1, 0)


def _weights(w: Tensor, groups: int) -> Tensor:
    """(outputs, channels, kernel height, kernel width) as (kernel height, channels * kernel width, outputs)."""
    if w.ndim == 3:
        w = F.expand_dims(w, 2)
    outputs, channels, high, wide = w.shape
    if groups == 1:
        return F.reshape(F.transpose(w, (2, 1, 3, 0)), (high, channels * wide, outputs))
    w = F.reshape(w, (groups, outputs // groups, channels, high, wide))
    return F.reshape(F.transpose(w, (0, 3, 2, 4, 1)), (groups, high, channels * wide, outputs // groups))
