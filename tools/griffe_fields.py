"""For the reference: the description of a pydantic field is its docstring, and the field's default its value.

An extension of Griffe, which ``mkdocs.yml`` names. Without it a field that is described by ``Field(description=…)``
alone is missing from the reference. ``griffe-pydantic`` would show it, too, but its template fails for a field of this
package (1.3.2: "'NoneType' object is not iterable").
"""

from __future__ import annotations

import ast
from typing import Any

import griffe


class FieldDescriptions(griffe.Extension):  # type: ignore[misc]  # mypy does not follow griffe: see pyproject.toml
    """Reads the call of ``Field`` to which an annotated attribute is set."""

    def on_attribute_instance(self, *, node: Any, attr: griffe.Attribute, **_: Any) -> None:
        """Called for each attribute, with its statement in ``node``."""
        call = node.value if isinstance(node, ast.AnnAssign) else None
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.func.id != "Field":
            return
        given = {keyword.arg: keyword.value for keyword in call.keywords}
        description = given.get("description")
        if attr.docstring is None and isinstance(description, ast.Constant):
            attr.docstring = griffe.Docstring(str(description.value), parent=attr)
        if "default" in given:
            attr.value = ast.unparse(given["default"])
        elif "default_factory" in given:
            attr.value = f"{ast.unparse(given['default_factory'])}()"
        else:
            attr.value = None
