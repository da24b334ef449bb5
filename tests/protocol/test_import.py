from __future__ import annotations

from tests.fresh import run

UNUSED = """
import sys
import lmstudio_integrations
print(*(name for name in ("config_dicts", "envelope_models", "packets")
        if "lmstudio_integrations.protocol." + name in sys.modules))
"""


def test_importing_the_client_imports_no_models_that_only_few_programs_need() -> None:
    assert run(UNUSED).split() == []


def test_the_dictionaries_for_editors_can_be_had_from_the_package_and_are_listed_there() -> None:
    code = "import lmstudio_integrations as lms; print('GpuSettingDict' in dir(lms), lms.GpuSettingDict.__name__)"
    assert run(code).split() == ["True", "GpuSettingDict"]


def test_every_public_name_of_the_package_can_be_imported_at_once() -> None:
    code = "from lmstudio_integrations import *; import lmstudio_integrations; print({*lmstudio_integrations.__all__} <= {*globals()})"
    assert run(code).strip() == "True"
