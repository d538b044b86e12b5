"""One picture file to one uint8 array: the same bytes at training and at prediction."""

import io
import stat
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from glia import limits

SUFFIXES = frozenset(
    ".jpg .jpeg .jpe .jfif .png .bmp .gif .webp .tif .tiff .ppm .pgm .pbm .pnm .avif .jp2 .tga".split()
)
LARGE_PIXELS = 8_000_000  # from here on pictures are decoded one after another: many at once would fill the memory
STRIP_PIXELS = 2_000_000
_FROM_SIXTEEN = np.rint(np.arange(65536) / 257).astype(np.uint8)
_one_by_one = Lock()
_ORIENTATION = 274  # the EXIF tag; values 5 to 8 turn the picture on its side
_GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


class Unreadable(Exception):
    """A file that gives no picture; the text says why in a few words."""


@dataclass(frozen=True)
class Header:
    """What a file says of itself before it is decoded: upright size in pixels, and whether it is grey."""

    height: int
    width: int
    grey: bool


def is_picture_name(path: Path) -> bool:
    """Whether the name ends as pictures' names do; hidden files (and macOS's ._ files) are none."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def read_header(path: Path, raised: limits.Raised = limits.USUAL) -> Header:
    """Size and kind of a picture, from the first bytes of its file.

    raised: what of glia.limits the user raised. Raises Unreadable for what is no picture, or beyond a limit.
    """
    _check_file(path, raised)
    try:
        with _opened(path, raised) as image:
            width, height = image.size
            if image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8):
                width, height = height, width
            return Header(height, width, image.mode in _GREY_MODES or _grey_palette(image))
    except Unreadable:
        raise
    except Exception as error:  # Pillow's parsers raise many kinds on damaged files
        raise Unreadable(_reason(error, path.is_file() and path.stat().st_size == 0)) from None


def decode(
    data: bytes, channels: int, size: tuple[int, int], raised: limits.Raised = limits.USUAL
) -> NDArray[np.uint8]:
    """A file's bytes as a picture (channels, height, width) of `size`: the middle, cut to the shape of `size`, resized.

    Upright by EXIF; transparency laid on white (as on the page that such drawings are made for); 16 bits rounded to 8;
    CMYK, palettes and other colours turned to RGB. Resizing is Pillow's bilinear with antialiasing.
    Raises Unreadable.
    """
    try:
        with _opened(io.BytesIO(data), raised) as image:
            _draft(image, size)
            with _one_by_one if image.width * image.height > LARGE_PIXELS else nullcontext():
                ImageOps.exif_transpose(image, in_place=True)
                return _fitted(_plain(image, channels), size)
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(_reason(error, not data)) from None


def read_bytes(path: Path, raised: limits.Raised) -> bytes:
    """A file's content. Raises Unreadable."""
    _check_file(path, raised)
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(_reason(error, False)) from None


