"""How much memory a block may touch: asked of the system once for each process.

The text of this module, without this paragraph, stands in each generated module that has loops over blocks.
"""

import os

asked: dict = {}


def cache():
    """The bytes of cache that a block should stay in: SYMGRAPH_CACHE_BYTES, else its second level."""
    if not asked:
        try:
            with open("/sys/devices/system/cpu/cpu0/cache/index2/size") as file:
                found = min(max(1024 * int(file.read().strip().rstrip("K")), 1 << 18), 1 << 22)
        except (OSError, ValueError):
            found = 1 << 20
        asked["bytes"] = int(os.environ.get("SYMGRAPH_CACHE_BYTES") or found)
    return asked["bytes"]
