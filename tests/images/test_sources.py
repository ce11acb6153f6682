import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.decoding import Unreadable, centre_crop, decode
from condense.images.preprocess import Preprocess
from condense.images.sources import batches, load, source

RED, GREEN = (200, 30, 40), (20, 160, 60)


def picture(width: int = 48, height: int = 32) -> Image.Image:
    """Red with a green top left quarter, so that turning, scaling and colour faults show."""
    pixels = np.empty((height, width, 3), np.uint8)
    pixels[:] = RED
    pixels[: height // 2, : width // 2] = GREEN
    return Image.fromarray(pixels)


def write_16_bit_rgb(path: Path, image: Image.Image) -> None:
    """A PNG of 16 bits per channel, which Pillow cannot write."""
    wide = (np.asarray(image).astype(">u2") * 257).tobytes()
    row = image.width * 6
    data = b"".join(b"\0" + wide[y * row : (y + 1) * row] for y in range(image.height))
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", *image.size, 16, 2, 0, 0, 0)), (b"IDAT", zlib.compress(data))]
    body = b"".join(
        struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
        for t, d in [*chunks, (b"IEND", b"")]
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


@pytest.fixture
def odd_folder(tmp_path: Path) -> Path:
    """Images in every unusual format, sound and broken, in classes with unusual names."""
    good, bad, same = tmp_path / "good", tmp_path / 'bad \'n "worse"', tmp_path / "ähnlich"
    for folder in (good, bad, same, tmp_path / ".hidden"):
        folder.mkdir()
    image = picture()
    image.save(good / "plain.JPEG", quality=95, subsampling=0)
    image.save(good / "upper.PNG")
    image.save(good / "really a png.jpg", format="PNG")
    image.convert("CMYK").save(good / "cmyk.jpg", quality=95, subsampling=0)
    image.convert("L").save(good / "grey.png")
    image.quantize(8).save(good / "palette.png")
    image.quantize(8).save(good / "first.gif", save_all=True, append_images=[Image.new("P", image.size)])
    image.save(good / "lossless.webp", lossless=True)
    image.save(good / "bitmap.bmp")
    write_16_bit_rgb(good / "deep.png", image)
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(good / "deep grey.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it turned clockwise by 90 degrees
    image.transpose(Image.Transpose.ROTATE_90).save(good / "turned.png", exif=exif)
    clear = image.convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(np.asarray(image)[..., 0] == RED[0], 255, 0).astype(np.uint8)))
    clear.save(good / "transparent.png")

    image.resize((400, 300)).save(bad / "whole.jpg")
    whole = (bad / "whole.jpg").read_bytes()
    (bad / "truncated.jpg").write_bytes(whole[: len(whole) // 2])
    (bad / "empty.jpeg").touch()
    (bad / "text.png").write_text("not an image")
    (bad / "link.jpg").symlink_to(bad / "nowhere.jpg")
    (bad / "folder.jpg").mkdir()
    Image.fromarray(np.zeros((4, 4), np.float32)).save(bad / "float.tiff")
    (bad / "notes.txt").write_text("an image's extension decides what is looked at")
    (bad / "._plain.JPEG").write_text("left behind by a file system")

    image.save(same / "plain.JPEG")
    image.save(same / 'naïve, "quoted" image\'s.png')
    return tmp_path


def folder(root: Path, **settings: object) -> object:
    return source(Images(root=str(root), **settings))


def test_classes_are_the_visible_sub_folders_and_images_go_by_extension(odd_folder: Path) -> None:
    opened = folder(odd_folder)
    assert opened.classes() == ['bad \'n "worse"', "good", "ähnlich"]
    names = [path.split("/")[1] for path, _ in opened.images('bad \'n "worse"')]
    assert names == [
        "empty.jpeg",
        "float.tiff",
        "folder.jpg",
        "link.jpg",
        "text.png",
        "truncated.jpg",
        "whole.jpg",
    ]
    assert dict(opened.images('bad \'n "worse"'))['bad \'n "worse"/empty.jpeg'] == 0
    assert [path for path, _ in opened.images("ähnlich")] == [
        'ähnlich/naïve, "quoted" image\'s.png',
        "ähnlich/plain.JPEG",
    ]


EXACT = [
    "upper.PNG",
    "really a png.jpg",
    "palette.png",
    "first.gif",
    "lossless.webp",
    "bitmap.bmp",
    "deep.png",
    "turned.png",
]


@pytest.mark.parametrize("name", EXACT)
def test_lossless_colour_images_keep_their_pixels(odd_folder: Path, name: str) -> None:
    np.testing.assert_array_equal(load(folder(odd_folder), f"good/{name}"), np.asarray(picture()))


@pytest.mark.parametrize("name", ["plain.JPEG", "cmyk.jpg"])
def test_jpeg_colours_are_right(odd_folder: Path, name: str) -> None:
    pixels = load(folder(odd_folder), f"good/{name}")
    assert np.abs(pixels[24, 40].astype(int) - RED).max() <= 4
    assert np.abs(pixels[8, 8].astype(int) - GREEN).max() <= 4


@pytest.mark.parametrize("name", ["grey.png", "deep grey.png"])
def test_greys_become_equal_channels_without_clipping(odd_folder: Path, name: str) -> None:
    expected = np.repeat(np.asarray(picture().convert("L"))[..., None], 3, 2)
    np.testing.assert_array_equal(load(folder(odd_folder), f"good/{name}"), expected)


def test_transparent_pixels_lie_over_white(odd_folder: Path) -> None:
    pixels = load(folder(odd_folder), "good/transparent.png")
    assert tuple(pixels[8, 8]) == (255, 255, 255)
    assert tuple(pixels[24, 40]) == RED


BROKEN = {
    "truncated.jpg": "cannot be decoded .*truncated",
    "empty.jpeg": "is empty",
    "text.png": "is not an image",
    "link.jpg": "link to nothing",
    "folder.jpg": "cannot be decoded",
    "float.tiff": "floating-point",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_image_is_named_with_its_fault(odd_folder: Path, name: str) -> None:
    with pytest.raises(Unreadable, match=name.replace(".", r"\.")) as caught:
        folder(odd_folder).open(f'bad \'n "worse"/{name}')
    assert re.search(BROKEN[name], str(caught.value))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_an_image_without_read_permission_is_named(odd_folder: Path) -> None:
    (odd_folder / "good" / "upper.PNG").chmod(0)
    with pytest.raises(Unreadable, match=r"upper\.PNG cannot be decoded .*Permission denied"):
        folder(odd_folder).open("good/upper.PNG")


def test_unreadable_images_leave_a_batch_in_order_and_are_reported(odd_folder: Path) -> None:
    opened = folder(odd_folder)
    name = 'bad \'n "worse"'
    paths = [f"{name}/empty.jpeg", f"{name}/whole.jpg", f"{name}/text.png", "good/upper.PNG"]
    (batch,) = batches([paths], lambda path: load(opened, path, 16), workers=1)
    assert batch.paths == [f"{name}/whole.jpg", "good/upper.PNG"]
    assert batch.pixels.shape == (2, 16, 16, 3)
    assert [path for path, _ in batch.unreadable] == [f"{name}/empty.jpeg", f"{name}/text.png"]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_batches_come_in_order_whatever_the_number_of_workers(workers: int) -> None:
    opened = source(Images(source="digits"))
    paths = [path for path, _ in opened.images("4")]
    groups = [paths[start : start + 7] for start in range(0, len(paths), 7)]
    read = list(batches(groups, lambda path: load(opened, path), workers))
    assert [batch.paths for batch in read] == groups
    np.testing.assert_array_equal(read[3].pixels[2], load(opened, groups[3][2]))


def test_an_error_of_the_consumer_stops_the_decoding_threads() -> None:
    decoded = []

    def read(path: str) -> np.ndarray:
        decoded.append(path)
        return np.zeros((1, 1, 3), np.uint8)

    stream = batches([[str(n)] for n in range(1000)], read, workers=2)
    next(stream)
    stream.close()
    assert len(decoded) < 20


def test_centre_crop_is_the_identity_at_its_own_size() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(centre_crop(Image.fromarray(noise), 32)), noise)


def test_centre_crop_halves_by_box_averages() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    middle = noise[:, 32:96].reshape(32, 2, 32, 2, 3).mean((1, 3))
    assert np.abs(np.asarray(centre_crop(Image.fromarray(noise), 32)) - middle).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(100, 70), (70, 100), (33, 500), (65, 64), (20, 24)])
def test_centre_crop_gives_the_square_of_any_shape(width: int, height: int) -> None:
    image = Image.new("RGB", (width, height), RED)
    cropped = np.asarray(centre_crop(image, 32))
    assert cropped.shape == (32, 32, 3)
    assert (cropped == RED).all()


def test_a_large_jpeg_is_reduced_while_decoding_but_not_below_twice_the_side(tmp_path: Path) -> None:
    picture(2400, 1600).save(tmp_path / "large.jpg")
    assert decode(tmp_path / "large.jpg").size == (2400, 1600)
    assert decode(tmp_path / "large.jpg", 256).size == (1200, 800)
    prepare = Preprocess(side=224, resize=256).prepare
    whole, reduced = (prepare(decode(tmp_path / "large.jpg", side)).astype(int) for side in (None, 256))
    assert np.abs(whole - reduced).mean() < 0.5


@pytest.mark.parametrize("mode", ["center", "squash"])
@pytest.mark.parametrize("size", [(500, 375), (375, 500), (97, 251), (224, 224), (301, 300)])
def test_preparing_equals_timms_transform(size: tuple[int, int], mode: str) -> None:
    from timm.data import create_transform

    noise = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((size[1] * 2, size[0] * 2), Image.Resampling.BICUBIC)
    transform = create_transform(
        input_size=224, crop_pct=0.875, interpolation="bicubic", crop_mode=mode, normalize=False
    )
    prepared = Preprocess(side=224, resize=256, mode=mode).prepare(image)
    assert np.abs(prepared.astype(int) - transform(image).permute(1, 2, 0).numpy()).max() <= 1


def test_digits_are_named_by_number_and_spread_over_eight_bits() -> None:
    opened = source(Images(source="digits", per_class=5, classes=3))
    assert opened.classes() == ["0", "1", "2"]
    paths = [path for path, _ in opened.images("1")]
    assert paths == ["1/0001.png", "1/0011.png", "1/0021.png", "1/0042.png", "1/0047.png"]
    pixels = np.stack([load(opened, path) for path in paths])
    assert pixels.shape == (5, 8, 8, 3)
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_digits_are_those_of_scikit_learn() -> None:
    from sklearn.datasets import load_digits

    opened, expected = source(Images(source="digits")), load_digits()
    for name in opened.classes():
        members = np.flatnonzero(expected.target == int(name))
        paths = [path for path, _ in opened.images(name)]
        assert paths == [f"{name}/{number:04d}.png" for number in members]
        pixels = np.stack([load(opened, path) for path in paths])
        assert (pixels == np.round(expected.images[members] * (255 / 16))[..., None]).all()


def test_digits_are_read_without_importing_scikit_learn() -> None:
    code = (
        "import sys\n"
        "from condense.config.settings import Images\n"
        "from condense.images.sources import source\n"
        "opened = source(Images(source='digits'))\n"
        "assert sum(len(opened.images(name)) for name in opened.classes()) == 1797\n"
        "assert not {'sklearn', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_missing_root_is_one_sentence_with_the_way_out(tmp_path: Path) -> None:
    for root in (str(tmp_path / "none"), None):
        with pytest.raises(InputError, match=r"one folder per class.*make demo"):
            source(Images(root=root)).classes()


def test_a_root_without_classes_and_an_empty_class_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no folders"):
        folder(tmp_path).classes()
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat" / "notes.txt").touch()
    with pytest.raises(InputError, match="Class 'cat' is empty"):
        folder(tmp_path).images("cat")


@pytest.mark.parametrize("photographs", [40])
def test_real_photographs_decode_to_their_size(real_data: Path, photographs: int) -> None:
    opened = folder(real_data / "imagenette_train", per_class=photographs // 10)
    paths = [path for name in opened.classes() for path, _ in opened.images(name)]
    assert len(paths) == photographs
    assert {load(opened, path).shape for path in paths} == {(224, 224, 3)}
