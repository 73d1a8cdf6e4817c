"""Security: no code of a file is ever run. What is true of every call in the package, and bombs in
the places where a stranger's file is opened."""

import ast
import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from nbhelpers import backbones, extras, features, predictions, prepare
from nbhelpers.errors import NbhelpersError

PACKAGE = Path(__file__).parents[2] / "nbhelpers"
CALLS = [
    (path.name, ast.unparse(node.func), {k.arg: ast.unparse(k.value) for k in node.keywords})
    for path in sorted(PACKAGE.rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call)
]


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, trace: Path):
        self.trace = trace

    def __reduce__(self):
        return Path.touch, (self.trace,)


@pytest.fixture
def trace(tmp_path) -> Path:
    return tmp_path / "exploded"


def test_44_the_bomb_works(trace):
    pickle.loads(pickle.dumps(Bomb(trace)))
    assert trace.exists()


def test_44_no_call_in_the_package_may_unpickle():
    torch_loads = [(file, given) for file, name, given in CALLS if name == "torch.load"]
    assert len(torch_loads) >= 4
    assert all(given.get("weights_only") == "True" for _, given in torch_loads), torch_loads
    names = {name for _, name, _ in CALLS}
    assert not names & {"pickle.load", "pickle.loads", "torch.hub.load_state_dict_from_url",
                        "joblib.load", "pd.read_pickle", "eval", "exec"}  # fmt: skip
    assert not [name for name in names if name.endswith("get_state_dict")]
    allowed = [file for file, _, given in CALLS if given.get("allow_pickle") == "True"]
    assert allowed == []


def torch_bomb(trace: Path) -> bytes:
    buffer = io.BytesIO()
    torch.save({"conv1.weight": Bomb(trace)}, buffer)
    return buffer.getvalue()


def numpy_bomb(trace: Path) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{k: np.array([Bomb(trace)], object) for k in ("images", "labels", "softmax",
             "table", "classes", "passed")})  # fmt: skip
    return buffer.getvalue()


def test_44_imagenets_file_in_torchs_cache(tmp_path, trace, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    file = backbones.imagenet_file("resnet18")
    file.parent.mkdir()
    file.write_bytes(torch_bomb(trace))
    for opens in (
        lambda: backbones.backbone("resnet18", 7, 64, "local"),
        lambda: features.imagenet_resnet18(),
    ):
        with pytest.raises(NbhelpersError, match=r"is damaged .*fetch it again"):
            opens()
    assert not trace.exists()


@pytest.mark.parametrize(
    ("file", "opens"),
    [
        ("encoder.pt", lambda path, prepared: features.lesion_encoder(path)),
        ("predictions.npz", lambda path, prepared: predictions.load_predictions(path)),
        ("synthetic.npz", lambda path, prepared: extras.read_pool(path, prepared, 0)),
    ],
)
def test_44_a_bomb_in_a_run_folder(tmp_path, trace, prepared, file, opens):
    bomb = torch_bomb(trace) if file.endswith(".pt") else numpy_bomb(trace)
    (tmp_path / file).write_bytes(bomb)
    with pytest.raises(NbhelpersError):
        opens(tmp_path / file, prepared)
    assert not trace.exists()


def test_44_a_bomb_in_prepared_data(prepared, tmp_path, trace):
    for file in prepared.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb(trace)], object))
    (tmp_path / "images.npy").write_bytes(buffer.getvalue())
    with pytest.raises(NbhelpersError, match=r"images\.npy is damaged"):
        prepare.load_prepared(tmp_path)
    assert not trace.exists()
