"""The encoder that judges checkpoints: one for a run and a fold, whatever the GAN's seed."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_gans import CPU
from small_lesions import tiny

from nbhelpers import lesion_encoder
from nbhelpers.lesion_encoder import the_runs_encoder, trained_encoder
from nbhelpers.splits import parts


@pytest.fixture(scope="module")
def lesions(tmp_path_factory):
    return tiny(tmp_path_factory.mktemp("lesions"), (10, 10, 10))


def refused(*arguments, **settings):
    raise AssertionError("trained again")


def test_it_is_trained_once_on_the_folds_training_lesions(lesions, tmp_path, monkeypatch):
    encoder = trained_encoder(lesions, 0, 1, CPU, tmp_path)
    groups = lesions.table["group_id"]
    part = parts(lesions.table, 0)
    assert set(encoder.training_groups) == set(groups.iloc[part["train"]])
    assert not set(encoder.training_groups) & set(groups.iloc[[*part["validation"], *part["test"]]])
    assert (tmp_path / "encoder" / "encoder.pt").exists()
    monkeypatch.setattr(lesion_encoder, "train", refused)
    again = trained_encoder(lesions, 0, 1, CPU, tmp_path)
    assert again.identity == encoder.identity
    assert (again(lesions.images[:3]) == encoder(lesions.images[:3])).all()
    for other in ({"fold": 1, "steps": 1}, {"fold": 0, "steps": 2}):
        with pytest.raises(AssertionError, match="trained again"):
            trained_encoder(lesions, other["fold"], other["steps"], CPU, tmp_path)


def test_notebooks_side_by_side_have_one_judge(lesions, tmp_path, monkeypatch):
    trained, train = [], lesion_encoder.train

    def slowly(*arguments):
        trained.append(1)
        time.sleep(0.3)
        return train(*arguments)

    monkeypatch.setattr(lesion_encoder, "train", slowly)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(the_runs_encoder, lesions, 0, 1, CPU, tmp_path) for _ in range(3)]
        assert len({one.result().identity for one in asked}) == 1
    assert trained == [1]


def test_a_run_keeps_its_judge(lesions, tmp_path, monkeypatch):
    with_two = the_runs_encoder(lesions, 0, 2, CPU, tmp_path)  # there is none yet
    other_fold = the_runs_encoder(lesions, 1, 1, CPU, tmp_path)
    assert other_fold.identity != with_two.identity
    monkeypatch.setattr(lesion_encoder, "train", refused)
    assert the_runs_encoder(lesions, 0, 1, CPU, tmp_path).identity == with_two.identity
    assert trained_encoder(lesions, 0, 2, CPU, tmp_path).identity == with_two.identity
