"""Stage captions: states of a T5 encoder for the caption of each class (GADC sec. 4.1), computed once."""

from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.shards import create, put
from condense.base.storage import replacing
from condense.base.tables import read_rows
from condense.config.options import take
from condense.config.settings import TextEncoder
from condense.images.index import class_names

BATCH = 64


@take(settings=TextEncoder)
def captions(
    index: Annotated[Path, typer.Option(help="Index of all images: gives the classes.")],
    output: Annotated[Path, typer.Option(help="Masked states of each class's caption (HDF5).")],
    settings: TextEncoder,
) -> None:
    """Encode the caption of each class."""
    texts = captions_of(class_names(index), settings.captions)
    states = encode(texts, settings)
    if not states.half().isfinite().all():
        raise InputError(f"'{settings.path}' gives states that are not finite; check its weights.")
    with replacing(output) as beside, create(beside) as file:
        put(file, "states", states.half().numpy())
        put(file, "caption", texts)
    say(f"{len(texts)} captions, such as '{texts[0]}' -> {output}")


def captions_of(classes: list[str], table: str | None) -> list[str]:
    """Captions of classes: of a table class,caption; else WordNet's names of ImageNet's ids, or the names."""
    if table is None:
        from timm.data import ImageNetInfo

        names = ImageNetInfo("imagenet-1k")
        known = set(names.label_names())
        return [names.label_name_to_description(name) if name in known else name for name in classes]
    given = {row["class"]: row["caption"] for row in read_rows(Path(table), ("class", "caption"))}
    if missing := [name for name in classes if name not in given]:
        raise InputError(f"{table} has no caption of class {missing[0]!r}; add a line class,caption.")
    return [given[name] for name in classes]


@torch.inference_mode()
def encode(texts: list[str], settings: TextEncoder) -> Tensor:
    """States [n, tokens, width] of texts, cut or padded to `tokens`; zero where padded."""
    tokenise, model = _load(settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device).eval()
    parts = []
    for start in range(0, len(texts), BATCH):
        words = tokenise(
            texts[start : start + BATCH],
            padding="max_length",
            truncation=True,
            max_length=settings.tokens,
            return_tensors="pt",
        )
        ids, mask = words["input_ids"].to(device), words["attention_mask"].to(device)
        states = model(input_ids=ids, attention_mask=mask).last_hidden_state
        parts.append((states.float() * mask[..., None]).cpu())
    return torch.cat(parts)


def _load(settings: TextEncoder) -> tuple:
    """Tokeniser and encoder, from a local folder or the hub, without executing code."""
    from transformers import AutoTokenizer, T5EncoderModel

    where = {"revision": settings.revision} if settings.revision else {}
    if not where and not Path(settings.path).is_dir():
        raise InputError(
            f"text encoder path '{settings.path}' is not a folder; download the weights there, "
            "or give a name on the hub together with its revision (a commit)."
        )
    try:
        model: nn.Module = T5EncoderModel.from_pretrained(settings.path, use_safetensors=True, **where)
        return AutoTokenizer.from_pretrained(settings.path, **where), model
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{settings.path}' is no T5 encoder ({str(error).splitlines()[0]}); check text_encoders.*.path, "
            "which needs config.json, safetensors weights and the tokeniser."
        ) from None
