"""Names of a package that are imported at their first use (PEP 562), so that importing the package stays cheap."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

__all__ = ["lazy"]


def lazy(
    package: str, homes: Mapping[str, str], submodules: Iterable[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` (the public names) for ``package``. ``homes``: each name, and its submodule.

    A home may also be ``"submodule:other_name"``, for a name that the submodule has under another one. Those
    submodules, and ``submodules`` besides, can be had as attributes, as if the package had imported them itself.
    """
    modules = {home for home in (*homes.values(), *submodules) if "." not in home}

    def find(name: str) -> Any:
        home = homes.get(name)
        if home is not None:
            module, _, attribute = home.partition(":")
            value = getattr(import_module(f"{package}.{module}"), attribute or name)
        elif name in modules:
            value = import_module(f"{package}.{name}")
        else:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        setattr(sys.modules[package], name, value)  # the next look finds it without coming here
        return value

    def names() -> list[str]:
        public = (module for module in modules if not module.startswith("_"))
        return sorted({*vars(sys.modules[package])["__all__"], *public})

    return find, names
