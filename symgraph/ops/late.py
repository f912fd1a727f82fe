"""One late namespace, `F`, through which an op reaches functions of other families.

Derivative rules run long after every module is loaded, so `F.broadcast_to` inside the rule of `sum` needs no import and
makes no circle. `symgraph.numpy_api` and `symgraph.autodiff` fill it when they are imported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any


class Namespace:
    """Functions by name; asking for one that nobody has provided is an AttributeError that says so."""

    def provide(self, functions: dict[str, Any]) -> None:
        """Add functions to the namespace."""
        vars(self).update(functions)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


F = Namespace()
