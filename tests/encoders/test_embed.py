import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.base.shards import open_shard, read_text
from condense.base.storage import locked
from condense.config.settings import Images
from condense.encoders import embed as module
from condense.encoders.embed import embed, embed_shard
from condense.encoders.encoder import FrozenEncoder, encoder
from condense.images.decoding import centre_crop
from condense.images.index import index
from condense.images.sources import source


@pytest.fixture(scope="module")
def cnn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small encoder fitted on a few digits."""
    folder = tmp_path_factory.mktemp("cnn")
    words, made = ["--source", "digits", "--per-class", "20"], folder / "cnn.safetensors"
    call(index, *words, "--output", folder / "i.csv")
    call(encoder, "--kind", "fit", "--epochs", "2", *words, "--output", made, folder / "i.csv")
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three classes of 20 random pictures; a picture is known by its pixels."""
    rng = np.random.default_rng(0)
    for name in ("ant", "bee 'n co", "öwl"):
        (tmp_path / "images" / name).mkdir(parents=True)
        for number in range(20):
            pixels = rng.integers(0, 256, (12, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{number}.png")
    return tmp_path / "images"


def embed_folder(root: Path, cnn: Path, output: Path, *words: object) -> str:
    """Index and embed a folder as one shard; return what the command says."""
    listed = output.with_suffix(".csv")
    call(index, "--root", root, "--output", listed)
    state = output.with_suffix(".state")
    common = ["--root", root, "--index", listed, "--encoder", cnn, "--state", state]
    return call(embed, *common, "--output", output, *words)


def test_each_row_is_the_feature_of_the_image_beside_it(root: Path, cnn: Path, tmp_path: Path) -> None:
    net, opened = FrozenEncoder(cnn), source(Images(root=str(root)))
    embed_folder(root, cnn, tmp_path / "cnn.h5")
    with open_shard(tmp_path / "cnn.h5") as file:
        assert (file.attrs["encoder"], file.attrs["digest"]) == ("cnn", net.digest)
        assert list(file) == ["ant", "bee 'n co", "öwl"]
        for number, (name, group) in enumerate(file.items()):
            assert group.attrs["class_index"] == number
            assert group["features"].dtype == np.float32
            paths = read_text(group["paths"])
            assert paths == [path for path, _ in opened.images(name)]
            alone = net.features([opened.open(path) for path in paths])
            np.testing.assert_allclose(group["features"][()], alone, rtol=1e-4, atol=1e-4)


def test_neither_workers_nor_shards_change_a_feature(root: Path, cnn: Path, tmp_path: Path) -> None:
    one, three = tmp_path / "a.h5", tmp_path / "b.h5"
    embed_folder(root, cnn, one, "--workers", 1)
    embed_folder(root, cnn, three, "--workers", 3)
    assert one.read_bytes() == three.read_bytes()
    call(index, "--root", root, "--shard", "2-of-2", "--output", tmp_path / "half.csv")
    common = ["--root", root, "--encoder", cnn, "--state", tmp_path / "state"]
    call(embed, *common, "--index", tmp_path / "half.csv", "--output", tmp_path / "half.h5")
    with open_shard(tmp_path / "half.h5") as half, open_shard(one) as whole:
        assert list(half) == ["bee 'n co", "öwl"]
        for name, group in half.items():
            np.testing.assert_array_equal(group["features"][()], whole[name]["features"][()])
            assert group.attrs["class_index"] == whole[name].attrs["class_index"]


def test_a_size_crops_before_the_encoder_sees_the_image(root: Path, cnn: Path, tmp_path: Path) -> None:
    embed_folder(root, cnn, tmp_path / "plain.h5")
    embed_folder(root, cnn, tmp_path / "cropped.h5", "--size", 4)
    coarse = tmp_path / "coarse"
    opened = source(Images(root=str(root)))
    for name in opened.classes():
        (coarse / name).mkdir(parents=True)
        for path, _ in opened.images(name):
            centre_crop(opened.open(path), 4).save(coarse / path)
    embed_folder(coarse, cnn, tmp_path / "expected.h5")
    found = {}
    for name in ("plain", "cropped", "expected"):
        with open_shard(tmp_path / f"{name}.h5") as file:
            found[name] = file["ant"]["features"][()]
    np.testing.assert_array_equal(found["cropped"], found["expected"])
    assert not np.allclose(found["cropped"], found["plain"], atol=0.1)


def test_an_interrupted_run_goes_on_with_the_classes_that_are_missing(
    root: Path, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_folder(root, cnn, tmp_path / "whole.h5")
    encoded = []
    real = module._encode

    def counted(net: FrozenEncoder, batch: object) -> np.ndarray:
        if len(encoded) == 3:
            raise RuntimeError("stopped")
        encoded.append(batch.paths[0].split("/")[0])
        return real(net, batch)

    output = tmp_path / "broken.h5"
    monkeypatch.setattr(module, "_encode", counted)
    with pytest.raises(RuntimeError, match="stopped"):
        embed_folder(root, cnn, output)
    assert not output.exists()
    assert encoded == ["ant", "ant", "bee 'n co"]
    encoded[:] = [None] * 9
    embed_folder(root, cnn, output)
    assert encoded[9:] == ["bee 'n co"] * 2 + ["öwl"] * 2
    assert output.read_bytes() == (tmp_path / "whole.h5").read_bytes()
    assert not output.with_suffix(".state").exists()


def test_a_run_that_was_killed_goes_on(root: Path, cnn: Path, tmp_path: Path) -> None:
    """Killed by the system in the middle of the second class, with a torn state file left behind."""
    embed_folder(root, cnn, tmp_path / "whole.h5")
    code = (
        "import sys, os, signal\n"
        "from condense import __main__\n"
        "from condense.encoders import embed\n"
        "real, count = embed._encode, iter(range(99))\n"
        "def stop(net, batch):\n"
        "    if next(count) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return real(net, batch)\n"
        "embed._encode = stop\n"
        "__main__.main()\n"
    )
    output, listed, state = tmp_path / "k.h5", tmp_path / "k.csv", tmp_path / "k.state"
    call(index, "--root", root, "--output", listed)
    words = [
        "embed",
        "--root",
        root,
        "--index",
        listed,
        "--encoder",
        cnn,
        "--state",
        state,
        "--output",
        output,
    ]
    environment = {"PYTHONPATH": str(Path(module.__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    killed = subprocess.run([sys.executable, "-c", code, *map(str, words)], env=environment, check=False)
    assert killed.returncode == -9
    assert len(list(state.glob("*.npz"))) == 1
    next(state.glob("*.npz")).write_bytes(b"PK\3\4 torn")
    embed_folder(root, cnn, output)
    assert output.read_bytes() == (tmp_path / "whole.h5").read_bytes()


def test_a_shard_that_another_process_embeds_is_refused(root: Path, cnn: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "e.state"), pytest.raises(InputError, match=r"e\.state is in use by process"):
        embed_folder(root, cnn, tmp_path / "e.h5")


def test_kept_classes_of_another_encoder_or_other_images_are_not_taken(
    root: Path, cnn: Path, tmp_path: Path
) -> None:
    images, state, listed = Images(root=str(root)), tmp_path / "state", tmp_path / "i.csv"
    call(index, "--root", root, "--output", listed)
    first = embed_shard(listed, FrozenEncoder(cnn), images, state)
    Image.new("RGB", (9, 9)).save(root / "ant" / "0.png")
    call(index, "--root", root, "--output", listed)
    second = embed_shard(listed, FrozenEncoder(cnn), images, state)
    assert not np.array_equal(first[0][2]["features"], second[0][2]["features"])
    np.testing.assert_array_equal(first[1][2]["features"], second[1][2]["features"])


def test_unreadable_images_stop_the_run_with_all_their_names(root: Path, cnn: Path, tmp_path: Path) -> None:
    for name in ("ant", "öwl"):
        (root / name / "3.png").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        embed_folder(root, cnn, tmp_path / "e.h5")
    text = str(caught.value)
    assert text.startswith("2 of 60 images cannot be read: ")
    assert "ant/3.png is empty" in text
    assert "öwl/3.png is empty" in text
    assert text.endswith("set images.unreadable: skip.")
    assert not (tmp_path / "e.h5").exists()


def test_unreadable_images_are_skipped_and_counted_where_that_is_wished(
    root: Path, cnn: Path, tmp_path: Path
) -> None:
    (root / "ant" / "3.png").write_text("text")
    said = embed_folder(root, cnn, tmp_path / "e.h5", "--unreadable", "skip")
    assert "59 images embedded, 1 skipped as unreadable" in said
    with open_shard(tmp_path / "e.h5") as file:
        assert file["ant"]["features"].shape == (19, 64)
        assert "ant/3.png" not in read_text(file["ant"]["paths"])
        assert read_text(file["ant"]["unreadable"]) == ["ant/3.png"]
        assert read_text(file["öwl"]["unreadable"]) == []


def test_a_class_without_a_readable_image_is_named(root: Path, cnn: Path, tmp_path: Path) -> None:
    for path in (root / "ant").iterdir():
        path.write_text("text")
    with pytest.raises(InputError, match="No image of class 'ant' can be read"):
        embed_folder(root, cnn, tmp_path / "e.h5", "--unreadable", "skip")


def test_a_feature_that_is_not_finite_names_its_image(
    root: Path, cnn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = FrozenEncoder.encode

    def overflow(self: FrozenEncoder, pixels: np.ndarray) -> torch.Tensor:
        features = real(self, pixels).clone()
        features[2, 5] = float("inf")
        return features

    monkeypatch.setattr(FrozenEncoder, "encode", overflow)
    with pytest.raises(InputError, match=r"not finite for ant/10\.png"):
        embed_folder(root, cnn, tmp_path / "e.h5")


def test_a_shard_without_classes_is_whole_and_empty(cnn: Path, tmp_path: Path) -> None:
    (tmp_path / "i.csv").write_text("path,class,class_index,bytes\n")
    words = ["--source", "digits", "--index", tmp_path / "i.csv", "--state", tmp_path / "s"]
    call(embed, *words, "--encoder", cnn, "--output", tmp_path / "e.h5")
    with open_shard(tmp_path / "e.h5") as file:
        assert list(file) == []


def test_a_torn_or_unfinished_shard_is_named(root: Path, cnn: Path, tmp_path: Path) -> None:
    embed_folder(root, cnn, tmp_path / "e.h5")
    (tmp_path / "torn.h5").write_bytes((tmp_path / "e.h5").read_bytes()[:3000])
    with h5py.File(tmp_path / "unfinished.h5", "w") as file:
        file.create_group("ant")
    for name, fault in (("torn", "cannot be read as HDF5"), ("unfinished", "is unfinished")):
        with pytest.raises(InputError, match=rf"{name}\.h5 {fault}"), open_shard(tmp_path / f"{name}.h5"):
            pass
