"""What the base install weighs: a fresh environment, `pip install .`, then packages counted and bytes added up.

python benchmarks/install_size.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
NOT_OURS = {"pip", "setuptools", "wheel"}


def main() -> None:
    """Install, weigh and print."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", ROOT], check=True)
        listed = subprocess.run([python, "-m", "pip", "list", "--format", "json"], check=True, capture_output=True)
        names = sorted({package["name"] for package in json.loads(listed.stdout)} - NOT_OURS)
        site = subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True,
            capture_output=True,
            text=True,
        )
        packages = [path for path in Path(site.stdout.strip()).iterdir() if path.name.split("-")[0] not in NOT_OURS]
        size = sum(file.stat().st_size for path in packages for file in path.rglob("*") if file.is_file())
        heavy = {"torch", "tensorflow"} & set(names)
        print(f"{size / 1e6:.0f} MB (bar: 400), {len(names)} packages (bar: 25): {', '.join(names)}")
        print(f"torch or TensorFlow among them: {', '.join(heavy) or 'no'}")


if __name__ == "__main__":
    main()
