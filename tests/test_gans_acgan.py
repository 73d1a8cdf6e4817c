"""ACGAN: two answers of D, each from a head of its own, and cross-entropy on logits once."""

import math

import pytest
import torch
from small_gans import batch, build, copied, equal
from torch.nn.functional import cross_entropy

from nbhelpers.errors import UsageError
from nbhelpers.gans import Batch

LABEL = torch.tensor([0, 1])
SURE = torch.tensor([[math.log(3), 0.0], [0.0, math.log(3)]])  # 3/4 for the right class


def answering(monkeypatch, source: float, classes: torch.Tensor, **settings):
    """An ACGAN whose D says this of every image, and two photographs."""
    gan = build("acgan", **settings)
    monkeypatch.setattr(gan.D, "answers", lambda image: (torch.full((2,), source), classes))
    return gan, Batch(batch(count=2).image, LABEL)


def test_one_that_names_no_class_is_refused():
    with pytest.raises(UsageError, match="conditional is False, and ACGAN's D names the class"):
        build("acgan", conditional=False)


def test_both_answers_by_hand(monkeypatch):
    gan, given = answering(monkeypatch, 0.0, SURE)
    d, g = gan.d_loss(given), gan.g_loss(given)
    assert list(d) == list(g) == ["source", "class"]
    right = math.log(4 / 3)
    assert d["source"].item() == pytest.approx(2 * math.log(2))
    assert d["class"].item() == pytest.approx(2 * right)  # of the photographs and of the fakes
    assert g["source"].item() == pytest.approx(math.log(2))
    assert g["class"].item() == pytest.approx(right)
    softmax_first = cross_entropy(SURE.softmax(1), LABEL).item()  # the mistake: softmax twice
    assert abs(softmax_first - right) > 0.1


def test_a_wrong_class_costs_more_whatever_the_source(monkeypatch):
    gan, given = answering(monkeypatch, 2.0, SURE.flip(0), class_weight=0.5)
    d, g = gan.d_loss(given), gan.g_loss(given)
    assert d["class"].item() == pytest.approx(0.5 * 2 * math.log(4))
    assert g["class"].item() == pytest.approx(0.5 * math.log(4))
    assert g["source"].item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_each_term_teaches_its_own_head_alone():
    gan = build("acgan")
    heads = {"source": gan.D.to_logit.weight, "class": gan.D.to_classes.weight}
    for term in heads:
        slopes = torch.autograd.grad(
            gan.d_loss(batch())[term], list(heads.values()), allow_unused=True
        )
        taught = {n for n, s in zip(heads, slopes, strict=True) if s is not None and s.any()}
        assert taught == {term}


def test_the_source_is_asked_without_the_label():
    gan, image = build("acgan").eval(), batch().image
    other = (batch().label + 1) % 3
    with torch.no_grad():
        source, classes = gan.answers(image)
        assert torch.equal(gan.D(image, batch().label), source)
        assert torch.equal(gan.D(image, other), source)
        told = build("cgan").eval()  # the other side: a D that is told the class hears it
        assert not torch.equal(told.D(image, batch().label), told.D(image, other))
    assert classes.shape == (8, 3)


def test_only_the_class_term_hears_the_label():
    gan = build("acgan")
    given, before = batch(), copied(gan)
    terms = []
    for label in (given.label, (given.label + 1) % 3):
        gan.load_state_dict(before)
        torch.manual_seed(0)
        image = gan.G(gan.noise(8), given.label)  # the same fakes under another label
        gan.fake = lambda _, image=image: image
        terms.append(gan.d_loss(given._replace(label=label)))
    assert equal(terms[0]["source"], terms[1]["source"])
    assert not equal(terms[0]["class"], terms[1]["class"])
