"""Names by which files are taken for images; their content is judged on decoding."""

from pathlib import Path

EXTENSIONS = (
    ".jpeg",
    ".jpg",
    ".jpe",
    ".png",
    ".bmp",
    ".webp",
    ".gif",
    ".tif",
    ".tiff",
    ".ppm",
    ".pgm",
    ".pbm",
)


def is_image_name(name: str) -> bool:
    """Whether a file has an image's extension and is not hidden; its content is judged on decoding."""
    return not name.startswith(".") and Path(name).suffix.lower() in EXTENSIONS
