"""Choosing by a mask without branches: the statements, run, give what `np.where` gives, to the bit."""

import numpy as np
import pytest

from symgraph.core import ShapedArray
from symgraph.ops import bits, code
from symgraph.ops.code import Code

NUMBERS = ["0.0", "1.0", "-1.0", "2.5", "-0.0", "np.inf", "-np.inf", "np.nan", "1e-30"]


def number(text, dtype, typed):
    """A number as the emitter writes it: alone, where it takes the dtype of what it meets, or with its dtype."""
    aval = ShapedArray((), np.dtype(dtype), not typed)
    return Code(f"{code.scalar(np.dtype(dtype))}({text})", aval=aval) if typed else Code(text, aval=aval, literal=True)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("typed", [True, False])
def test_a_choice_between_numbers(dtype, typed):
    mask = np.random.default_rng(0).random(100) < 0.5
    condition = Code("mask", aval=ShapedArray(("n",), np.dtype(bool)))
    for a in NUMBERS:
        for b in NUMBERS:
            out = np.full(100, 7, dtype)
            space = {"np": np, "mask": mask, "out": out}
            with code.emitting({}, str):
                lines = bits.choose("out", condition, number(a, dtype, typed), number(b, dtype, typed))
            exec("\n".join(lines), space)
            wanted = np.where(mask, np.array(eval(a), dtype), np.array(eval(b), dtype))
            assert np.array_equal(out, wanted, equal_nan=True) and np.array_equal(
                np.signbit(out), np.signbit(wanted)
            ), lines


@pytest.mark.parametrize(("a", "b", "line"), [
    ("0.0", "1.0", "np.logical_not(mask, out=out)"),
    ("1.0", "0.0", "np.copyto(out, mask)"),
    ("2.5", "0.0", "np.multiply(mask, 2.5, out=out)"),
    ("0.0", "2.5", "np.multiply(~mask, 2.5, out=out)"),
])  # fmt: skip
def test_a_mask_as_numbers_reads_as_a_person_writes_it(a, b, line):
    condition = Code("mask", aval=ShapedArray(("n",), np.dtype(bool)))
    assert bits.choose("out", condition, number(a, "float64", True), number(b, "float64", True)) == [line]


def test_a_number_without_its_dtype():
    x = number("1e-05", "float32", True)
    assert bits.untyped(x) == "1e-05" and bits.untyped(x).literal and bits.untyped(x).aval is x.aval
    array = Code("np.float32(x)", aval=ShapedArray((3,), np.dtype("float32")))
    assert bits.untyped(array) is array
