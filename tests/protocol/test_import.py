from __future__ import annotations

from tests.fresh import run

UNUSED = """
import sys
import lmstudio_integrations
print(*(name for name in ("config_dicts", "envelope_models", "packets")
        if "lmstudio_integrations.protocol." + name in sys.modules))
"""


def test_import_of_the_client_skips_rarely_needed_models() -> None:
    assert run(UNUSED).split() == []


def test_typed_dicts_are_exported_by_the_package() -> None:
    code = "import lmstudio_integrations as lms; print('GpuSettingDict' in dir(lms), lms.GpuSettingDict.__name__)"
    assert run(code).split() == ["True", "GpuSettingDict"]


def test_every_public_name_can_be_imported() -> None:
    code = "from lmstudio_integrations import *; import lmstudio_integrations; print({*lmstudio_integrations.__all__} <= {*globals()})"
    assert run(code).strip() == "True"
