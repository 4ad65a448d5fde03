"""SQLAlchemy's asyncio engine without its ORM.

`sqlalchemy.ext.asyncio` imports `AsyncSession` and with it the whole ORM, which nothing here uses and which costs
0.3 s at every start of the server and of the command (measured on one core of a small server). The engine's own module
needs nothing of it, so it is imported alone; whoever imports the package later gets it whole.
"""

import importlib.util
import sys

_PACKAGE = "sqlalchemy.ext.asyncio"

if _PACKAGE not in sys.modules:
    _spec = importlib.util.find_spec(_PACKAGE)
    assert _spec is not None
    sys.modules[_PACKAGE] = importlib.util.module_from_spec(_spec)  # found by the next import, never executed
    try:
        from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine
    finally:
        del sys.modules[_PACKAGE]
else:
    from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]
