"""``ModelTemplate``: equal pydantic objects made many times, without validation and without sharing anything.

Streams make several objects for each token from values that this package has read itself, so there is nothing to
validate. Pydantic's four slots are set as ``BaseModel.model_construct`` sets them, which is many times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

__all__ = ["ModelTemplate"]

M = TypeVar("M", bound=BaseModel)

_new = object.__new__
_set = object.__setattr__
_IMMUTABLE = (str, int, float, bytes, frozenset, type)


class ModelTemplate(Generic[M]):
    """Makes objects like ``example``; ``given`` are the fields whose values differ.

    Every other field has its own default on each object: containers are copied and default factories called, also those
    of fields that a newer version of the class adds.

    Example:
        ```python
        from pydantic import BaseModel

        from lmstudio_integrations.client.model_template import ModelTemplate

        class TextBlock(BaseModel):
            text: str

        texts = ModelTemplate(TextBlock(text=""), "text")
        print(texts.make({"text": "Hello"}))
        #> text='Hello'
        ```

    ``compact``: Python keeps the values within the object, so that the garbage collector has one object less to visit;
    making it takes longer.
    """

    def __init__(self, example: M, *given: str, compact: bool = False) -> None:
        self._type = type(example)
        self._values = dict(example.__dict__)  # in the order of the fields, which dumps show
        self._factories = _factories(self._type, {name: self._values[name] for name in self._values.keys() - given})
        self._fields_set = example.__pydantic_fields_set__
        self._extra = example.__pydantic_extra__
        self._compact = compact
        # Private attributes are known only to the constructor.
        self._construct = example.__pydantic_private__ is not None

    def make(self, given: dict[str, Any], fields_set: set[str] | None = None) -> M:
        """An object with the values ``given``, which must be all that the template leaves open."""
        if self._construct:
            return self._type(**given)
        made = _new(self._type)
        values = self._values | given
        for name, factory in self._factories:
            values[name] = factory()
        if self._compact:
            for name, value in values.items():
                _set(made, name, value)
        else:
            _set(made, "__dict__", values)
        _set(made, "__pydantic_fields_set__", self._fields_set.copy() if fields_set is None else fields_set)
        _set(made, "__pydantic_extra__", None if self._extra is None else {})
        _set(made, "__pydantic_private__", None)
        return made


def _factories(kind: type[BaseModel], values: dict[str, Any]) -> list[tuple[str, Callable[[], Any]]]:
    """For each value that objects must not share, what makes a new one."""
    found: list[tuple[str, Callable[[], Any]]] = []
    for name, value in values.items():
        field = kind.model_fields.get(name)
        if type(value) in (list, dict, set) and not value:
            found.append((name, type(value)))
        elif field is not None and field.default_factory is not None:
            found.append((name, partial(field.get_default, call_default_factory=True)))
        elif value is not None and not isinstance(value, _IMMUTABLE):
            found.append((name, partial(deepcopy, value)))
    return found
