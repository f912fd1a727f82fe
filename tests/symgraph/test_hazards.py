"""The conventions of differentiation at singular points, at orders 1 to 3, in every mix of modes, optimized or not.

Untaken branches do not leak; relu'(0) = abs'(0) = norm'(0) = 0; x**n at 0 is exact; ties share evenly.
"""

import itertools

import numpy as np
import pytest

import symgraph as sg
from symgraph.core import symbol
from symgraph.interpreter import interpret
from symgraph.ops.late import F

NAN, INF = np.nan, np.inf

where, log, sqrt = sg.where, sg.log, sg.sqrt

# Each line: a function of one number, and at each point its first three derivatives.
# fmt: off
TABLE = {
    # A branch that is not taken
    "where log":          (lambda x: where(x > 0, log(x), 0),                  {0: (0, 0, 0), -1: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "where log, flipped": (lambda x: where(x <= 0, 0, log(x)),                 {0: (0, 0, 0), -1: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "where sqrt":         (lambda x: where(x > 0, sqrt(x), 0),                 {0: (0, 0, 0), -1: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "where sqrt, square": (lambda x: where(x > 0, sqrt(x), x * x),             {0: (0, 2, 0), -1: (-2, 2, 0), 4: (1/4, -1/32, 3/256)}),
    "where 1/x":          (lambda x: where(x != 0, 1 / x, 0),                  {0: (0, 0, 0), 1: (-1, 2, -6), -2: (-1/4, -1/4, -3/8)}),
    "where reciprocal":   (lambda x: where(x != 0, sg.reciprocal(x), 0),       {0: (0, 0, 0), 1: (-1, 2, -6)}),
    "where x/x":          (lambda x: where(x != 0, x * x / x, x),              {0: (1, 0, 0), 3: (1, 0, 0)}),
    "where x**1.5":       (lambda x: where(x > 0, x**1.5, 0),                  {0: (0, 0, 0), -1: (0, 0, 0), 4: (3, 3/8, -3/64)}),
    "where x**-2":        (lambda x: where(x != 0, x**-2, 7),                  {0: (0, 0, 0), 1: (-2, 6, -24)}),
    "where x**x":         (lambda x: where(x > 0, x**x, 1),                    {0: (0, 0, 0), -1: (0, 0, 0), 1: (1, 2, 3)}),
    "where arccos":       (lambda x: where(abs(x) < 1, sg.arccos(x), 0),       {1: (0, 0, 0), -1: (0, 0, 0), 2: (0, 0, 0), 0: (-1, 0, -1)}),
    "where arcsin":       (lambda x: where(abs(x) < 1, sg.arcsin(x), x),       {1: (1, 0, 0), 2: (1, 0, 0), 0: (1, 0, 1)}),
    "where arctanh":      (lambda x: where(abs(x) < 1, sg.arctanh(x), 0),      {1: (0, 0, 0), -3: (0, 0, 0), 0: (1, 0, 2)}),
    "where arccosh":      (lambda x: where(x > 1, sg.arccosh(x), 0),           {1: (0, 0, 0), 0: (0, 0, 0)}),
    "where log1p":        (lambda x: where(x > -1, sg.log1p(x), 0),            {-1: (0, 0, 0), -2: (0, 0, 0), 1: (1/2, -1/4, 1/4)}),
    "where cbrt":         (lambda x: where(x != 0, sg.cbrt(x), 0),             {0: (0, 0, 0), 1: (1/3, -2/9, 10/27)}),
    "where xlogy":        (lambda x: where(x > 0, sg.xlogy(2, x), 0),          {0: (0, 0, 0), -1: (0, 0, 0), 2: (1, -1/2, 1/2)}),
    "where entr":         (lambda x: where(x > 0, sg.entr(x), 0),              {0: (0, 0, 0), -1: (0, 0, 0), 1: (-1, -1, 1)}),
    "where log2":         (lambda x: where(x > 0, sg.log2(x) * np.log(2), 0),  {0: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "where erfinv":       (lambda x: where(abs(x) < 1, sg.erfinv(x), 0),       {1: (0, 0, 0), -1: (0, 0, 0), 2: (0, 0, 0)}),
    "where gammaln":      (lambda x: where(x > 0, sg.gammaln(x), 0),           {0: (0, 0, 0), -1: (0, 0, 0)}),
    "where exp overflow": (lambda x: where(x < 700, sg.exp(x), 0),             {1000: (0, 0, 0), 0: (1, 1, 1)}),
    "where nan":          (lambda x: where(sg.isnan(x), 0, sg.exp(x)),         {NAN: (0, 0, 0), 0: (1, 1, 1)}),
    "where nan product":  (lambda x: where(sg.isnan(x), 2, x * x * x),         {NAN: (0, 0, 0), 1: (3, 6, 6)}),
    "where inf":          (lambda x: where(sg.isinf(x), 0, x * sg.exp(-x)),    {INF: (0, 0, 0), -INF: (0, 0, 0), 0: (1, -2, 3)}),
    "chain in a branch":  (lambda x: where(x > 0, log(sqrt(x) / x), 0),        {0: (0, 0, 0), -1: (0, 0, 0), 1: (-1/2, 1/2, -1)}),
    "product in a branch": (lambda x: where(x > 0, x * log(x), 0),             {0: (0, 0, 0), -1: (0, 0, 0), 1: (1, 1, -1)}),
    "double where":       (lambda x: where(x > 0, log(where(x > 0, x, 1)), 0), {0: (0, 0, 0), -1: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "where inside log":   (lambda x: log(where(x > 0, x, 0)),                  {-1: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "sqrt of where":      (lambda x: sqrt(where(x > 0, x, 0)),                 {-1: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "sqrt of relu":       (lambda x: sqrt(sg.relu(x)),                         {-1: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "sqrt of maximum":    (lambda x: sqrt(sg.maximum(x, 0)),                   {-1: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "sqrt of clip":       (lambda x: 2 * sqrt(sg.clip(x, 0, 9)),               {-1: (0, 0, 0), 10: (0, 0, 0), 4: (1/2, -1/16, 3/128)}),
    "1/where":            (lambda x: 1 / where(x > 0, x, 0),                   {-1: (0, 0, 0), 1: (-1, 2, -6)}),
    "where inside arccos": (lambda x: sg.arccos(where(x < 1, x, 0)),           {1: (0, 0, 0), 2: (0, 0, 0), 0: (-1, 0, -1)}),
    "nested where":       (lambda x: where(x > 0, where(x > 1, log(x - 1), 1 / x), 0), {0: (0, 0, 0), 1: (-1, 2, -6), 2: (1, -1, 2)}),
    "piecewise":          (lambda x: where(x < 0, x * x, where(x < 1, sqrt(x + 1), log(x))), {-1: (-2, 2, 0), 0: (1/2, -1/4, 3/8), 1: (1, -1, 2)}),
    "two uses":           (lambda x: where(x > 0, log(x), 0) + where(x > 1, log(x) ** 2, 0), {0: (0, 0, 0), 1: (1, -1, 2)}),
    "function of where":  (lambda x: sg.exp(where(x > 0, sqrt(x), 0)) - 1,     {0: (0, 0, 0), -1: (0, 0, 0)}),
    "sum of a branch":    (lambda x: where(x > 0, sg.sum(sg.stack([log(x), sqrt(x)]), axis=0), 0), {0: (0, 0, 0), 1: (3/2, -5/4, 19/8)}),

    # Selection by the value itself
    "maximum of sqrt":    (lambda x: sg.maximum(sqrt(x), 1),                   {0: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "maximum of log":     (lambda x: sg.maximum(-5, log(x)),                   {0: (0, 0, 0), 1: (1, -1, 2)}),
    "minimum of 1/x":     (lambda x: sg.minimum(1 / x, 8),                     {0: (0, 0, 0), 1: (-1, 2, -6)}),
    "fmax of log":        (lambda x: sg.fmax(log(x), 0),                       {0: (0, 0, 0), -1: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "fmin of log":        (lambda x: sg.fmin(3, log(x)),                       {-1: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "clip of 1/x":        (lambda x: sg.clip(1 / x, -9, 9),                    {0: (0, 0, 0), 1: (-1, 2, -6)}),
    "clip of log":        (lambda x: sg.clip(log(x), -3, 3),                   {0: (0, 0, 0), 2: (1/2, -1/4, 1/4), 1e9: (0, 0, 0)}),
    "relu of log":        (lambda x: sg.relu(log(x)),                          {0: (0, 0, 0), 0.5: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),
    "relu of sqrt":       (lambda x: sg.relu(sqrt(x)),                         {0: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "max of a stack":     (lambda x: sg.max(sg.stack([sqrt(x), x * 0 + 1]), axis=0), {0: (0, 0, 0), 4: (1/4, -1/32, 3/256)}),
    "min of a stack":     (lambda x: sg.min(sg.stack([1 / x, x * 0 + 8]), axis=0), {0: (0, 0, 0), 1: (-1, 2, -6)}),
    "nan_to_num":         (lambda x: sg.nan_to_num(log(x), neginf=-9.0),       {0: (0, 0, 0), 2: (1/2, -1/4, 1/4)}),

    # Kinks
    "relu":               (lambda x: sg.relu(x),                               {0: (0, 0, 0), -1: (0, 0, 0), 1: (1, 0, 0)}),
    "relu of a square":   (lambda x: sg.relu(x * x * x),                       {0: (0, 0, 0), -1: (0, 0, 0), 1: (3, 6, 6)}),
    "abs":                (lambda x: abs(x),                                   {0: (0, 0, 0), -2: (-1, 0, 0), 2: (1, 0, 0)}),
    "abs cubed":          (lambda x: abs(x) ** 3,                              {0: (0, 0, 0), -2: (-12, 12, -6), 2: (12, 12, 6)}),
    "x abs(x)":           (lambda x: x * abs(x),                               {0: (0, 0, 0), 2: (4, 2, 0)}),
    "hypot(x, 0)":        (lambda x: sg.hypot(x, 0.0),                         {0: (0, 0, 0), 2: (1, 0, 0)}),
    "norm of one":        (lambda x: F.norm(sg.stack([x, x]), axis=0), {0: (0, 0, 0), 1: (2**0.5, 0, 0)}),
    "maximum tie":        (lambda x: sg.maximum(x, 0),                         {0: (1/2, 0, 0), 1: (1, 0, 0), -1: (0, 0, 0)}),
    "maximum(x, -x)":     (lambda x: sg.maximum(x, -x),                        {0: (0, 0, 0), 1: (1, 0, 0)}),
    "maximum(x, x)":      (lambda x: sg.maximum(x, x),                         {0: (1, 0, 0), 1: (1, 0, 0)}),
    "minimum tie":        (lambda x: sg.minimum(3 * x, x),                     {0: (2, 0, 0), 1: (1, 0, 0), -1: (3, 0, 0)}),
    "max tie":            (lambda x: sg.max(sg.stack([x, 3 * x, 5 * x]), axis=0), {0: (3, 0, 0), 1: (5, 0, 0), -1: (1, 0, 0)}),
    "clip at a bound":    (lambda x: sg.clip(x, -1, 1),                        {1: (1/2, 0, 0), -1: (1/2, 0, 0), 0: (1, 0, 0), 2: (0, 0, 0)}),
    "sign":               (lambda x: sg.sign(x) * x,                           {0: (0, 0, 0), -2: (-1, 0, 0)}),

    # Powers at 0 are exact
    **{f"x**{n}":         (lambda x, n=n: x**n,                                {0: tuple(float(np.prod(range(n - k + 1, n + 1))) if k == n else 0.0 for k in (1, 2, 3))})
       for n in range(6)},
    "x**2.0":             (lambda x: x**2.0,                                   {0: (0, 2, 0), -1: (-2, 2, 0)}),
    "x**array(3)":        (lambda x: x ** np.array([3.0]),                     {0: (0, 0, 6), -1: (3, -6, 6)}),
    "x**array(1)":        (lambda x: x ** np.array([1.0]),                     {0: (1, 0, 0), -1: (1, 0, 0)}),
    "x**array(0)":        (lambda x: x ** np.array([0.0]),                     {0: (0, 0, 0), -1: (0, 0, 0)}),
    "square":             (lambda x: sg.square(x),                             {0: (0, 2, 0)}),
    "prod of a stack":    (lambda x: sg.prod(sg.stack([x, x, x + 1]), axis=0), {0: (0, 2, 6), 1: (5, 8, 6)}),
    "prod of two zeros":  (lambda x: sg.prod(sg.stack([x, 2 * x, x]), axis=0), {0: (0, 0, 12), 1: (6, 12, 12)}),
    "cumprod":            (lambda x: sg.sum(sg.cumprod(sg.stack([x, x, x]), axis=0), axis=0), {0: (1, 2, 6), 1: (6, 8, 6)}),

    # Functions with a removable point
    "sinc":               (lambda x: sg.sinc(x),                               {0: (0, -np.pi**2 / 3, 0), 1: (-1, 2, np.pi**2 - 6)}),
    "i1":                 (lambda x: sg.i1(x),                                 {0: (1/2, 0, 3/8)}),
    "j1":                 (lambda x: sg.j1(x),                                 {0: (1/2, 0, -3/8)}),
    "i0":                 (lambda x: sg.i0(x),                                 {0: (0, 1/2, 0)}),
    "j0":                 (lambda x: sg.j0(x),                                 {0: (0, -1/2, 0)}),
    "xlogy(x, y)":        (lambda x: sg.xlogy(x - x, x),                       {2: (0, 0, 0)}),

    # Stable forms
    "log(1 + exp)":       (lambda x: log(1 + sg.exp(x)),                       {1000: (1, 0, 0), -1000: (0, 0, 0), 0: (1/2, 1/4, 0)}),
    "softplus":           (lambda x: sg.softplus(x),                           {1000: (1, 0, 0), -1000: (0, 0, 0), 0: (1/2, 1/4, 0)}),
    "log(sigmoid)":       (lambda x: log(sg.sigmoid(x)),                       {1000: (0, 0, 0), -1000: (1, 0, 0), 0: (1/2, -1/4, 0)}),
    "log(1 - sigmoid)":   (lambda x: log(1 - sg.sigmoid(x)),                   {1000: (-1, 0, 0), -1000: (0, 0, 0), 0: (-1/2, -1/4, 0)}),
    "sigmoid":            (lambda x: sg.sigmoid(x),                            {1000: (0, 0, 0), -1000: (0, 0, 0), 0: (1/4, 0, -1/8)}),
    "tanh":               (lambda x: sg.tanh(x),                               {1000: (0, 0, 0), -1000: (0, 0, 0), 0: (1, 0, -2)}),
    "logaddexp":          (lambda x: sg.logaddexp(x, -x),                      {1000: (1, 0, 0), -1000: (-1, 0, 0), 0: (0, 1, 0)}),
    "logsumexp":          (lambda x: sg.logsumexp(sg.stack([x, -x]), axis=0),  {1000: (1, 0, 0), -1000: (-1, 0, 0), 0: (0, 1, 0)}),
    "log(sum(exp))":      (lambda x: log(sg.sum(sg.exp(sg.stack([x, -x])), axis=0)), {1000: (1, 0, 0), -1000: (-1, 0, 0), 0: (0, 1, 0)}),
    "softmax":            (lambda x: sg.softmax(sg.stack([x, -x]), axis=0)[0], {1000: (0, 0, 0), -1000: (0, 0, 0), 0: (1/2, 0, -1)}),
    "log(softmax)":       (lambda x: log(sg.softmax(sg.stack([x, -x]), axis=0))[0], {1000: (0, 0, 0), -1000: (2, 0, 0), 0: (1, -1, 0)}),
    "log_softmax":        (lambda x: sg.log_softmax(sg.stack([x, -x]), axis=0)[0], {1000: (0, 0, 0), -1000: (2, 0, 0), 0: (1, -1, 0)}),
    "expm1 of log1p":     (lambda x: sg.expm1(sg.log1p(x)),                    {0: (1, 0, 0), 1: (1, 0, 0)}),
}
# fmt: on


def forward(y, x):
    return sg.jvp(y, x, sg.ones_like(x))


def reverse(y, x):
    return sg.vjp(y, x, sg.ones_like(y), unused="zero")


MODES = [modes for order in (1, 2, 3) for modes in itertools.product((reverse, forward), repeat=order)]


def derivatives(function, points, dtype="float64"):
    """For each mix of modes the derivative of an elementwise function at the points, as graphs."""
    x = symbol("x", (len(points),), dtype)
    known = {(): function(x)}
    for modes in MODES:
        known[modes] = modes[-1](known[modes[:-1]], x)
    return x, [known[modes] for modes in MODES]


@pytest.mark.parametrize("name", TABLE)
def test_derivatives_at_singular_points(name):
    function, table = TABLE[name]
    points = np.array(list(table), float)
    x, found = derivatives(function, points)
    results = {"interpreted": interpret(found, {x: points})}
    for optimize in (True, False):
        compiled = sg.function([x], [*found, x], optimize=optimize)
        with np.errstate(all="ignore"):
            *results[f"optimize={optimize}"], _ = compiled(points)
    for how, values in results.items():
        for modes, value in zip(MODES, values, strict=True):
            expected = [table[p][len(modes) - 1] for p in table]
            label = f"{name} at {points}, {how}, {' of '.join(m.__name__ for m in reversed(modes))}"
            np.testing.assert_allclose(value, expected, rtol=1e-9, atol=1e-9, err_msg=label)


@pytest.mark.parametrize(
    "name", ["where log", "maximum of sqrt", "abs", "x**2", "relu of log", "clip of 1/x", "where nan"]
)
def test_conventions_hold_in_single_precision(name):
    function, table = TABLE[name]
    points = np.array(list(table), np.float32)
    x, found = derivatives(function, points, "float32")
    with np.errstate(all="ignore"):
        values = sg.function([x], found)(points)
    for modes, value in zip(MODES, values, strict=True):
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, [table[p][len(modes) - 1] for p in table], rtol=1e-5, atol=1e-6)


# Several operands, and masks on their way through other ops ----------------------------------------------------------


def both_ways(build, *values):
    """Gradients of the sum of `build`, which must be 0 in the second entry of each operand, where the mask is off."""
    values = [np.asarray(v, float) for v in values]
    xs = [symbol(f"x{i}", v.shape) for i, v in enumerate(values)]
    y = build(np.array([True, False, True]), *xs)
    first = sg.vjp(y, xs, sg.ones_like(y), unused="zero")
    second = [g for f in first for g in sg.vjp(f, xs, sg.ones_like(f), unused="zero")]
    tangent = sg.jvp(y, xs, [sg.ones_like(x) for x in xs])
    mixed = sg.jvp(first, xs, [sg.ones_like(x) for x in xs])
    for optimize in (True, False):
        with np.errstate(all="ignore"):
            found = sg.function(xs, [first, second, tangent, mixed], optimize=optimize)(*values)
        yield found


OFF = [2.0, 0.0, 3.0]  # log and its like are singular in the place that the mask leaves out

THROUGH = {
    "reshape": lambda m, x: where(m, sg.reshape(sg.reshape(log(x), (3, 1)), (3,)), 0),
    "transpose": lambda m, x: where(m[:, None], sg.transpose(sg.reshape(log(x), (1, 3))), 0),
    "flip": lambda m, x: where(m[::-1], sg.flip(log(x)), 0),
    "slice": lambda m, x: where(m[::-1], log(x)[::-1], 0),
    "take": lambda m, x: where(m[[2, 1, 0, 1]], log(x)[np.array([2, 1, 0, 1])], 0),
    "concatenate": lambda m, x: where(np.r_[m, m], sg.concatenate([log(x), sqrt(x)]), 0),
    "stack": lambda m, x: where(m, sg.stack([log(x), sqrt(x)]), 0),
    "broadcast": lambda m, x: where(m, sg.broadcast_to(log(x), (2, 3)), 0),
    "broadcast by where": lambda m, x: where(np.tile(m, (2, 1)), log(x), 0),
    "sum": lambda m, x: where(m, sg.sum(sg.stack([log(x), 1 / x]), axis=0), 0),
    "mean": lambda m, x: where(m, sg.mean(sg.stack([log(x), 1 / x]), axis=0), 0),
    "squeeze": lambda m, x: where(m, sg.squeeze(sg.expand_dims(log(x), 0), 0), 0),
    "max": lambda m, x: where(m, sg.max(sg.stack([log(x), 1 / x]), axis=0), 0),
    "pad": lambda m, x: where(np.r_[False, m, False], sg.pad(log(x), 1), 0),
    "astype": lambda m, x: where(m, log(x).astype("float32"), 0),
    "multiply": lambda m, x: where(m, log(x) * sqrt(x) * x, 0),
    "nested": lambda m, x: where(m, sg.tanh(where(x > -1, log(x), 0)), 0),
}


@pytest.mark.parametrize("name", THROUGH)
def test_masks_follow_structure(name):
    for first, second, tangent, mixed in both_ways(THROUGH[name], OFF):
        for g in (*first, *second, *mixed):
            assert np.isfinite(g).all(), name
            assert g[1] == 0, name
            assert np.any(g != 0), name
        assert np.isfinite(tangent).all()


@pytest.mark.parametrize(
    "build",
    [
        lambda m, x, y: where(m, x / y, 0),
        lambda m, x, y: where(m, x**y, 0) + where(m, y**x, 0),
        lambda m, x, y: where(m, sg.arctan2(x - 2, y), 0),
        lambda m, x, y: where(m, sg.xlogy(x, y), 0),
        lambda m, x, y: where(m, sg.hypot(x, y) * log(y), 0),
        lambda m, x, y: where(m, sg.logaddexp(log(x), log(y)), 0),
    ],
)
def test_masks_with_two_operands(build):
    for first, second, tangent, mixed in both_ways(build, [2.5, 2.0, 1.5], OFF):
        for g in (*first, *second, *mixed):
            assert np.isfinite(g).all()
            assert g[1] == 0
        assert np.isfinite(tangent).all()


def test_nan_in_the_branch_not_taken():
    m = np.array([True, False, True])
    x, y = symbol("x", 3), symbol("y", 3)
    z = where(m, sg.exp(x) * y, x)
    gx, gy = sg.vjp(z, [x, y], sg.ones_like(z))
    found = sg.function([x, y], [gx, gy])(np.array([0.0, 1.0, 2.0]), np.array([2.0, np.nan, 3.0]))
    np.testing.assert_allclose(found[0], [2, 1, 3 * np.exp(2)])
    np.testing.assert_allclose(found[1], [1, 0, np.exp(2)])


def test_unmasked_code_keeps_ieee_meaning():
    """Nothing is silently zeroed: 0 times an infinite derivative is nan, as NumPy says."""
    x = symbol("x", 2)
    g = sg.vjp(0 * sqrt(x), x, np.ones(2))
    with np.errstate(all="ignore"):
        assert np.isnan(sg.function([x], g, optimize=False)(np.zeros(2))).all()
        assert np.isinf(sg.function([x], sg.vjp(sqrt(x), x, np.ones(2)))(np.zeros(2))).all()


def test_a_use_outside_the_mask_is_not_hidden():
    x = symbol("x", 2)
    h = log(x)
    g = sg.vjp(where(x > 0, h, 0) + h, x, np.ones(2))
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(sg.function([x], g)(np.array([0.0, 1.0])), [np.inf, 2])


def test_ties_share_evenly():
    x, y = symbol("x", 3), symbol("y", 3)
    a, b = np.array([1.0, 2.0, 0.0]), np.array([1.0, 1.0, -0.0])
    for op, wins in ((sg.maximum, [0.5, 1, 0.5]), (sg.minimum, [0.5, 0, 0.5]), (sg.fmax, [0.5, 1, 0.5])):
        z = op(x, y)
        gx, gy = sg.function([x, y], sg.vjp(z, [x, y], np.ones(3)))(a, b)
        np.testing.assert_array_equal(gx, wins)
        np.testing.assert_array_equal(gx + gy, 1)
    m = symbol("m", (2, 4))
    value = np.array([[3.0, 1, 3, 3], [0, 0, -0.0, 0]])
    for op, ties in ((sg.max, [[1 / 3, 0, 1 / 3, 1 / 3], [1 / 4] * 4]), (sg.min, [[0, 1, 0, 0], [1 / 4] * 4])):
        found = sg.function([m], sg.grad(sg.sum(op(m, axis=1)), m))(value)
        np.testing.assert_allclose(found, ties)


def test_norm_at_zero():
    m = symbol("m", (2, 3))
    value = np.array([[0.0, 0, 0], [3, 0, 4]])
    y = sg.sum(F.norm(m, axis=1))
    first = sg.grad(y, m)
    second = sg.hvp(y, m, np.ones((2, 3)))
    for optimize in (True, False):
        g, h = sg.function([m], [first, second], optimize=optimize)(value)
        np.testing.assert_allclose(g, [[0, 0, 0], [0.6, 0, 0.8]])
        np.testing.assert_allclose(h[1], (np.ones(3) - value[1] * 7 / 25) / 5)
        assert np.isfinite(h).all()


def test_power_with_a_symbolic_exponent_is_exact_at_zero():
    x, n = symbol("x", 4), symbol("n", 4)
    y = x**n
    first = sg.vjp(y, x, np.ones(4))
    second = sg.vjp(first, x, np.ones(4))
    third = sg.vjp(second, x, np.ones(4))
    for optimize in (True, False):
        with np.errstate(all="ignore"):
            g, h, k = sg.function([x, n], [first, second, third], optimize=optimize)(np.zeros(4), np.arange(4.0))
        np.testing.assert_array_equal(g, [0, 1, 0, 0])
        np.testing.assert_array_equal(h, [0, 0, 2, 0])
        np.testing.assert_array_equal(k, [0, 0, 0, 6])


def test_power_in_the_exponent_at_base_zero():
    x, n = symbol("x", 3), symbol("n", 3)
    g = sg.vjp(x**n, n, np.ones(3))
    found = sg.function([x, n], g)(np.array([0.0, 2.0, 0.0]), np.array([2.0, 3.0, 0.5]))
    np.testing.assert_allclose(found, [0, 8 * np.log(2), 0])


# hazards -------------------------------------------------------------------------------------------------------------


def test_hazards_name_the_place():
    x = symbol("x", 3)
    y = sg.sum(sqrt(x))
    found = sg.hazards(sg.grad(y, x))
    text = "\n".join(map(str, found))
    assert found and "sqrt" in text and "x = 0" in text and "test_hazards.py" in text


def test_safe_graphs_have_no_hazards():
    x = symbol("x", 3)
    assert not sg.hazards(sg.sum(sg.tanh(x) * sg.exp(-x * x) + sg.softplus(x)))
