"""Training steps and gradients in each framework, for the workloads that differ in nothing but their loss.

`loss(weights, *inputs)` is written in the framework's own functions; a step is one of gradient descent, w <- w - rate * g,
and returns the loss before it. Weights are updated in place or donated wherever the framework can.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from .base import Case

Arrays = Sequence[np.ndarray[Any, Any]]
Loss = Callable[..., Any]


# JAX -----------------------------------------------------------------------------------------------------------------


def jax_for(*arrays: Any) -> Any:
    """JAX, with float64 where the arrays need it."""
    import jax

    jax.config.update("jax_enable_x64", any(a.dtype in (np.float64, np.int64) for a in arrays if a.dtype.kind == "f"))
    return jax


def jax_step(loss: Loss, weights: Arrays, inputs: Arrays, rate: float) -> Case:
    jax = jax_for(*weights)
    kept = [jax.numpy.array(w) for w in weights]
    given = [jax.numpy.array(x) for x in inputs]

    @partial(jax.jit, donate_argnums=0)
    def step(weights: Any, *inputs: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(weights, *inputs)
        return value, [w - rate * g for w, g in zip(weights, gradients)]

    def call(*inputs: Any) -> Any:
        nonlocal kept
        value, kept = step(kept, *inputs)
        return value.block_until_ready()  # one program: the weights are ready with it

    return Case(call, tuple(given), lambda: kept)


def jax_gradients(loss: Loss, weights: Arrays, inputs: Arrays) -> Case:
    jax = jax_for(*weights)
    gradients = jax.jit(jax.value_and_grad(loss))

    def call(*given: Any) -> Any:
        value, found = gradients(*given)
        value.block_until_ready()
        return value, found

    return Case(call, ([jax.numpy.array(w) for w in weights], *[jax.numpy.array(x) for x in inputs]))


# PyTorch -------------------------------------------------------------------------------------------------------------


def torch_step(loss: Loss, weights: Arrays, inputs: Arrays, rate: float) -> Case:
    import torch

    kept = [torch.tensor(w).requires_grad_() for w in weights]

    def call(*inputs: Any) -> Any:
        value = loss(kept, *inputs)
        gradients = torch.autograd.grad(value, kept)
        with torch.no_grad():
            torch._foreach_add_(kept, gradients, alpha=-rate)  # what torch.optim.SGD(foreach=True) runs
        return value.detach()

    return Case(call, tuple(torch.tensor(x) for x in inputs), lambda: [w.detach() for w in kept])


def torch_compile_step(loss: Loss, weights: Arrays, inputs: Arrays, rate: float) -> Case:
    """Forward, backward and update in one compiled graph: faster than compiling the loss alone."""
    import torch

    kept = [torch.tensor(w) for w in weights]

    @torch.compile(dynamic=False)
    def call(*inputs: Any) -> Any:
        gradients, value = torch.func.grad_and_value(loss)(kept, *inputs)
        for w, g in zip(kept, gradients):
            w.sub_(g, alpha=rate)
        return value

    return Case(call, tuple(torch.tensor(x) for x in inputs), lambda: kept)


def torch_gradients(loss: Loss, weights: Arrays, inputs: Arrays) -> Case:
    import torch

    def call(weights: Any, *inputs: Any) -> Any:
        value = loss(weights, *inputs)
        return value.detach(), torch.autograd.grad(value, weights)

    return Case(call, ([torch.tensor(w).requires_grad_() for w in weights], *[torch.tensor(x) for x in inputs]))


def torch_compile_gradients(loss: Loss, weights: Arrays, inputs: Arrays) -> Case:
    import torch

    @torch.compile(dynamic=False)
    def call(weights: Any, *inputs: Any) -> Any:
        gradients, value = torch.func.grad_and_value(loss)(weights, *inputs)
        return value, gradients

    return Case(call, ([torch.tensor(w) for w in weights], *[torch.tensor(x) for x in inputs]))


# PyTensor ------------------------------------------------------------------------------------------------------------


def pytensor_inputs(arrays: Arrays) -> list[Any]:
    """Symbols with the shapes and dtypes of the arrays."""
    import pytensor.tensor as pt

    return [pt.tensor(f"x{i}", dtype=x.dtype.name, shape=x.shape) for i, x in enumerate(arrays)]


def pytensor_step(loss: Loss, weights: Arrays, inputs: Arrays, rate: float) -> Case:
    import pytensor

    kept = [pytensor.shared(w.copy(), borrow=True, shape=w.shape) for w in weights]
    given = pytensor_inputs(inputs)
    value = loss(kept, *given)
    gradients = pytensor.grad(value, kept)
    updates = [(w, w - np.asarray(rate, w.dtype) * g) for w, g in zip(kept, gradients)]
    step = pytensor.function(given, value, updates=updates)
    step.trust_input = True
    return Case(step, tuple(inputs), lambda: [w.get_value() for w in kept])


def pytensor_gradients(loss: Loss, weights: Arrays, inputs: Arrays) -> Case:
    import pytensor

    given = pytensor_inputs([*weights, *inputs])
    value = loss(given[: len(weights)], *given[len(weights) :])
    f = pytensor.function(given, [value, *pytensor.grad(value, given[: len(weights)])])
    f.trust_input = True
    return Case(f, (*weights, *inputs))


# autograd ------------------------------------------------------------------------------------------------------------


def autograd_step(loss: Loss, weights: Arrays, inputs: Arrays, rate: float) -> Case:
    from autograd import value_and_grad

    kept = [w.copy() for w in weights]
    gradients = value_and_grad(loss)

    def call(*inputs: Any) -> Any:
        value, found = gradients(kept, *inputs)
        for w, g in zip(kept, found):
            w -= np.asarray(rate, w.dtype) * g
        return value

    return Case(call, tuple(inputs), lambda: kept)


def autograd_gradients(loss: Loss, weights: Arrays, inputs: Arrays) -> Case:
    from autograd import value_and_grad

    return Case(value_and_grad(loss), (list(weights), *inputs))


# CasADi --------------------------------------------------------------------------------------------------------------


def casadi_function(f: Any, arrays: Arrays) -> Case:
    """Calls through memory shared with NumPy, the fastest way into CasADi: arrays are read where they are, numbers are
    written in, and results stand in the same arrays after every call."""
    buffer, run = f.buffer()
    given = [np.array(np.ravel(a, order="F"), np.float64) for a in arrays]
    found = [np.empty(f.size_out(i), order="F") for i in range(f.n_out())]
    for i, a in enumerate(given):
        buffer.set_arg(i, memoryview(a))  # type: ignore[arg-type]
    for i, a in enumerate(found):
        buffer.set_res(i, memoryview(a.ravel(order="K")))  # type: ignore[arg-type]
    squeezed = [a.squeeze() for a in found]
    numbers = {i for i, a in enumerate(arrays) if np.ndim(a) == 0}

    def call(*values: Any) -> Any:
        for i, value in enumerate(values):
            if i in numbers:
                given[i][0] = value
            else:
                buffer.set_arg(i, memoryview(value))
        run()
        return squeezed

    call.alive = f, buffer, given  # type: ignore[attr-defined]
    return Case(call, tuple(float(a[0]) if i in numbers else a for i, a in enumerate(given)))


def casadi_step(f: Any, inputs: Arrays, weights: Arrays) -> Case:
    """A step (inputs, weights) -> (loss, new weights), whose new weights are copied over the old ones."""
    case = casadi_function(f, [*inputs, *weights])
    kept = case.call.alive[2][len(inputs) :]  # type: ignore[attr-defined]

    def call(*inputs: Any) -> Any:
        loss, *new = case.call(*inputs)  # the weights are read where they are
        for w, changed in zip(kept, new):
            w[...] = changed.ravel(order="K")
        return loss

    return Case(call, case.args[: len(inputs)], lambda: [w.reshape(v.shape, order="F") for w, v in zip(kept, weights)])
