"""The base classes of all messages: pydantic models, snake_case in Python, camelCase on the wire.

Two rules of LM Studio's wire format are implemented here only. A key that is absent is not the same as a key that is
``null``, so optional attributes that are ``None`` leave no key behind. And its schemas strip keys that they do not
know, so unknown keys are no error when reading.

Modules with models have no ``from __future__ import annotations``: pydantic would have to compile every annotation
while the package is imported, a sixth of the time that takes.
"""

import math
import numbers
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    StrictInt,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from lmstudio_integrations.errors import LMStudioValueError

__all__ = ["LenientModel", "Number", "WireInt", "WireModel", "to_camel", "to_jsonable"]

_ATOMS = frozenset((str, int, float, bool, type(None)))

_USUAL = 2**53
"""Below it, an integer needs no further check."""


def _whole(value: Any) -> Any:
    """JSON knows one kind of number: ``1.0`` is an integer, ``true`` and ``"1"`` are not. numpy's integers are."""
    if type(value) is int and -_USUAL < value < _USUAL:
        return value
    if isinstance(value, float):
        return int(value) if value.is_integer() else value
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        return value
    _check_finite(value)
    return int(value)


def _finite(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise ValueError("not a number")
    _check_finite(value)
    if isinstance(value, int | float):
        return value
    return int(value) if isinstance(value, numbers.Integral) else float(value)


def _check_finite(value: Any) -> None:
    """Raise ``ValueError`` for what is infinite in the double precision that JSON's readers have."""
    try:
        finite = math.isfinite(value)
    except OverflowError:
        finite = False
    if not finite:
        raise ValueError("not a finite number")


WireInt = Annotated[StrictInt, BeforeValidator(_whole)]
"""An integer as JSON has it: ``3`` and ``3.0``, but neither ``true`` nor ``"3"`` nor ``3.5``."""

Number = Annotated[int | float, BeforeValidator(_finite)]
"""A finite number, no boolean; integers stay integers, so that the same value makes the same bytes."""


def to_camel(name: str) -> str:
    """``snake_case`` to ``camelCase``; pydantic's own costs a regular expression per field when importing."""
    first, *rest = name.split("_")
    return first + "".join([word[:1].upper() + word[1:] for word in rest])


class WireModel(BaseModel):
    """The base of what is sent and received.

    ``NULLABLE`` names the attributes that the wire allows to be ``null``; they are written when they were set.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="ignore",
        defer_build=True,
        protected_namespaces=(),
    )
    NULLABLE: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_wire(cls, raw: Any) -> Self:
        """Read the JSON form as strictly as LM Studio's own schema does (camelCase only, no stray ``null``).

        Raises:
            ValueError: it does not fit.
        """
        made = cls.model_validate(raw, by_alias=True, by_name=False)
        _refuse_null(made, cls.__name__)
        return made

    @classmethod
    def validate_args(cls, **values: Any) -> Self:
        """Construct an object from what a user has passed.

        Raises:
            LMStudioValueError: a value does not fit; the message names it.
        """
        try:
            return cls(**values)
        except ValidationError as error:
            raise LMStudioValueError(_explain(cls.__name__, error)) from None

    def to_wire(self) -> dict[str, Any]:
        """The JSON form: camelCase keys in the order of declaration, ``None`` left out (but see ``NULLABLE``)."""
        wire: dict[str, Any] = {}
        values = self.__dict__
        for name, key in _keys(type(self)):
            value = values[name]
            if value is None and not (name in self.NULLABLE and name in self.model_fields_set):
                continue
            wire[key] = value if type(value) in _ATOMS else to_jsonable(value)
        for name, value in (self.model_extra or {}).items():
            wire[name] = to_jsonable(value)
        return wire

    def to_dict(self) -> dict[str, Any]:
        """``to_wire``, under the official SDK's name."""
        return self.to_wire()

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """The object of a dictionary under LM Studio's names, such as ``to_dict`` returns."""
        return cls.model_validate(data)


class LenientModel(WireModel):
    """The base of what the server sends. An optional attribute of the wrong type gets its default."""

    @field_validator("*", mode="wrap")
    @classmethod
    def _default_if_invalid(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        try:
            return handler(value)
        except ValidationError:
            if info.field_name is None:  # pydantic 2.12: another validator wraps this one, on a required field
                raise
            field = cls.model_fields[info.field_name]
            if field.is_required():
                raise
            return field.get_default(call_default_factory=True)


@cache
def _keys(kind: type[WireModel]) -> tuple[tuple[str, str], ...]:
    """Each attribute and its key, looked up once: pydantic takes microseconds to return it."""
    kind.model_rebuild()  # it is built at its first use, and has no aliases before
    return tuple((name, field.serialization_alias or name) for name, field in kind.model_fields.items())


def _refuse_null(value: Any, path: str) -> None:
    """Refuse ``null`` where LM Studio would refuse the complete request for it; an absent key is allowed."""
    if isinstance(value, WireModel):
        for name in value.model_fields_set.intersection(type(value).model_fields):
            item = getattr(value, name)
            if item is None and name not in value.NULLABLE:
                raise ValueError(f"{path}.{name} is null, which is not the same as an absent key")
            _refuse_null(item, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_null(item, f"{path}[{index}]")


def to_jsonable(value: Any) -> Any:
    """The JSON form of a value that may be, or hold, models."""
    if type(value) in _ATOMS:
        return value
    if isinstance(value, WireModel):
        return value.to_wire()
    if isinstance(value, list | tuple):
        if _ATOMS.issuperset(map(type, value)):  # an embedding, the ids of a long text
            return list(value)
        return [to_jsonable(item) for item in value]
    if isinstance(value, dict):
        return {key: to_jsonable(item) for key, item in value.items()}
    return value


def _explain(name: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(step) for step in first["loc"])
    return f"{name}: {where or 'value'}: {first['msg']}"
