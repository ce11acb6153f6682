"""Augmentation of a batch equals the released one of each image, Pillow's crops, and itself on each call."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.config.recipes import Dc, Minimax, Rded
from condense.students.augment import (
    Augmentation,
    crop,
    cut_and_mix,
    cutmix_box,
    draw_crops,
    jitter,
    jitter_as_released,
    lighting,
    recolour,
    shuffle_tiles,
)
from golden_students import near, read

KINDS = ("brightness", "contrast", "saturation")
ZERO, ONE = torch.zeros(3), torch.ones(3)


def random_images(count: int = 6, side: int = 16) -> torch.Tensor:
    stream = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, side, side), generator=stream, dtype=torch.uint8)


def jittered(image: torch.Tensor, alphas: list[float], order: list[int]) -> torch.Tensor:
    x = image[None]
    maps = jitter(x.mean((2, 3)), torch.tensor([alphas], dtype=x.dtype), torch.tensor([order]))
    return recolour(x, *maps)[0]


@pytest.mark.parametrize("number", range(3), ids=KINDS)
def test_each_change_of_colour_equals_the_released_one_of_an_image(number):
    values, settings = read("augment")
    alphas = [0.0, 0.0, 0.0]
    alphas[number] = settings["jitter_alphas"][KINDS[number]]
    near(jittered(values["image"], alphas, [0, 1, 2]), values[f"{KINDS[number]}.image"], 3e-7)


def test_the_three_changes_together_equal_the_released_jitter():
    values, settings = read("augment")
    order = [KINDS.index(name.lower()) for name in settings["jitter_order"]]
    alphas = [0.0, 0.0, 0.0]
    for place, alpha in zip(order, settings["jitter_order_alphas"], strict=True):
        alphas[place] = alpha
    near(jittered(values["image"], alphas, order), values["jitter.image"], 3e-7)


def test_changes_in_another_order_are_other_changes_and_each_image_has_its_own():
    x = random_images().double() / 255
    alphas = torch.full((6, 3), 0.3, dtype=torch.float64)
    orders = torch.tensor([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    together = recolour(x, *jitter(x.mean((2, 3)), alphas, orders))
    for image, order, found in zip(x, orders, together, strict=True):
        expected = image
        for turn in order.tolist():
            grey = (torch.tensor([0.299, 0.587, 0.114]).double()[:, None, None] * expected).sum(0)
            goal = [torch.zeros(()), grey.mean(), grey][turn]
            expected = expected + 0.3 * (goal - expected)
        assert_close(found, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("number", range(3), ids=KINDS)
def test_a_batch_is_jittered_as_wrongly_as_released(number):
    values, settings = read("augment")
    alphas = torch.zeros(3)
    alphas[number] = settings["jitter_alphas"][KINDS[number]]
    found = jitter_as_released(values["batch"], alphas, [number])
    near(found, values[f"{KINDS[number]}.batch_as_released"], 3e-7)


def test_lighting_equals_the_released_one():
    values, _ = read("augment")
    for images, alpha, expected in (
        (values["image"], values["lighting.alpha"], values["lighting.image"]),
        (values["batch"], values["lighting.batch_alpha"], values["lighting.batch"]),
    ):
        near(images + lighting(alpha[None])[0][:, None, None], expected, 3e-7)


def test_boxes_of_cutmix_equal_the_released_ones():
    values, _ = read("augment")
    square = [row for row in values["cutmix.boxes"].tolist() if row[0] == row[1]]
    assert len(square) > 30
    for side, _, share, row, column, *box in square:
        top, left, bottom, right = cutmix_box(share, int(side), int(row), int(column))
        assert [top, left, bottom, right] == box


def test_cutmix_keeps_the_share_of_the_clipped_box():
    x = torch.arange(4.0).reshape(4, 1, 1, 1).expand(4, 3, 8, 8)
    partner = torch.tensor([1, 2, 3, 0])
    views = cut_and_mix(x, partner, cutmix_box(0.5, 8, 0, 7))
    assert views.mix.share == (views.images[0, 0] == 0).double().mean().item()
    assert set(views.images[2].unique().tolist()) == {2.0, 3.0} and 0.5 < views.mix.share < 1


@pytest.mark.parametrize("mirrored", [False, True])
def test_crops_equal_torchvisions_resized_crop(mirrored):
    from torchvision.transforms.v2 import functional as V

    x = random_images(side=32).double() / 255
    boxes = torch.tensor(
        [[0, 0, 32, 32], [3, 5, 20, 9], [1, 0, 31, 32], [8, 8, 1, 1], [0, 4, 24, 24], [2, 2, 7, 28]]
    )
    for target in (32, 24, 11, 48):
        found = crop(x, boxes, torch.full((6,), mirrored), target)
        for image, (top, left, height, width), mine in zip(x, boxes.tolist(), found, strict=True):
            expected = V.resized_crop(image, top, left, height, width, [target, target], antialias=True)
            expected = expected.flip(2) if mirrored else expected
            assert_close(mine, expected, rtol=0, atol=1e-6)


def test_random_crops_have_torchvisions_law():
    from torchvision.transforms import RandomResizedCrop

    boxes = draw_crops(np.random.default_rng(0), 20_000, 32, (0.3, 1.0), (3 / 4, 4 / 3))
    torch.manual_seed(0)
    image = torch.zeros(3, 32, 32)
    theirs = np.array(
        [RandomResizedCrop.get_params(image, [0.3, 1.0], [3 / 4, 4 / 3]) for _ in range(20_000)]
    )
    for mine, other in ((boxes, theirs), (boxes[:, 2:] ** 2, theirs[:, 2:] ** 2)):
        error = np.sqrt((mine.var(0) + other.var(0)) / 20_000)
        assert (np.abs(mine.mean(0) - other.mean(0)) < 4 * error).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= 32).all() and (boxes >= 0).all()


def test_a_ratio_that_never_fits_leaves_the_whole_image():
    boxes = draw_crops(np.random.default_rng(0), 5, 32, (1.0, 1.0), (2.0, 2.0))
    assert boxes.tolist() == [[0, 0, 32, 32]] * 5


def test_tiles_change_places_and_nothing_else():
    x = random_images(2, 8).float()
    kept = shuffle_tiles(x, torch.arange(4).expand(2, 4))
    assert torch.equal(kept, x)
    moved = shuffle_tiles(x, torch.tensor([[3, 1, 2, 0], [1, 0, 3, 2]]))
    assert torch.equal(moved[0, :, :4, :4], x[0, :, 4:, 4:]) and torch.equal(
        moved[0, :, :4, 4:], x[0, :, :4, 4:]
    )
    assert torch.equal(moved[1, :, 4:, :4], x[1, :, 4:, 4:])
    with pytest.raises(InputError, match="patch_shuffle 3 does not divide images of 8 pixels"):
        shuffle_tiles(x, torch.arange(9).expand(2, 9))


@pytest.mark.parametrize(
    "recipe", [Dc(), Minimax(recipe="minimax"), Rded(recipe="rded")], ids=lambda r: r.recipe
)
def test_views_are_a_function_of_seed_epoch_and_step(recipe):
    images = random_images(side=16)
    first, again = (Augmentation(recipe, 16, ZERO, ONE, 7)(images, 3, 5) for _ in range(2))
    assert torch.equal(first.images, again.images) and first.images.shape == (6, 3, 16, 16)
    if recipe.recipe == "dc":
        assert torch.equal(first.images, images / 255) and first.mix is None
        return
    assert torch.equal(first.mix.partner, again.mix.partner) and first.mix.share == again.mix.share
    for key in ((8, 3, 5), (7, 4, 5), (7, 3, 6)):
        other = Augmentation(recipe, 16, ZERO, ONE, key[0])(images, *key[1:])
        assert not torch.equal(first.images, other.images)


def test_images_are_standardised_last():
    images, recipe = random_images(), Minimax(recipe="minimax", cutmix=0.0)
    mean, std = torch.tensor([0.2, 0.3, 0.4]), torch.tensor([0.5, 0.25, 2.0])
    raw = Augmentation(recipe, 16, ZERO, ONE, 0)(images, 0, 0).images
    scaled = Augmentation(recipe, 16, mean, std, 0)(images, 0, 0).images
    assert_close(scaled, (raw - mean[:, None, None]) / std[:, None, None])
    plain = Augmentation(recipe, 16, mean, std, 0).plain(images)
    assert_close(plain, (images / 255 - mean[:, None, None]) / std[:, None, None])


def test_colours_by_batch_are_those_of_the_release_and_need_three_images():
    recipe = Minimax(recipe="minimax", colour="batch", crop=None, flip=False, cutmix=0.0, lighting=0.0)
    views = Augmentation(recipe, 16, ZERO, ONE, 0)
    x = random_images()
    assert torch.equal(views(x, 0, 0).images[5], views(torch.cat([x[:3], x[5:]]), 0, 0).images[3]) is False
    with pytest.raises(InputError, match="colour: batch takes the first three images"):
        views(x[:2], 0, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_sees_the_same_views():
    images, recipe = random_images(), Minimax(recipe="minimax")
    here = Augmentation(recipe, 16, ZERO, ONE, 7)(images, 3, 5)
    there = Augmentation(recipe, 16, ZERO.cuda(), ONE.cuda(), 7)(images.cuda(), 3, 5)
    near(there.images.cpu(), here.images, 1e-5)
    assert torch.equal(there.mix.partner.cpu(), here.mix.partner) and there.mix.share == here.mix.share
