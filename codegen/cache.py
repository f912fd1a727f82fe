"""How much memory a block may touch: asked of the system once for each process.

The text of this module, without this paragraph, stands in each generated module that has loops over blocks.
"""

import os

process = {}
"""What the functions of one process share: the size of the cache, and the pool of threads."""


def cache():
    """The bytes of cache that a block should stay in: as SYMGRAPH_CACHE_BYTES says, else the second level of this machine."""
    if "cache" not in process:
        size = os.environ.get("SYMGRAPH_CACHE_BYTES", "")
        try:
            if not size:
                with open("/sys/devices/system/cpu/cpu0/cache/index2/size") as file:
                    size = min(max(1024 * int(file.read().strip().rstrip("K")), 1 << 18), 1 << 22)
        except (OSError, ValueError):
            size = 1 << 20
        process["cache"] = int(size)
    return process["cache"]
