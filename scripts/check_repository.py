"""Rules of the repository that no linter knows. Prints what breaks one and exits with 1.

- The tree names no place that only one machine or one network has: no download addresses in locks, no home folders.
- The locks satisfy `pyproject.toml`, and developers run the same releases as users.
- Every source file of ours begins with what it is for.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LOCKS = {"build": "build", "dev": "dev", "fuzz": "fuzz", "node": "node", "uv": "uv"}

# Put together from parts, so that this file does not break its own rules.
_INDEXES = ["pypi" + ".org", "python" + "hosted.org", "registry." + "npmjs", "registry." + "yarnpkg"]
_MACHINE = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|work|opt/(?:wheels|pypi))/")


def tracked() -> list[Path]:
    """Files that git knows, without those that are gone from the tree."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def places(files: list[Path]) -> Iterator[str]:
    """Addresses of package registries, and paths of one machine."""
    for path in files:
        try:
            text = path.read_text("utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(ROOT)
        for number, line in enumerate(text.splitlines(), 1):
            if any(index in line for index in _INDEXES):
                yield f"{name}:{number}: names a package registry"
            if path != Path(__file__) and (match := _MACHINE.search(line)):
                yield f"{name}:{number}: names a place of one machine: {match[0]}"
        if path.name == "package-lock.json" and '"resolved"' in text:
            yield f"{name}: has download addresses (resolved); remove them"


def locks() -> Iterator[str]:
    """Whether the locks are those of `pyproject.toml`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pins = {path.stem: _pins(path) for path in (ROOT / "requirements").glob("*.txt")}
    wanted = {"runtime": project["project"]["dependencies"]} | {
        lock: project["dependency-groups"][group] for group, lock in LOCKS.items()
    }
    wanted["matrix"] = [*wanted["runtime"], *project["project"]["optional-dependencies"]["matrix"]]
    for lock, requirements in wanted.items():
        for text in requirements:
            requirement = Requirement(text)
            version = pins.get(lock, {}).get(canonicalize_name(requirement.name))
            if version is None or not requirement.specifier.contains(version, prereleases=True):
                yield f"requirements/{lock}.txt: has {version or 'nothing'} for {text}; run scripts/lock"
    for base, lock in (("runtime", "dev"), ("runtime", "matrix"), ("matrix", "dev")):
        for name, version in pins[base].items():
            # Developers have the homeserver from its own lock; what both locks have must be the same.
            if pins[lock].get(name, None if base == "runtime" else version) != version:
                yield f"requirements/{lock}.txt: {name} is not the {version} of {base}.txt; run scripts/lock"
    for path in (ROOT / "requirements").glob("*.txt"):
        if re.search(r"^\s*(--(extra-)?index-url|--find-links|-f |-i )", path.read_text(), re.MULTILINE):
            yield f"requirements/{path.name}: names where packages come from"


def _pins(path: Path) -> dict[str, str]:
    return {
        canonicalize_name(match[1]): match[2]
        for match in re.finditer(r"^([\w.-]+)(?:\[[^]]*\])?==([^\s;]+)", path.read_text(), re.MULTILINE)
    }


def headers(files: list[Path]) -> Iterator[str]:
    """Modules without a docstring; empty files need none."""
    for path in files:
        ours = path.suffix == ".py" and path.is_relative_to(ROOT / "src")
        if ours and (text := path.read_text()).strip() and ast.get_docstring(ast.parse(text)) is None:
            yield f"{path.relative_to(ROOT)}: does not say what it is for (module docstring)"


def main() -> int:
    """Print every breach; 1 when there is one."""
    files = tracked()
    breaches = [*places(files), *locks(), *headers(files)]
    for breach in breaches:
        print(breach)
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
