"""The course as a graph, and the part of it that is run."""

import pytest

from nbhelpers import graph
from nbhelpers.errors import UsageError
from nbhelpers.graph import NODES, Node


def test_the_course_is_in_order_and_every_gan_is_judged():
    names = [node.name for node in graph.ordered(NODES)]
    assert names == sorted(names) and len(names) == len(set(names))
    for judge in NODES:
        if judge.name[:2] in ("20", "21", "22"):
            assert {gan.name for gan in graph.GANS} | {"17_pix2pix"} <= set(judge.needs)


def test_what_a_notebook_shows_beside_its_own_comes_before_it():
    names = [node.name for node in NODES]
    for place, node in enumerate(NODES):
        assert set(node.after) <= set(names[:place])
    assert "11_cgan" in next(node.after for node in NODES if node.name == "15_acgan")


def test_order_follows_needs_and_a_circle_is_refused():
    nodes = [Node("20_c", ("10_b",)), Node("10_b", ("00_a",)), Node("00_a")]
    assert [n.name for n in graph.ordered(nodes)] == ["00_a", "10_b", "20_c"]
    with pytest.raises(UsageError, match="circle"):
        graph.ordered([Node("00_a", ("10_b",)), Node("10_b", ("00_a",))])
    with pytest.raises(UsageError, match="00_a"):
        graph.ordered([Node("00_a", ("00_b",))])


def test_select_by_number_name_and_what_follows():
    assert [n.name for n in graph.select(NODES, only=["21", "10_dcgan"])] == [
        "10_dcgan",
        "21_measure",
    ]
    later = [n.name[:2] for n in graph.select(NODES, start_from="10")]
    assert later == ["10", "20", "21", "22", "23"]
    assert [n.name[:2] for n in graph.select(NODES, start_from="22")] == ["22", "23"]
    with pytest.raises(UsageError, match="did you mean '10_dcgan'"):
        graph.select(NODES, only=["10_dcgn"])
    with pytest.raises(UsageError, match="exclude"):
        graph.select(NODES, only=["10"], start_from="20")
