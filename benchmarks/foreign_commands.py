"""LM Studio's command ``lms``, built from its sources by esbuild and run against the emulator, command by command."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from lmstudio_integrations.emulator import EmulatedModel, Emulator, Reply

__all__ = ["build", "run_commands"]

MODELS = (
    EmulatedModel("qwen/qwen3-4b", loaded=True),
    EmulatedModel("qwen/qwen3-8b"),
    EmulatedModel("text-embedding-nomic", "embedding", loaded=True),
)
# Each command, and what its output must have in it.
COMMANDS: Sequence[tuple[str, Sequence[str]]] = (
    ("status", ("Server: ON", "qwen/qwen3-4b")),
    ("ls", ("You have 3 models", "qwen/qwen3-8b", "text-embedding-nomic")),
    ("ps", ("qwen/qwen3-4b", "IDLE")),
    ("load qwen/qwen3-8b --yes", ("Model loaded successfully",)),
    ("ps --json", ('"identifier":"qwen/qwen3-8b"',)),
    ("unload qwen/qwen3-8b", ("unloaded",)),
    ("chat qwen/qwen3-4b --prompt Hello --stats", ("Hello from the emulator", "Stop Reason: eosFound")),
    ("runtime ls", ("emulator",)),
    ("runtime survey", ("emulator", "RAM")),
    ("get emulator/small --yes", ("Download completed",)),
    ("get small --yes", ("Model already downloaded",)),
)
# Not published, or of no use for these commands: taken from the sources beside it, or left out.
_BUILD = """
import { build } from "esbuild";
const [sources, cli, folder] = process.argv.slice(2);
const left = /^(@lmstudio\\/lms-(es-plugin-runner.*|lmstudio\\/install-cli)|react-devtools-core)$/;
const names = ["DenoPluginRunnerWatcher", "NodePluginRunnerWatcher", "UtilBinary", "installCli"];
const empty = names.map(name => `export class ${name} {}`).join("\\n") + "\\nexport default {};";
const resolve = { name: "sources", setup(made) {
  made.onResolve({ filter: left }, found => ({ path: found.path, namespace: "left" }));
  made.onLoad({ filter: /./, namespace: "left" }, () => ({ contents: empty, loader: "js" }));
  made.onResolve({ filter: /^@lmstudio\\/lms-(common-server|lmstudio|shared-types)$/ }, found => (
    { path: `${sources}/packages/${found.path.split("/")[1]}/src/index.ts` }));
} };
await build({
  entryPoints: [`${cli}/src/index.ts`], outfile: `${folder}/lms.mjs`, bundle: true,
  platform: "node", format: "esm", target: "node20",
  nodePaths: [`${folder}/node_modules`], plugins: [resolve], external: ["readline/promises"], logLevel: "error",
  banner: { js: 'import { createRequire as made } from "module"; ' +
    'const require = made(import.meta.url); const __dirname = ".";' },
});
"""


def build(checkout: Path, cli: Path, folder: Path) -> Path:
    """The program ``lms.mjs``, from checkouts of lmstudio-js and of lms, built in a folder.

    Raises ``subprocess.CalledProcessError`` if it cannot be built.
    """
    npm, node = shutil.which("npm"), shutil.which("node")
    if npm is None or node is None:
        raise SystemExit("node and npm are not installed")
    folder.mkdir(parents=True, exist_ok=True)
    wanted: dict[str, str] = json.loads((cli / "package.json").read_text(encoding="utf-8"))["dependencies"]
    unpublished = ("lms-common-server", "lms-es-plugin-runner", "lms-lmstudio")
    packages = {name: version for name, version in wanted.items() if name.rpartition("/")[2] not in unpublished}
    isomorphic = {"@lmstudio/lms-isomorphic": "0.4.6"}  # the SDK asks for a version that was not published
    packages |= {"@lmstudio/sdk": "2.0.0", "commander": "^14", "esbuild": "^0.25", **isomorphic}
    project = {"name": "foreign-commands", "private": True, "dependencies": packages, "overrides": isomorphic}
    (folder / "package.json").write_text(json.dumps(project), encoding="utf-8")
    (folder / "build.mjs").write_text(_BUILD, encoding="utf-8")
    install = [npm, "install", "--no-audit", "--no-fund", "--legacy-peer-deps"]
    subprocess.run(install, cwd=folder, check=True)  # noqa: S603  # the command's own packages
    making = [node, "build.mjs", str(checkout), str(cli), str(folder)]
    subprocess.run(making, cwd=folder, check=True)  # noqa: S603  # the sources that the user names
    return folder / "lms.mjs"


def run_commands(program: Path) -> dict[str, str | None]:
    """Each command with what went wrong, or ``None``. ``log stream`` runs beside the others."""
    found: dict[str, str | None] = {}
    environment = {**os.environ, "HOME": str(program.parent / "home"), "FORCE_COLOR": "0"}
    (program.parent / "home").mkdir(exist_ok=True)
    with Emulator(MODELS, replies=lambda _: Reply("Hello from the emulator")) as server:
        address = ["--host", "127.0.0.1", "--port", str(server.port)]
        with _log_stream([_node(), str(program), "log", "stream", *address], environment, server) as lines:
            for command, expected in COMMANDS:
                full = [_node(), str(program), *command.split(), *address]
                done = subprocess.run(  # noqa: S603  # the program that the user names
                    full, env=environment, check=False, capture_output=True, text=True, timeout=60
                )
                found[command] = _problem(done.stdout + done.stderr, expected)
        found["log stream"] = _problem("".join(lines), ("llm.prediction.input", "Hello from the emulator"))
    return found


@contextmanager
def _log_stream(command: Sequence[str], environment: Mapping[str, str], server: Emulator) -> Iterator[list[str]]:
    lines: list[str] = []
    with subprocess.Popen(  # noqa: S603  # as above
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        try:
            server.wait_for(lambda frame: frame.namespace == "diagnostics" and "streamLogs" in str(frame.message), 30)
            yield lines
            time.sleep(1)  # the program prints in its own time
        finally:
            process.send_signal(signal.SIGINT)
            lines.append(process.communicate(timeout=20)[0])


def _problem(output: str, expected: Sequence[str]) -> str | None:
    plain = re.sub(r"\x1b\[[\d;?]*\w", "", output)
    missing = [text for text in expected if text not in plain]
    return f"the output lacks {', '.join(missing)}:\n{plain[-2000:]}" if missing else None


def _node() -> str:
    return shutil.which("node") or "node"
