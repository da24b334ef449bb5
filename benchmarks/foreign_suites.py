"""``python -m benchmarks.foreign_suites SUITE CHECKOUT``: the tests of LM Studio's own SDKs, run against the emulator.

The suites: ``javascript`` (the heavy tests of lmstudio-js, with the published npm package ``@lmstudio/sdk``),
``python`` (the tests of lmstudio-python, with the checkout's own sources, as one of them may be newer than the
published package), and ``lms`` (the command, built from checkouts of lmstudio-js and, with ``--lms``, of lms).
CHECKOUT is a checkout of the repository, which you fetch yourself; nothing of it is copied into this repository, and
nothing in it is changed. Needs Node.js and npm, or uv or pip.

Prints the counts and each failure with the reason that is known for it; 1 if a failure has none.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import environments
from benchmarks.foreign_commands import build, run_commands
from benchmarks.foreign_scripts import JAVASCRIPT, PYTHON
from lmstudio_integrations.emulator import Emulator

__all__ = ["main"]

# The suite imports the sources beside it; the published package takes their place, and looks for the emulator.
_SDK = """
const sdk = require("@lmstudio/sdk");
class LMStudioClient extends sdk.LMStudioClient {
  constructor(options = {}) { super({ baseUrl: process.env.EMULATOR_URL, ...options }); }
}
module.exports = { ...sdk, LMStudioClient };
"""
_COMMON = """
exports.makePromise = () => {
  const made = {};
  made.promise = new Promise((resolve, reject) => Object.assign(made, { resolve, reject }));
  return made;
};
"""
# One suite fetches a picture from the web; nothing looks at more than its size, and this machine may be offline.
_FETCH = """
const picture = new Uint8Array(2165);
picture.set([0xff, 0xd8, 0xff, 0xe0]);
globalThis.fetch = async () => ({ arrayBuffer: async () => picture.buffer });
"""
_JEST = {
    "setupFiles": ["<rootDir>/fetch.js"],
    "testMatch": ["**/*.heavy.test.ts"],
    "transform": {r"^.+\.(t|j)sx?$": "@swc/jest"},
    "moduleNameMapper": {
        r"^(\./|\.\./)+(index|llm/tool|tool)\.js$": "<rootDir>/sdk.js",
        "^@lmstudio/lms-common$": "<rootDir>/common.js",
        r"^(\.{1,2}/.*\.heavy\.test)\.js$": "$1.ts",
    },
    "snapshotResolver": "<rootDir>/snapshots.js",
}
_SNAPSHOTS = """
const path = require("path");
module.exports = {
  resolveSnapshotPath: test => path.join(path.dirname(test), ".test-snapshots", path.basename(test) + ".snap"),
  resolveTestPath: snapshot => path.resolve(path.dirname(snapshot), "..", path.basename(snapshot, ".snap")),
  testPathForConsistencyCheck: path.resolve("checks", "example.test.js"),
};
"""
# What is in a packet by the published SDK's schema, which refuses one without it, or is added by the SDK itself.
_REQUIRED = {"publisher", "indexedModelIdentifier", "deviceIdentifier", "ttlMs", "lastUsedTime", "stopString", "name"}
_OLD_SNAPSHOT = (
    "an old snapshot: all that differs are members that LM Studio has added since ({}), without which the published "
    "SDK refuses the packet, or which it adds itself"
)
_JAVASCRIPT_REASONS = {
    "LLM.act should queue up tool calls": "an old expectation: the SDK itself adds the tool's name to a result",
}
_OLDER_SDK = "this SDK is older than the test: "
_OLDER_SDK_REASONS = {
    **_JAVASCRIPT_REASONS,
    "onPromptProcessingProgress": _OLDER_SDK + "its callback gets no details",
    "LLM.act should call the tool": _OLDER_SDK + "no details of progress, no publisher, ttlMs and lastUsedTime",
}
_PYTHON_REASONS = {
    "test_plugin_execution": "plugins are not imitated: the emulator says so, and the plugin ends with that",
}


@dataclass(frozen=True)
class Outcome:
    """One test: its name, and its failure's message or ``None``."""

    name: str
    failure: str | None = None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a suite; 0 if every failure has a known reason."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.foreign_suites", description=__doc__)
    parser.add_argument("suite", choices=("javascript", "python", "lms"))
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--lms", type=Path, help="checkout of lms, for that suite (default: CHECKOUT/packages/lms-cli)")
    parser.add_argument("--sdk", default="2.0.0", help="version of @lmstudio/sdk (default: %(default)s)")
    parser.add_argument("--verbose", action="store_true", help="print each failure's message, too")
    options = parser.parse_args(arguments)
    checkout = options.checkout.resolve()
    if options.suite == "javascript":
        reasons = _OLDER_SDK_REASONS if options.sdk.startswith("1.") else _JAVASCRIPT_REASONS
        return report(run_javascript(checkout, options.sdk), reasons, verbose=options.verbose)
    if options.suite == "lms":
        cli = (options.lms or checkout / "packages" / "lms-cli").resolve()
        program = build(checkout, cli, environments.CACHE / "foreign-lms")
        outcomes = [Outcome(f"lms {name}", problem) for name, problem in run_commands(program).items()]
        return report(outcomes, {}, verbose=options.verbose)
    return report(run_python(checkout), _PYTHON_REASONS, verbose=options.verbose)


