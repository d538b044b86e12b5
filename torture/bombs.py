"""Small files that promise, or unpack to, more than any machine has: each is one line, at once, in little memory."""

import gzip
import io
import json
import os
import shutil
import struct
import threading
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from PIL import Image

from glia.torture.result import Result
from torture.children import Answer, Children
from torture.malformed import wrong
from torture.readers import npy_header, png, png_chunk

NAME = "bombs"
PROMISE = "A file that promises more than a machine holds is refused in one line, within 2 s and 512 MB."
Tell = Callable[[str], None]
Bomb = Callable[[Path], list[str]]
TABLE = "a,y\n" + "1,y\n2,n\n" * 20
GIB = 1 << 30


def picture_of_many_pixels(folder: Path) -> list[str]:
    """13,000 x 13,000 pixels in less than 200 kB, beside good ones."""
    rows = bytes(1 + 13_000) * 13_000
    return _beside_good(folder, "bomb.png", png(13_000, 13_000, rows))


def picture_at_the_limit(folder: Path) -> list[str]:
    """64 megapixels with a transparent palette: allowed, and four times as much as RGBA."""
    clear = png_chunk(b"PLTE", bytes(range(6))), png_chunk(b"tRNS", b"\x80")
    return _beside_good(folder, "large.png", png(8000, 8000, bytes(8001) * 8000, *clear, colour=3))


def picture_of_sixteen_bits(folder: Path) -> list[str]:
    """64 megapixels of 16 bits."""
    return _beside_good(folder, "deep.png", png(8000, 8000, bytes(16_001) * 8000, depth=16))


def cell_without_end(folder: Path) -> list[str]:
    """A gigabyte in one cell; zeros, of which the disk holds none."""
    path = folder / "t.csv"
    path.write_text(TABLE + '3,"')
    os.truncate(path, GIB)
    return ["train", "t.csv", "--target", "y"]


def line_without_end(folder: Path) -> list[str]:
    """300 MB of digits in one line."""
    with (folder / "t.csv").open("wb") as file:
        file.write(TABLE.encode())
        for _ in range(300):
            file.write(b"7" * 1_000_000)
    return ["train", "t.csv", "--target", "y"]


def pipe(folder: Path) -> list[str]:
    """A table that comes out of a pipe without end."""
    os.mkfifo(folder / "t.csv")

    def feed() -> None:
        try:
            with (folder / "t.csv").open("wb") as file:
                while True:
                    file.write(b"7" * 65536)
        except BrokenPipeError:
            return

    threading.Thread(target=feed, daemon=True).start()
    return ["train", "t.csv", "--target", "y"]


def packed_table(folder: Path) -> list[str]:
    """A gigabyte of rows in a megabyte."""
    block = b"1,y\n2,n\n" * (1 << 17)
    with gzip.open(folder / "t.csv.gz", "wb", compresslevel=6) as file:
        for _ in range(600):
            file.write(block)
    return ["train", "t.csv.gz", "--target", "y"]


def columns(folder: Path) -> list[str]:
    """100,000 columns."""
    (folder / "t.csv").write_text(",".join(f"c{i}" for i in range(100_000)) + "\n" + ("1," * 99_999 + "1\n") * 20)
    return ["train", "t.csv", "--target", "c1"]


def deep_recipe(folder: Path) -> list[str]:
    """Lists 10,000 deep."""
    (folder / "r.toml").write_text("[data]\nsource = " + "[" * 10_000 + "]" * 10_000)
    return ["train", "--recipe", "r.toml"]


def long_key(folder: Path) -> list[str]:
    """A key of 400,000 parts."""
    (folder / "r.toml").write_text(".".join(["a"] * 400_000) + " = 1")
    return ["train", "--recipe", "r.toml"]


def long_word(folder: Path) -> list[str]:
    """A recipe that is one word."""
    (folder / "r.toml").write_text("a" * 900_000)
    return ["train", "--recipe", "r.toml"]


def deep_json(folder: Path) -> list[str]:
    """Objects a million deep."""
    (folder / "t.jsonl").write_text('{"a":' * 1_000_000 + "1" + "}" * 1_000_000)
    return ["train", "t.jsonl", "--target", "y"]


def packed_arrays(folder: Path) -> list[str]:
    """Two gigabytes of zeros in some megabytes."""
    with (
        zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("x.npy", "w", force_zip64=True) as entry,
    ):
        shape = {"descr": "|u1", "fortran_order": False, "shape": (2000, 1000, 1000)}
        np.lib.format.write_array_header_1_0(entry, shape)
        for _ in range(100):
            entry.write(bytes(20_000_000))
    return ["train", "a.npz"]


def promised_rows(folder: Path) -> list[str]:
    """10^12 rows in the header, 64 bytes behind it."""
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 8, 8), }\n"
    (folder / "x.npy").write_bytes(npy_header(text) + bytes(64))
    np.save(folder / "y.npy", np.arange(9))
    return ["train", "x.npy"]


def frames_of_gif(folder: Path) -> list[str]:
    """A million frames, of which the first is read."""
    out = io.BytesIO()
    Image.new("P", (8, 8)).save(out, "GIF")
    whole = out.getvalue()
    start = whole.index(b"\x2c")
    return _beside_good(folder, "many.gif", whole[:start] + whole[start:-1] * 1_000_000 + b";")


def frames_of_tiff(folder: Path) -> list[str]:
    """A million directories behind the first."""
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "TIFF")
    first = bytearray(out.getvalue())
    at = struct.unpack_from("<I", first, 4)[0]
    entries = struct.unpack_from("<H", first, at)[0]
    struct.pack_into("<I", first, at + 2 + 12 * entries, len(first))
    more = b"".join(struct.pack("<HI", 0, len(first) + 6 * (i + 1)) for i in range(1_000_000))
    return _beside_good(folder, "many.tiff", bytes(first) + more)


