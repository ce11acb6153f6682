"""Names of the networks that timm and torchvision have, found without importing them, which takes seconds."""

import re
from difflib import get_close_matches
from functools import cache

from condense.base.libraries import library_folder

# the release's encoders: torchvision's weights, then the sides to which it resizes and crops
RELEASED = {
    "inception_v3": ("IMAGENET1K_V1", 299, 299),
    "googlenet": ("IMAGENET1K_V1", 256, 224),
    "resnet50": ("IMAGENET1K_V2", 256, 224),
    "resnet34": ("IMAGENET1K_V1", 256, 224),
    "resnet18": ("IMAGENET1K_V1", 256, 224),  # the teacher of DsCo, and the features of IMS3
}
DECLARED = re.compile(r"@register_model\b.*?\ndef (\w+)", re.DOTALL)
FORMER = re.compile(r"^    '(\w+)': '[\w.]+',?$", re.MULTILINE)  # names that timm still takes


@cache
def names(library: str) -> frozenset[str]:
    """Names of a library's classifiers; none where it is not installed here, but in a job's environment."""
    folder = library_folder(library)
    if folder is None:
        return frozenset()
    files = sorted((folder / "models").glob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in files]
    return frozenset(name for text in texts for form in (DECLARED, FORMER) for name in form.findall(text))


def unknown(library: str, model: str | None) -> str:
    """What is wrong with the name of a model that a library does not have; "" where nothing is."""
    known = names(library)
    if model is None or not known or model.partition(".")[0] in known:
        return ""
    near = ", ".join(get_close_matches(model, sorted(known), 3))
    return f"model: {library} has no {model}" + (f"; its nearest names are {near}" if near else "")
