"""Which generated lines belong to which drawn nodes, both ways: see `explaining.links`."""

from ..explaining.links import Trace, trace

__all__ = ["Trace", "trace"]
