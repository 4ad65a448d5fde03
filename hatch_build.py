"""What an installation needs beyond Python files: the pages (wheels only) and the compiled parts.

These are a gain, no need: without a C compiler, Python's headers or OpenSSL's, the installation succeeds and the server
does the same in Python. `python hatch_build.py SOURCE FOLDER` compiles one of them into a folder.
"""

import importlib.machinery
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = {
    "src/ghostlive/protocols/webrtc/fanout/_kernel.pyx": ["crypto"],
    "src/ghostlive/web/_sending.pyx": [],
}
"""Sources, with the libraries that they need."""
SUFFIX = importlib.machinery.EXTENSION_SUFFIXES[0]


class InstallationHook(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel is put together; an editable installation gets the kernel into the source tree."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """See `BuildHookInterface`."""
        if self.target_name != "wheel":
            return
        editable = version == "editable"
        if not editable:
            self._pages()
        for source in NATIVE:
            built = self._compiled(source)
            if built is not None and not editable:
                build_data["pure_python"] = False
                build_data["infer_tag"] = True
                build_data["force_include"][str(built)] = str(built.relative_to(Path(self.root) / "src"))

    def _pages(self) -> None:
        root = Path(self.root)
        if (root / "src/ghostlive/web/static/index.html").is_file():
            return
        npm = shutil.which("npm")
        if npm is None:
            raise RuntimeError("the pages are not built and there is no npm to build them: run `make setup` first")
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            subprocess.run([npm, *arguments], cwd=root / "frontend", check=True)  # noqa: S603

    def _compiled(self, name: str) -> Path | None:
        """The compiled file beside its source, or None when this machine cannot compile it; a `.log` says why."""
        source = Path(self.root) / name
        target = source.with_name(source.stem + SUFFIX)
        log = source.with_suffix(".log")
        log.unlink(missing_ok=True)
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, name, folder]
            done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)  # noqa: S603
            made = next(Path(folder).rglob(source.stem + "*" + SUFFIX), None)
            if done.returncode or made is None:
                # One of older sources is worse than none.
                target.unlink(missing_ok=True)
                log.write_text(done.stdout + done.stderr)
                self.app.display_warning(f"{name} was not compiled (see {log}): the server does the same in Python.")
                return None
            # Somebody may be running from this tree: there is always a whole file.
            beside = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(made, beside)
            beside.chmod(0o755)
            beside.replace(target)
        return target


def compile_native(name: str, folder: str) -> None:
    """Compile a source of `NATIVE` into `folder`; raises or exits when that fails."""
    from Cython.Build import cythonize  # noqa: PLC0415
    from setuptools import Distribution, Extension  # noqa: PLC0415

    module = ".".join(Path(name).with_suffix("").parts[1:])
    extension = Extension(module, [name], libraries=NATIVE[name], extra_compile_args=["-O3", "-g0"])
    modules = cythonize([extension], build_dir=folder, include_path=["src"], quiet=True)
    build = Distribution({"ext_modules": modules}).get_command_obj("build_ext")
    build.build_lib, build.build_temp = folder, folder
    build.ensure_finalized()
    build.run()


if __name__ == "__main__":
    compile_native(*sys.argv[1:])
