import torch

from nbhelpers.augment import dihedral

IMAGE = torch.arange(2 * 9.0).view(1, 2, 3, 3)
VIEWS = [torch.rot90(flip, k, (-1, -2)) for flip in (IMAGE, IMAGE.flip(-1)) for k in range(4)]


def test_every_image_becomes_one_of_its_eight_views_and_all_occur():
    torch.manual_seed(0)
    out = dihedral(IMAGE.repeat(400, 1, 1, 1))
    counts = [sum(torch.equal(image[None], view) for image in out) for view in VIEWS]
    assert sum(counts) == 400
    assert min(counts) > 25  # 50 expected of each


def test_the_seed_decides():
    torch.manual_seed(3)
    one = dihedral(IMAGE.repeat(16, 1, 1, 1))
    torch.manual_seed(3)
    assert torch.equal(one, dihedral(IMAGE.repeat(16, 1, 1, 1)))
