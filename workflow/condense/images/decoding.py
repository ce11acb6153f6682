"""From an image file of any format to upright 8-bit RGB, and the centre crop that generators train with."""

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from condense.base.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

ORIENTATION = 0x0112  # EXIF tag
WHITE = (255, 255, 255, 255)


class Unreadable(InputError):
    """An image that cannot be decoded; the text says which and why."""


def decode(file: Path, side: int | None = None, content: bytes | None = None) -> "Image.Image":
    """Decode one file, whatever its name says it is, into an upright RGB image. Raises Unreadable.

    `content` are its bytes, where they do not lie in a file of that name.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file if content is None else BytesIO(content)) as image:
            if side is not None:
                image.draft(None, (2 * side, 2 * side))
            image.load()
            if image.getexif().get(ORIENTATION, 1) != 1:
                image = ImageOps.exif_transpose(image)
            return to_rgb(image)
    except FileNotFoundError:
        raise Unreadable(f"{file} does not exist, or is a link to nothing") from None
    except Image.UnidentifiedImageError:
        empty = not content if content is not None else file.stat().st_size == 0
        raise Unreadable(f"{file} {'is empty' if empty else 'is not an image'}") from None
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
        raise Unreadable(f"{file} cannot be decoded ({error})") from None
    except Image.DecompressionBombError as error:
        raise Unreadable(f"{file} is too large ({error})") from None


def to_rgb(image: "Image.Image") -> "Image.Image":
    """Convert any pixel format to 8-bit RGB.

    16-bit greys are scaled, not clipped; transparent pixels are laid over white.
    """
    from PIL import Image

    if image.mode == "RGB":
        return image
    if image.mode.startswith("I"):  # 16-bit greys; Pillow opens some of them with 32 bits
        grey = np.asarray(image).astype(np.float64) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers of unknown range")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, WHITE), image).convert("RGB")
    return image.convert("RGB")


def centre_crop(image: "Image.Image", size: int) -> "Image.Image":
    """Centre square of side `size`: halve by box averaging while twice too large, then bicubic.

    Source: the crop of ADM (Dhariwal & Nichol 2021), which DiT and SiT train with.
    """
    from PIL import Image

    while min(image.size) >= 2 * size:
        image = image.resize((image.width // 2, image.height // 2), Image.Resampling.BOX)
    scale = size / min(image.size)
    width, height = round(image.width * scale), round(image.height * scale)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))
