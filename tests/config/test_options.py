"""Options of a command rebuild the settings that they came from, each of them, whatever their values are."""

import dataclasses
import shlex
from typing import get_args

import pytest
import typer

from condense.config.options import arguments, others, take
from condense.config.settings import (
    Autoencoder,
    Encoder,
    Gadc,
    Images,
    Method,
    Network,
    Recipe,
    Sampling,
    TextEncoder,
    Training,
)

TAGS = [(cls, tag) for cls in get_args(Method) for tag in get_args(dataclasses.fields(cls)[0].type)]
CHOSEN = {
    "images": Images(),
    "a folder of any name": Images(root="[data] $(touch x); 'é\" none", per_class=3),
    "a published network": Network(size="S"),
    "a free network": Network(depth=1, width=4, heads=2),
    "training": Training(),
    "other training": Training(learning_rate=1e-5, clip=0.1, flip=False, ema_warmup=True, microbatch=2),
    "recipe": Recipe(),
    "sampling": Sampling(guided_channels=3),
    "no autoencoder": Autoencoder(),
    "text encoder": TextEncoder(path="a b", captions="none.csv"),
    "encoder": Encoder(kind="timm", model="m", options={"a": [1, None], "b": {"c": "d e"}}, preprocess={}),
    "other gadc": Gadc(transport=False, tolerance=1e-300, beta=0.0, epsilon=float(2**70)),
    **{tag: cls(kind=tag) for cls, tag in TAGS},
}


def parsed(words: list[str], cls: type) -> object:
    """Settings that a command with the options of a class gets from a shell."""
    found = []
    app = typer.Typer()
    app.command()(take(chosen=cls)(lambda chosen: found.append(chosen)))
    app(shlex.split(shlex.join(words)), standalone_mode=False)
    return found[0]


@pytest.mark.parametrize("name", CHOSEN)
def test_options_name_every_setting_and_rebuild_it(name):
    chosen = CHOSEN[name]
    words = arguments(chosen)
    for item in dataclasses.fields(chosen):
        option = item.name.replace("_", "-")
        assert f"--{option}" in words or f"--no-{option}" in words, "a changed default would rerun nothing"
    assert parsed(words, type(chosen)) == chosen


@pytest.mark.parametrize(("cls", "tag"), TAGS)
def test_a_member_of_a_union_is_rebuilt_from_its_own_options(cls, tag):
    assert parsed(arguments(cls(kind=tag)), Method) == cls(kind=tag)


def test_settings_that_another_stage_obeys_can_be_left_out():
    words = arguments(Gadc(encoder="net"), without=("encoder", "transport"))
    assert "--encoder" not in words and "--transport" not in words and "--no-transport" not in words
    assert "--alpha" in words


def test_other_words_of_a_closed_list():
    assert others(Images, "source", "digits") == {"imagefolder", "parquet", "tar"}
    assert {"random", "herding"} < others(Method, "kind", "gadc")
    assert "gadc" not in others(Method, "kind", "gadc")


def test_an_option_that_would_get_the_value_of_a_setting_is_refused():
    with pytest.raises(TypeError, match="classes"):

        @take(images=Images)
        def draw(images: Images, classes: int = 10) -> None:
            """Draw a few classes."""
