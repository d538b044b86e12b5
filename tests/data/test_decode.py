"""One picture file to one array: colours, depths, orientation, sizes, and what is no picture."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from glia.data.images.decode import Header, Unreadable, decode, read_header
from glia.data.images.pixels import chosen_size


def picture(seed: int, side: tuple[int, int] = (12, 10), mode: str = "RGB") -> Image.Image:
    shape = side if mode == "L" else (*side, 3)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


def encoded(image: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_a_picture_of_the_right_size_is_its_own_pixels() -> None:
    image = picture(0)
    assert np.array_equal(decode(encoded(image), 3, (12, 10)), np.asarray(image).transpose(2, 0, 1))
    assert np.array_equal(decode(encoded(image), 1, (12, 10))[0], np.asarray(image.convert("L")))


def test_transparency_is_laid_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    half = Image.new("RGBA", (4, 4), (200, 0, 0, 128))
    assert (decode(encoded(clear), 3, (4, 4)) == 255).all()
    assert decode(encoded(half), 3, (4, 4))[:, 0, 0] == pytest.approx([227, 127, 127], abs=1)
    assert (decode(encoded(Image.new("LA", (4, 4), (0, 0))), 1, (4, 4)) == 255).all()


def test_sixteen_bits_become_eight() -> None:
    deep = np.array([[0, 257, 65535], [128 * 257, 300, 1000]], np.uint16)
    out = decode(encoded(Image.fromarray(deep)), 1, (2, 3))[0]
    assert out.tolist() == [[0, 1, 255], [128, 1, 4]]


def test_palettes_and_cmyk_become_rgb() -> None:
    image = Image.new("RGB", (6, 6), (255, 0, 0))
    for data in (encoded(image.convert("P")), encoded(image, "GIF"), encoded(image.convert("CMYK"), "TIFF")):
        assert decode(data, 3, (6, 6))[:, 0, 0] == pytest.approx([255, 0, 0], abs=2)


def test_grey_is_seen_in_headers(tmp_path: Path) -> None:
    for name, image, grey in (
        ("l", picture(0, mode="L"), True),
        ("rgb", picture(0), False),
        ("bits", picture(0, mode="L").convert("1"), True),
        ("grey-palette", picture(0, mode="L").convert("P"), True),
        ("palette", picture(0).quantize(8), False),
        ("deep", Image.fromarray(np.zeros((3, 3), np.uint16)), True),
    ):
        image.save(tmp_path / f"{name}.png")
        assert read_header(tmp_path / f"{name}.png").grey is grey, name


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, orientation: int) -> None:
    upright = Image.new("RGB", (40, 24), "black")
    upright.paste((255, 255, 255), (0, 0, 20, 12))  # white top left
    inverse = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # Pillow's transpose that undoes each orientation
    stored = upright if orientation == 1 else upright.transpose(inverse[orientation])  # type: ignore[arg-type]
    exif = Image.Exif()
    exif[274] = orientation
    path = tmp_path / "a.jpg"
    stored.save(path, exif=exif, quality=95)
    assert read_header(path) == Header(24, 40, False)
    out = decode(path.read_bytes(), 3, (24, 40))
    assert np.abs(out.astype(int) - np.asarray(upright).transpose(2, 0, 1)).mean() < 3


def test_wide_pictures_keep_their_middle_undistorted() -> None:
    image = Image.new("RGB", (300, 20), "black")
    image.paste((255, 255, 255), (145, 5, 155, 15))  # a white square in the middle
    out = decode(encoded(image), 3, (40, 40))[0]
    rows, columns = np.nonzero(out > 127)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 29, 10, 29)


def test_photos_decoded_at_part_of_their_size_look_the_same() -> None:
    y, x = np.mgrid[:900, :1200]
    smooth = np.stack([128 + 100 * np.sin(x / 150), 128 + 100 * np.cos(y / 90), x / 5], 2).astype(np.uint8)
    image = Image.fromarray(smooth)
    exact = np.asarray(image.resize((60, 45), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(decode(encoded(image, "JPEG", quality=95), 3, (45, 60)).astype(int) - exact).mean() < 2


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    whole = encoded(picture(0, (200, 200)), "JPEG")
    cases = {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"hello, I am text", "not a picture"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "cut.png": (encoded(picture(0, (200, 200)))[:5000], "truncated"),
    }
    for name, (data, why) in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(Unreadable, match=why):
            read_header(tmp_path / name)
            decode(data, 3, (8, 8))
    with pytest.raises(Unreadable, match="no such file"):
        read_header(tmp_path / "absent.jpg")


def test_enormous_pictures_are_refused_by_their_header(tmp_path: Path) -> None:
    # 9000 x 9000 bits are 10 MB as bits and would be 243 MB as colours.
    Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
    with pytest.raises(Unreadable, match="9000 x 9000 pixels; --limits pixels=81000000"):
        read_header(tmp_path / "bomb.png")
    with pytest.raises(Unreadable, match="9000 x 9000 pixels; --limits pixels=81000000"):
        decode((tmp_path / "bomb.png").read_bytes(), 3, (8, 8))


def test_sizes_that_are_chosen() -> None:
    def known(*sizes: tuple[int, int]) -> list[Header]:
        return [Header(height, width, False) for height, width in sizes]

    assert chosen_size(known((28, 20), (28, 20)), None) == (28, 20)
    assert chosen_size(known((480, 640), (480, 640)), None) == (168, 224)
    assert chosen_size(known((300, 400), (500, 300), (301, 999)), None) == (224, 224)
    assert chosen_size(known((60, 90), (101, 70), (66, 66)), None) == (64, 64)
    assert chosen_size(known((60, 90)), 32) == (32, 32)
