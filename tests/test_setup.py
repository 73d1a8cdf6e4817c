"""What a fresh machine installs is what the code imports, and one list says it."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
STANDS_FOR = {"sklearn": "scikit-learn", "PIL": "pillow"}


def bounds(lines: list[str]) -> dict[str, str]:
    found = (re.fullmatch(r"\s*-?\s*([a-z0-9_-]+)(>=[\d.]+)\s*", line) for line in lines)
    return {m[1]: m[2] for m in found if m}


def test_conda_environment_asks_for_the_same_versions():
    conda = bounds((ROOT / "environment.yml").read_text().splitlines())
    assert conda.pop("python") == PROJECT["project"]["requires-python"]
    assert conda == bounds(PROJECT["project"]["dependencies"])


def test_torch_and_torchvision_come_from_the_same_place():
    pip_section = (ROOT / "environment.yml").read_text().split("- pip:")[1]
    assert {"torch", "torchvision", "piq"} <= set(bounds(pip_section.splitlines()))


def test_every_package_folder_is_installed():
    folders = {
        p.parent.relative_to(ROOT).as_posix().replace("/", ".")
        for p in ROOT.glob("nbhelpers/**/__init__.py")
    }
    assert folders == set(PROJECT["tool"]["setuptools"]["packages"])


def test_every_import_is_declared():
    declared = set(bounds(PROJECT["project"]["dependencies"]))
    for path in (ROOT / "nbhelpers").rglob("*.py"):
        for name in re.findall(r"^(?:from|import) ([a-zA-Z_]+)", path.read_text(), re.M):
            package = STANDS_FOR.get(name, name)
            if package in {
                "torch",
                "torchvision",
                "numpy",
                "scipy",
                "pandas",
                "sklearn",
                "piq",
                "tqdm",
                "seaborn",
            }:
                assert package in declared, f"{path.name} imports {name}"


def test_the_repository_has_one_address():
    url = PROJECT["project"]["urls"]["Repository"]
    for notebook in (ROOT / "notebooks").glob("*.ipynb"):
        assert url in notebook.read_text(), notebook.name
    slug = url.removeprefix("https://github.com/")
    badges = re.findall(
        r"colab\.research\.google\.com/github/([^/]+/[^/]+)/blob", (ROOT / "README.md").read_text()
    )
    assert badges
    assert set(badges) == {slug}


def test_the_lock_file_pins_what_is_asked_for():
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    pinned = {}
    for line in lines:
        if found := re.match(r"([a-z0-9_.-]+)==([^ ;]+)", line):
            pinned.setdefault(found[1].replace("_", "-"), []).append(found[2])
    for line in PROJECT["project"]["dependencies"]:
        wanted = Requirement(line)
        versions = pinned[wanted.name.replace("_", "-")]
        assert versions and all(version in wanted.specifier for version in versions), line
    assert not any("://" in line or "@" in line for line in lines)


def test_the_container_opens_what_make_lab_opens_from_files_that_are_there():
    text = (ROOT / "Dockerfile").read_text()
    page = re.search(r"--LabApp.default_url=/lab/tree/\S+ipynb", (ROOT / "Makefile").read_text())[0]
    assert page in text
    assert (ROOT / page.split("/lab/tree/")[1]).exists()
    for copied in re.findall(r"^COPY (?:--\S+ )?(\S+) ", text, re.M):
        assert (ROOT / copied).exists()
