"""Write what a release consists of: a CycloneDX document and a list of licences, dependencies and weights together.

    python scripts/sbom.py out                # the base install
    python scripts/sbom.py out --extra serve  # with an extra

A fresh environment gets the package and its dependencies; ``cyclonedx-py`` reads it; the weights are added from what
the model files say of themselves. Needs the extra release and, for the installation, an index.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from cyclonedx.model.bom import Bom
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation import make_schemabased_validator

from mien import __version__
from mien.recognition.model_files.bundle import read
from mien.recognition.model_files.names import FILES, WEIGHTS, shipped

ROOT = Path(__file__).parents[1]
VERSION = SchemaVersion.V1_6


def main() -> None:
    """Write ``mien.cdx.json`` and ``licences.md``."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder for both files")
    parser.add_argument("--extra", default="", help="an extra to install too")
    options = parser.parse_args()
    document = installed(options.extra)
    document["components"] += [weights(name) for name in shipped()]
    text = json.dumps(document, indent=2)
    wrong = make_schemabased_validator(OutputFormat.JSON, VERSION).validate_str(text)
    if wrong is not None:
        sys.exit(f"not CycloneDX {VERSION.to_version()}: {wrong}")
    found = Bom.from_json(document)  # type: ignore[attr-defined]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "mien.cdx.json").write_text(text + "\n", encoding="utf-8")
    (options.out / "licences.md").write_text(licences(document), encoding="utf-8")
    print(f"{len(found.components)} components: {options.out / 'mien.cdx.json'}, {options.out / 'licences.md'}")


def installed(extra: str) -> dict[str, Any]:
    """Return the CycloneDX document of a fresh environment that holds the package."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "environment"
        subprocess.run(["uv", "venv", "--quiet", "--python", sys.executable, place], check=True)
        wanted = f"{ROOT}[{extra}]" if extra else str(ROOT)
        subprocess.run(["uv", "pip", "install", "--quiet", "--python", place, wanted], check=True)
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible"]
        command += ["--sv", VERSION.to_version(), "--pyproject", str(ROOT / "pyproject.toml"), str(place)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)
    document["metadata"]["component"]["version"] = __version__  # pyproject.toml only says where it is
    return document


def weights(name: str) -> dict[str, Any]:
    """Return the component of a shipped model file."""
    file = WEIGHTS / FILES[name]
    about = read(name)
    return {
        "type": "machine-learning-model",
        "bom-ref": f"weights/{name}",
        "name": f"mien weights {name}",
        "version": about.digest[:12],
        "description": f"{about.name}: {', '.join(about.labels.labels)}. {about.licence}",
        "licenses": [
            {"license": {"id": "MIT"} if about.licence.startswith("Weights: MIT") else {"name": about.licence}}
        ],
        "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(file.read_bytes()).hexdigest()}],
        "properties": [{"name": "mien:recipe_digest", "value": about.recipe_digest}],
    }


def licences(document: dict[str, Any]) -> str:
    """Return a Markdown table: name, version, licence as the component states it."""
    rows = ["| component | version | licence |", "|---|---|---|"]
    for one in sorted(document["components"], key=lambda each: str(each["name"]).lower()):
        rows.append(f"| {one['name']} | {one.get('version', '')} | {licence(one)} |")
    return "\n".join(rows) + "\n"


def licence(component: dict[str, Any]) -> str:
    """Return the licence in one line: the expression or identifier, else the first words of the text."""
    stated = []
    for one in component.get("licenses", []):
        named = one.get("license", {})
        stated.append(one.get("expression") or named.get("id") or named.get("name") or "")
    lines = (text.strip().splitlines()[0][:60] for text in stated if text.strip())
    return ", ".join(dict.fromkeys(lines)) or "not stated"


if __name__ == "__main__":
    main()