def run_javascript(checkout: Path, sdk: str) -> list[Outcome]:
    """The heavy tests of lmstudio-js with the published SDK.

    Raises ``subprocess.CalledProcessError`` if the packages cannot be installed.
    """
    sources = checkout / "packages" / "lms-client" / "src"
    folder = environments.CACHE / f"foreign-javascript-{sdk}"
    shutil.rmtree(folder / "tests", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text(json.dumps(_packages(sdk)), encoding="utf-8")
    if not (folder / "node_modules" / "jest").exists():
        install = [_program("npm"), "install", "--no-audit", "--no-fund"]
        subprocess.run(install, cwd=folder, check=True)  # noqa: S603  # fixed packages
    for name, text in {"sdk.js": _SDK, "common.js": _COMMON, "fetch.js": _FETCH, "snapshots.js": _SNAPSHOTS}.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "jest.config.json").write_text(json.dumps(_JEST), encoding="utf-8")
    for pattern in ("*.heavy.test.ts", "*.heavy.test.ts.snap"):
        for file in sources.rglob(pattern):
            place = folder / "tests" / file.relative_to(sources)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, place)
    found = folder / "found.json"
    command = [_program("npx"), "jest", "--ci", "--runInBand", "--json", f"--outputFile={found}"]
    with Emulator(**JAVASCRIPT.arguments()) as server:
        environment = {**os.environ, "EMULATOR_URL": server.url, "FORCE_COLOR": "0", "LMSTUDIO_API_TOKEN": ""}
        _run(command, folder, environment)
    return [
        Outcome(test["fullName"], "\n".join(test["failureMessages"]) if test["status"] == "failed" else None)
        for file in json.loads(found.read_text(encoding="utf-8"))["testResults"]
        for test in file["assertionResults"]
    ]


_PORT_PLUGIN = """
import os
import lmstudio.json_api as api
for kind in vars(api).values():
    if isinstance(kind, type) and "_DEFAULT_API_PORTS" in vars(kind):
        kind._DEFAULT_API_PORTS = (int(os.environ["EMULATOR_PORT"]),)
"""