def chunks_of_text(folder: Path) -> list[str]:
    """A thousand text chunks that unpack to a megabyte each, a colour profile of 200 MB, EXIF of 60 MB."""
    text = png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1_000_000), 9))
    profile = png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(200_000_000), 1))
    tags = b"MM\0*\0\0\0\x08" + struct.pack(">H", 65535) + b"\x01\x0f\0\x02\x7f\xff\xff\xff\0\0\0\x10" * 5_000_000
    return _beside_good(folder, "text.png", png(8, 8, bytes(72), profile, png_chunk(b"eXIf", tags), *[text] * 1000))


def rows_of_parquet(folder: Path) -> list[str]:
    """A footer that speaks of 2^62 rows over a file of twenty."""
    out = io.BytesIO()
    pl.DataFrame({"a": [1, 2] * 1000, "y": ["y", "n"] * 1000}).write_parquet(out, statistics=False)
    true, huge = _varint(2000), _varint(1 << 62)
    data = out.getvalue()
    foot = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    footer = data[foot:-8].replace(true, huge)
    (folder / "t.parquet").write_bytes(data[:foot] + footer + struct.pack("<I", len(footer)) + b"PAR1")
    return ["train", "t.parquet", "--target", "y"]


def repeated_rows_of_parquet(folder: Path) -> list[str]:
    """Two billion rows of one value, which truly are there: a run of one number takes some bytes."""
    frame = pl.LazyFrame({"a": [1.0]}).select(pl.col("a").repeat_by(100_000_000).explode(), pl.lit("y").alias("y"))
    frame.collect().write_parquet(folder / "t.parquet", statistics=False, row_group_size=50_000_000)
    return ["train", "t.parquet", "--target", "y", "--limits", "cells=50000000"]


def header_of_weights(folder: Path) -> list[str]:
    """A header of 100 GB in a file of ten bytes."""
    (folder / "t.csv").write_text(TABLE)
    (folder / "w.safetensors").write_bytes((100 * GIB).to_bytes(8, "little") + b"{}")
    return ["train", "t.csv", "--target", "y", "--model", "mlp", "--pretrained", "w.safetensors"]


def header_that_is_there(folder: Path) -> list[str]:
    """A header of 90 MB that is as long as it says."""
    (folder / "t.csv").write_text(TABLE)
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    text = json.dumps({f"layer.{i:07}.weight": entry for i in range(1_000_000)}).encode()
    (folder / "w.safetensors").write_bytes(len(text).to_bytes(8, "little") + text)
    return ["train", "t.csv", "--target", "y", "--model", "mlp", "--pretrained", "w.safetensors"]


def _varint(number: int) -> bytes:
    """As Thrift's compact protocol writes an integer."""
    number <<= 1
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _beside_good(folder: Path, name: str, data: bytes) -> list[str]:
    for label in ("cat", "dog"):
        (folder / label).mkdir()
        for i in range(4):
            Image.new("RGB", (8, 8), (i * 9, 0, 99)).save(folder / label / f"good{i}.png")
    (folder / "cat" / name).write_bytes(data)
    return ["train", ".", "--image-size", "8"]


QUICK: tuple[Bomb, ...] = (
    picture_of_many_pixels, cell_without_end, pipe, columns, deep_recipe, long_key, long_word, deep_json, promised_rows,
    frames_of_gif, rows_of_parquet, header_of_weights,
)  # fmt: skip
SLOW: tuple[Bomb, ...] = (
    picture_at_the_limit, picture_of_sixteen_bits, line_without_end, packed_table, packed_arrays,
    frames_of_tiff, chunks_of_text, repeated_rows_of_parquet, header_that_is_there,
)  # fmt: skip
READ = (picture_at_the_limit, picture_of_sixteen_bits, frames_of_gif, frames_of_tiff, chunks_of_text)
"""These hold a picture that may be read: what counts is how little it costs."""
SMALL, LARGE = len(QUICK), len(QUICK) + len(SLOW)


def run(count: int, folder: Path, tell: Tell) -> Result:
    """The first `count` bombs, the quick ones first."""
    failed, slowest, largest = [], (0.0, ""), (0.0, "")
    with Children() as glia:
        usual = _usual(glia, folder / "usual")
        bombs = (*QUICK, *SLOW)[:count]
        for bomb in bombs:
            tell(bomb.__name__)
            answer = answer_to(glia, bomb, folder / bomb.__name__)
            slowest = max(slowest, (answer.cpu_seconds, bomb.__name__))
            largest = max(largest, (answer.mib - usual.mib, bomb.__name__))
            why = verdict(bomb, answer, usual)
            if why:
                failed.append(f"{bomb.__name__}: {why}")
    figures = {"slowest": f"{slowest[0]:.2f} s ({slowest[1]})", "largest": f"{largest[0]:.0f} MiB ({largest[1]})"}
    return Result(NAME, PROMISE, len(bombs), tuple(failed), figures=figures)


def answer_to(glia: Children, bomb: Bomb, folder: Path) -> Answer:
    """What glia says; the bomb is gone afterwards."""
    folder.mkdir(parents=True)
    try:
        return glia.ask(bomb(folder), folder)
    finally:
        shutil.rmtree(folder)


def verdict(bomb: Bomb, answer: Answer, usual: Answer) -> str:
    """Why an answer breaks the promise; empty where it keeps it."""
    if answer.code == 0 and bomb not in READ:
        return "was read"
    return wrong(answer, usual)


def _usual(glia: Children, folder: Path) -> Answer:
    folder.mkdir(parents=True)
    (folder / "t.csv").write_text(TABLE)
    return glia.ask(["train", "t.csv", "--target", "y"], folder)
