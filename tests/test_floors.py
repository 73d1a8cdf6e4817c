"""The picture of the floors in the README stays true: a module imports only from lower floors, or
from its own."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nbhelpers"
FLOORS = [
    {"errors", "files", "records",
     "images", "progress", "config", "locks", "download", "archives", "ranks",
     "orphans", "hosted", "loggers"},
    {"datasets", "pictures", "near_duplicates", "splits", "prepare", "mask_edits",
     "tasks", "row_order"},
    {"losses", "blocks", "unet", "augment", "classic_augmentation"},
    {"gans"},
    {"checkpoints", "training", "training_images", "side_by_side"},
    {"sampling", "tiles", "translate_files", "gan_folders", "gan_jobs", "latent",
     "sample_explorer"},
    {"paired", "degradation", "appearance", "ladder", "set_metrics", "backbones", "features",
     "metrics", "evaluation_sets", "neighbours", "probes"},
    {"classifier", "arms", "predictions", "statistics", "comparison", "metrics_run",
     "detectors", "audit", "metric_rows", "judge", "earlier_work", "rankings",
     "lesion_encoder", "health", "gan_observer", "gan_runs", "launcher", "gan_table", "obedience",
     "segmentation", "translation", "quiz", "scores", "power",
     "walk_strips",
     "extras", "filters", "tuning", "study_tables", "traps"},
    {"graph", "parameters", "executed_copy", "execution", "run_lock", "run_places", "pipeline",
     "lanes",
     "report", "report_data", "report_style", "report_tables", "report_pictures", "report_walks",
     "doctor", "notebook", "arguments",
     "export", "train_command", "__main__"},
]  # fmt: skip
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The top-level modules of this package that a file imports, at any depth of its code."""
    depth = len(path.relative_to(PACKAGE).parts)
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == depth:
            found |= {node.module.split(".")[0]} if node.module else {a.name for a in node.names}
        elif (
            isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nbhelpers")
        ):
            parts = node.module.split(".")
            found |= {parts[1]} if len(parts) > 1 else {a.name for a in node.names}
    return found - {"__version__"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down(path):
    here = module_of(path)
    if here == "__init__":
        return
    if here == "plots":  # arrays in, Axes out: nothing of the package but its errors
        assert imports(path) <= {"errors", "plots"}
        return
    assert here in FLOOR, f"{here} stands on no floor: add it to FLOORS"
    for other in imports(path) - {here, "plots"}:
        assert FLOOR[other] <= FLOOR[here], (
            f"{here} (floor {FLOOR[here]}) imports {other} ({FLOOR[other]})"
        )
    if "plots" in imports(path):
        assert FLOOR[here] >= 5, f"{here} draws below floor 5"


def test_an_upward_import_would_be_seen(tmp_path):
    assert FLOOR["training"] < FLOOR["report"]
    assert "report" not in imports(PACKAGE / "training.py")
    assert {"gans", "training_images"} <= imports(PACKAGE / "training.py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_and_functions_stay_small(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno - node.lineno < 50, f"{path.name}: {node.name} is long"
