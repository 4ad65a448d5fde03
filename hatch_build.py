"""Sees that a wheel contains the built pages: builds them with npm when they are missing."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PagesHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel is put together; an editable installation serves the tree as it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See `BuildHookInterface`."""
        if version == "editable" or self.target_name != "wheel":
            return
        root = Path(self.root)
        if (root / "src/ghostlive/web/static/index.html").is_file():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("the pages are not built and there is no npm to build them: run `make setup` first")
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([npm, *arguments], cwd=root / "frontend", check=True)  # noqa: S603