def fit_array(picture: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """A picture (C, H, W) brought to `size` as `decode` does it."""
    if picture.shape[1:] == size:
        return picture
    pixels = picture[0] if len(picture) == 1 else np.ascontiguousarray(picture.transpose(1, 2, 0))
    return _fitted(Image.fromarray(pixels), size)


def _check_file(path: Path, raised: limits.Raised) -> None:
    """A pipe would be waited for, and a file of any size be read. Raises Unreadable."""
    try:
        about = path.stat()
    except (OSError, ValueError) as error:
        raise Unreadable(_reason(error, False)) from None
    if not stat.S_ISREG(about.st_mode):
        raise Unreadable("no plain file")
    if about.st_size > limits.most("picture_bytes", raised):
        raise Unreadable(f"{about.st_size:,} bytes; {limits.raising('picture_bytes', about.st_size)}")


def _opened(file: Path | io.BytesIO, raised: limits.Raised) -> Image.Image:
    most = limits.most("pixels", raised)
    if Image.MAX_IMAGE_PIXELS is not None and most > Image.MAX_IMAGE_PIXELS:
        Image.MAX_IMAGE_PIXELS = most  # Pillow has a limit of its own, for the whole process
    image = Image.open(file)
    pixels = image.width * image.height
    if pixels > most:
        image.close()
        raise Unreadable(f"{image.width} x {image.height} pixels; {limits.raising('pixels', pixels)}")
    return image


def _grey_palette(image: Image.Image) -> bool:
    """A palette of greys alone, as scanners and old PNG writers make."""
    if image.mode not in ("P", "PA") or image.palette is None:
        return False
    if image.palette.mode != "RGB":
        return False
    values = image.palette.tobytes()
    colours = np.frombuffer(values[: len(values) // 3 * 3], np.uint8).reshape(-1, 3)
    return bool((colours == colours[:, :1]).all())


def _draft(image: Image.Image, size: tuple[int, int]) -> None:
    """Let the JPEG decoder skip detail that resizing would average away: at least twice the size is kept."""
    if image.format == "JPEG":
        longest = 2 * max(size)  # both sides, as the picture may lie on its side
        image.draft(image.mode, (longest, longest))


def _plain(image: Image.Image, channels: int) -> Image.Image:
    """The picture in mode L or RGB; a large one strip by strip, as RGBA and floats are many times as large."""
    mode = "L" if channels == 1 else "RGB"
    if image.mode == mode and not image.has_transparency_data:
        return image
    rows = max(1, STRIP_PIXELS // image.width)
    strips = [(0, top, image.width, min(top + rows, image.height)) for top in range(0, image.height, rows)]
    scale = _scale(image.crop(box) for box in strips) if image.mode.startswith("I") or image.mode == "F" else None
    out = Image.new(mode, image.size)
    for box in strips:
        out.paste(_plain_strip(image.crop(box), mode, scale), box)
    return out


def _plain_strip(image: Image.Image, mode: str, scale: tuple[int, int] | None) -> Image.Image:
    if scale is not None:
        image = Image.fromarray(_eight_bits(np.asarray(image), *scale))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert(mode)


def _scale(strips: Iterable[Image.Image]) -> tuple[int, int]:
    """(factor, divisor) to 0..255: 16-bit values by 257; within 0..255 as they are; floats within 0..1 as shares of
    white."""
    low, high, shares = 0.0, 0.0, False
    for strip in strips:
        values = np.asarray(strip)
        if values.dtype == np.uint16:
            return 1, 257
        if not np.isfinite(values).all():
            raise Unreadable("values outside 0..65535")
        low, high, shares = min(low, float(values.min())), max(high, float(values.max())), values.dtype.kind == "f"
    if low < 0 or high > 65535:
        raise Unreadable("values outside 0..65535")
    return (1, 257) if high > 255 else (255, 1) if shares and high <= 1 else (1, 1)


def _eight_bits(values: NDArray[np.generic], factor: int, divisor: int) -> NDArray[np.uint8]:
    if values.dtype == np.uint16:
        return _FROM_SIXTEEN[values]
    return np.rint(values.astype(np.float64) * factor / divisor).astype(np.uint8)


def _fitted(image: Image.Image, size: tuple[int, int]) -> NDArray[np.uint8]:
    """(C, height, width): the largest middle part that has the shape of `size`, resized to it."""
    height, width = size
    if image.size != (width, height):
        scale = min(image.width / width, image.height / height)
        left, top = max(image.width - scale * width, 0) / 2, max(image.height - scale * height, 0) / 2
        box = (left, top, min(left + scale * width, image.width), min(top + scale * height, image.height))
        image = image.resize((width, height), Image.Resampling.BILINEAR, box=box)
    pixels = np.asarray(image)
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _reason(error: Exception, empty: bool) -> str:
    """A few words for what Pillow, or the system, raised."""
    if empty:
        return "an empty file"
    if isinstance(error, FileNotFoundError):
        return "no such file"
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or "cannot be opened"
    if isinstance(error, Image.DecompressionBombError):
        return f"far too many pixels; {limits.raising('pixels', 1_000_000_000)}"
    text = str(error)
    return "truncated" if "truncated" in text.lower() or "broken data stream" in text else text or type(error).__name__
