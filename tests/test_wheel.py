"""The wheel, installed where nothing but numpy and rich is: it holds only the runtime and predicts what the checkout does."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from claimstance.predictor import Predictor
from claimstance.records import Pair, read_json_lines, write_json_lines

# What numpy and rich need; markdown_it and mdurl are rich's.
RUNTIME = ("numpy", "rich", "pygments", "markdown_it", "mdurl")
ABSENT = ("sklearn", "scipy", "torch", "mlflow", "yaml", "pydantic", "datasets", "training", "evaluation", "tests")
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}


def run(*command: object, cwd: Path) -> str:
    """Run a command away from the checkout; return what it prints."""
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=ENVIRONMENT, capture_output=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder outside the checkout, with a space in its path."""
    return tmp_path_factory.mktemp("installed wheel")


@pytest.fixture(scope="module")
def wheel(place: Path, root: Path) -> Path:
    """The wheel of the checkout, built in a copy of it."""
    left_out = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__", "exports", "mlruns", "mlflow.db*")
    shutil.copytree(root, place / "checkout", ignore=left_out)
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, cwd=place / "checkout")
    (wheel,) = place.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(place: Path, wheel: Path) -> Path:
    """The interpreter of an environment with the wheel and links to numpy and rich."""
    environment, packages = place / "an empty venv", place / "packages"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=place)
    python = environment / "bin/python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    run(*pip, "install", "--no-index", "--no-deps", wheel, cwd=place)
    packages.mkdir()
    for name in RUNTIME:
        folder = Path(importlib.util.find_spec(name).submodule_search_locations[0])
        (packages / name).symlink_to(folder)
        if folder.with_name(f"{name}.libs").is_dir():
            (packages / f"{name}.libs").symlink_to(folder.with_name(f"{name}.libs"))
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=place).strip()
    Path(site, "packages.pth").write_text(f"{packages}\n", encoding="utf-8")
    return python


def test_the_wheel_holds_the_runtime_and_nothing_else(wheel: Path, root: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    inside = sorted(name for name in names if ".dist-info/" not in name)
    files = (path.relative_to(root) for path in (root / "claimstance").rglob("*.*") if path.suffix != ".pyc")
    assert inside == sorted(path.as_posix() for path in files)
    assert "claimstance/service/page/index.html" in inside
    assert {name.split("/")[0].rpartition(".")[2] for name in names} == {"claimstance", "dist-info"}


def test_what_training_needs_is_not_there(python: Path, place: Path) -> None:
    find = (
        "import importlib.util, json, sys, claimstance, claimstance.cli;"
        f"there = [name for name in {ABSENT} if importlib.util.find_spec(name)];"
        "print(json.dumps([claimstance.__file__, there, sorted({name.partition('.')[0] for name in sys.modules})]))"
    )
    file, there, loaded = json.loads(run(python, "-c", find, cwd=place))
    assert Path(file).is_relative_to(python.parent.parent)
    assert there == []
    assert not set(loaded) & set(ABSENT)


def test_importing_the_package_loads_no_rich(python: Path, place: Path) -> None:
    assert run(python, "-c", "import sys, claimstance; print('rich' in sys.modules)", cwd=place).strip() == "False"


def test_the_installed_library_gives_the_probabilities_of_the_checkout(
    python: Path, place: Path, model_folder: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    pairs = few_pairs[:50]
    texts = place / "texts.json"
    texts.write_text(json.dumps([(pair.quote, pair.claim) for pair in pairs]), encoding="utf-8")
    program = (
        "import json, sys; from claimstance import Predictor;"
        "pairs = [tuple(pair) for pair in json.load(open(sys.argv[2], encoding='utf-8'))];"
        "print(json.dumps([[p.stance, p.confidence, p.probabilities] for p in Predictor.load(sys.argv[1]).predict(pairs)]))"
    )
    installed = json.loads(run(python, "-c", program, model_folder, texts, cwd=place))
    here = [[each.stance, each.confidence, each.probabilities] for each in predictor.predict(pairs)]
    assert installed == here


def test_the_installed_command_gives_the_probabilities_of_the_checkout(
    python: Path, place: Path, model_folder: Path, predictor: Predictor, few_pairs: list[Pair]
) -> None:
    pairs = few_pairs[:50]
    source, target = place / "in.jsonl", place / "out.jsonl"
    write_json_lines(source, (pair.to_dict() for pair in pairs))
    command = python.with_name("claimstance")
    run(command, "predict", "--model", model_folder, "--input", source, "--output", target, cwd=place)
    for (_, row), prediction in zip(read_json_lines(target), predictor.predict(pairs), strict=True):
        assert row["predicted_stance"] == prediction.stance
        assert row["probabilities"] == {label: round(value, 6) for label, value in prediction.probabilities.items()}
    (first,) = predictor.predict(pairs[:1])
    one = ["predict", "--model", model_folder, "--quote", pairs[0].quote, "--claim", pairs[0].claim]
    for way in ([command], [python, "-m", "claimstance"]):
        lines = run(*way, *one, cwd=place).splitlines()[1:]
        assert [line.split()[:2] for line in lines] == [[k, f"{v:.3f}"] for k, v in first.probabilities.items()]
