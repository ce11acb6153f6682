"""What people look at of a subset shows what its table says."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.reporting.portraits import plot_chosen

RED, BLUE = (200, 0, 0), (0, 0, 200)


@pytest.fixture
def files(tmp_path):
    """Two classes of six images, the three chosen ones of the first are red, all others blue."""
    rows = [(f"{name}/{i}.png", name, number, i) for number, name in enumerate("ab") for i in range(6)]
    chosen = rows[:3]
    for row in rows:
        path = tmp_path / row[0]
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (12, 10), RED if row in chosen else BLUE).save(path)
    index = pd.DataFrame(rows, columns=["path", "class", "class_index", "bytes"])
    index.to_csv(tmp_path / "index.csv", index=False)
    subset = pd.DataFrame(chosen, columns=["path", "class", "class_index", "rank"])
    subset.to_csv(tmp_path / "subset.csv", index=False)
    return tmp_path


def draw(files, subset, *more):
    words = ("--root", files, "--subset", subset, "--index", files / "index.csv", *more)
    call(plot_chosen, *words, "--output", files / "chosen.png", "--columns", "6")
    return np.asarray(Image.open(files / "chosen.png").convert("RGB"))


def area(picture, colour):
    return (picture == colour).all(-1).sum()


def test_chosen_images_stand_left_and_random_ones_of_their_class_right(files):
    picture = draw(files, files / "subset.csv")
    left, right = np.split(picture[:, : picture.shape[1] // 2 * 2], 2, 1)
    assert area(left, BLUE) == 0
    assert area(right, BLUE) > 0
    assert area(right, BLUE) + area(right, RED) == pytest.approx(area(left, RED), rel=0.02)


def test_so_many_classes_are_drawn_whatever_the_study_is_limited_to(files):
    (files / "both.csv").write_text("path,class,class_index,rank\na/0.png,a,0,0\nb/0.png,b,1,0\n")
    both = draw(files, files / "both.csv", "--classes", "none")
    one = draw(files, files / "both.csv", "--classes", "none", "--most-classes", "1")
    assert len(one) < len(both)


def test_a_subset_of_other_classes_is_refused(files):
    (files / "other.csv").write_text("path,class,class_index,rank\nz/0.png,z,0,0\n")
    with pytest.raises(InputError, match=r"other.csv has no image of a class of .*index.csv"):
        draw(files, files / "other.csv")