def run_python(checkout: Path) -> list[Outcome]:
    """The tests of lmstudio-python with the checkout's own sources.

    Raises ``subprocess.CalledProcessError`` if its dependencies cannot be installed.
    """
    python = environments.python_of("lmstudio-suite")
    with tempfile.TemporaryDirectory() as name, Emulator(**PYTHON.arguments()) as server:
        folder = Path(name)
        _state_version(checkout, folder)
        (folder / "emulator_port.py").write_text(_PORT_PLUGIN, encoding="utf-8")
        found = folder / "found.xml"
        path = os.pathsep.join((str(checkout / "src"), str(folder)))
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "EMULATOR_PORT": str(server.port),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        environment.pop("LMSTUDIO_API_TOKEN", None)
        command = [
            str(python),
            "-m",
            "pytest",
            "-q",
            "-p",
            "emulator_port",
            "-p",
            "no:cacheprovider",
            f"--junitxml={found}",
        ]
        _run([*command, "tests"], checkout, environment)
        root = ET.parse(found).getroot()  # noqa: S314  # our own pytest wrote it
    return [_python_outcome(case) for case in root.iter("testcase") if case.find("skipped") is None]


def _state_version(checkout: Path, folder: Path) -> None:
    """A test compares the version of the installed package with that of the sources."""
    project = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    place = folder / f"lmstudio-{project['version']}.dist-info"
    place.mkdir()
    (place / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: lmstudio\nVersion: {project['version']}\n", encoding="utf-8"
    )


def _python_outcome(case: ET.Element) -> Outcome:
    failures = [each for kind in ("failure", "error") for each in case.findall(kind)]
    text = "\n".join(f"{each.get('message')}\n{each.text}" for each in failures)
    return Outcome(f"{case.get('classname')}.{case.get('name')}", text if failures else None)


def report(outcomes: Sequence[Outcome], reasons: Mapping[str, str], *, verbose: bool = False) -> int:
    """Print the counts and the failures; 1 if one has no known reason."""
    failed = [outcome for outcome in outcomes if outcome.failure is not None]
    _say(f"{len(outcomes) - len(failed)} of {len(outcomes)} pass")
    unexplained = 0
    for outcome in failed:
        named = (reason for part, reason in reasons.items() if part in outcome.name)
        reason = next(named, None) or _old_snapshot(outcome.failure or "")
        unexplained += reason is None
        _say(f"- {outcome.name}: {reason or 'UNEXPLAINED'}")
        if verbose:
            _say(re.sub(r"(?m)^", "    ", (outcome.failure or "")[:3000]))
    return 1 if unexplained else 0


def _packages(sdk: str) -> dict[str, object]:
    """The package.json for the suite with this version of the SDK."""
    made: dict[str, object] = {
        "name": "foreign-suites",
        "private": True,
        "dependencies": {"@lmstudio/sdk": sdk, "jest": "^29", "@swc/core": "^1", "@swc/jest": "^0.2", "zod": "^3.22.4"},
    }
    if sdk == "2.0.0":  # it asks for a version that was not published
        made["overrides"] = {"@lmstudio/lms-isomorphic": "0.4.6"}
    return made


def _old_snapshot(failure: str) -> str | None:
    """The reason of a failure in which nothing differs but members that a current SDK requires or adds."""
    lines = re.sub(r"\x1b\[[\d;]*m", "", failure).splitlines()
    added = {found[1] for line in lines if (found := re.match(r'\s*\+\s+"(\w+)":', line))} - {"toolCallId"}
    missing = [line for line in lines if re.match(r'\s*-\s+"\w+":', line) and "Any<" not in line]
    other = [line for line in lines if re.match(r"\s*(\w*Error: (?!expect)|Snapshot: )", line)]
    if not added or missing or other or not added <= _REQUIRED:
        return None
    return _OLD_SNAPSHOT.format(", ".join(sorted(added)))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # a program


def _run(command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None) -> None:
    """Run a suite; whether it succeeds is in what it writes."""
    subprocess.run(  # noqa: S603  # the suite that the user names
        command, cwd=folder, env=environment, check=False, capture_output=True
    )


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed")
    return found


if __name__ == "__main__":
    sys.exit(main())
