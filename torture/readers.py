"""What glia reads: for each reader small good files, the command that reads them, and ways to break them."""

import gzip
import io
import json
import struct
import tomllib
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import polars as pl
import safetensors.numpy
import tomli_w
from PIL import Image

from torture.mutants import BYTES, ODD_VALUES, TEXT, Mutant, revalued

Files = dict[str, bytes]
FEW = ("--epochs", "1", "--image-size", "8")


@dataclass(frozen=True)
class Reader:
    """good: files by name. odd: files broken by hand, by name. beside: what stands in the folder with each.

    words: the command for a file of that name. mutants: how bytes are broken.
    """

    name: str
    good: Files
    odd: Files
    beside: Files
    words: Callable[[str, Random], list[str]]
    mutants: tuple[Mutant, ...]


def _rows(count: int = 40) -> list[dict[str, Any]]:
    draw = Random(7)
    return [
        {
            "age": draw.randrange(18, 80), "who": draw.choice(("Zoë", "Bob, jr", "Ann")), "size": draw.random() * 9,
            "born": f"19{draw.randrange(10, 99)}-0{draw.randrange(1, 9)}-1{draw.randrange(9)}", "y": "yn"[i % 2],
        }
        for i in range(count)
    ]  # fmt: skip


def _separated(separator: str = ",", end: str = "\n") -> bytes:
    frame = pl.DataFrame(_rows())
    return frame.write_csv(separator=separator, quote_style="non_numeric").replace("\n", end).encode()


def _table_words(name: str, draw: Random) -> list[str]:
    return ["train", name, "--target", draw.choice(("y", "y", "y", "-1")), *FEW]


def separated() -> Reader:
    """CSV and TSV, plain and packed."""
    csv, long = _separated(), b"a,y\n"
    head = csv.split(b"\n")[0]
    odd = {
        "empty.csv": b"",
        "head.csv": head,
        "head-line.csv": head + b"\n",
        "nul.csv": bytes(100),
        "nul-in.csv": csv.replace(b"Ann", b"A\0n"),
        "latin.csv": csv.decode().encode("latin-1"),
        "utf16.csv": csv.decode().encode("utf-16"),
        "utf32.csv": csv.decode().encode("utf-32"),
        "half.csv": csv[:200] + csv[200:].decode().encode("utf-16-le"),
        "bad-utf8.csv": csv + b"\xff\xfe\xff,,,,\n",
        "quote.csv": csv + b'"',
        "quote-first.csv": b'"' + csv,
        "quotes.csv": b'"' * 5000,
        "columns.csv": b",".join(b"c%d" % i for i in range(100_000)) + b"\n" + b"1," * 99_999 + b"1\n",
        "no-line-end.csv": long + b"1" * 30_000_000,
        "huge.csv": long + b"1e400,y\n-1e400,n\n" * 10,
        "digits.csv": long + (b"9" * 5000 + b",y\n1,n\n") * 5,
        "mixed.csv": csv.replace(b"\n", b"\r", 7),
        "cr.csv": csv.replace(b"\n", b"\r"),
        "spaces.csv": b"   \n \n\t\n",
        "commas.csv": b",,,\n" * 30,
        "one.csv": long + b"1,y\n",
        "same.csv": long + b"1,y\n" * 30,
        "twice.csv": b"y,y\n1,2\n",
        "bom.csv": b"\xef\xbb\xbf",
        "bom16.csv": b"\xff\xfe",
        "picture.csv": _picture("PNG"),
        "zip.csv": b"PK\x03\x04" + bytes(50),
        "surrogate.csv": csv.replace(b"Ann", b"\xed\xa0\x80"),
        "cut.csv.gz": gzip.compress(csv, mtime=0)[:-9],
        "twice.csv.gz": gzip.compress(csv, mtime=0) * 2,
        "junk.csv.gz": gzip.compress(csv, mtime=0) + b"junk",
        "gz.csv.gz": b"\x1f\x8b",
        "flags.csv.gz": b"\x1f\x8b\x08\xff" + gzip.compress(csv, mtime=0)[4:],
        "dates.csv": csv.replace(b"-0", b"-7"),
        "rtl.csv": csv.replace(b"who", "\u202ewho\x1b[31m".encode()),
        "formula.csv": csv.replace(b"Ann", b"=1+1"),
        "name.csv": b"[bold]y[/],{x},%s,y\n" + b"1,2,3,y\n2,1,3,n\n" * 9,
        "vt.csv": csv.replace(b"\n", b"\x0b"),
    }
    good = {
        "t.csv": csv,
        "t.tsv": _separated("\t"),
        "d.csv": _separated(";", "\r\n"),
        "t.csv.gz": gzip.compress(csv, mtime=0),
    }
    return Reader("csv", good, odd, {}, _table_words, TEXT)


def columnar() -> Reader:
    """Parquet and Arrow."""
    frame = pl.DataFrame(_rows(300)).with_columns(pl.col("who").cast(pl.Categorical), pl.col("born").str.to_date())
    good: Files = {}
    for name, write, options in (
        ("zstd.parquet", pl.DataFrame.write_parquet, {"compression": "zstd"}),
        ("plain.parquet", pl.DataFrame.write_parquet, {"compression": "uncompressed", "statistics": False}),
        ("snappy.parquet", pl.DataFrame.write_parquet, {"compression": "snappy", "row_group_size": 64}),
        ("t.arrow", pl.DataFrame.write_ipc, {"compression": "uncompressed"}),
        ("lz4.feather", pl.DataFrame.write_ipc, {"compression": "lz4"}),
        ("stream.arrow", pl.DataFrame.write_ipc_stream, {"compression": "uncompressed"}),
    ):
        out = io.BytesIO()
        write(frame, out, **options)
        good[name] = out.getvalue()
    whole, arrow = good["zstd.parquet"], good["t.arrow"]
    nested = io.BytesIO()
    pl.DataFrame({"a": [[1], [2, 3]], "b": [{"c": 1}, {"c": 2}], "y": ["y", "n"]}).write_parquet(nested)
    odd = {
        "empty.parquet": b"",
        "magic.parquet": b"PAR1",
        "ends.parquet": b"PAR1PAR1",
        "zeros.parquet": b"PAR1" + bytes(99),
        "length.parquet": whole[:-8] + struct.pack("<I", 2**31) + b"PAR1",
        "none.parquet": whole[:-8] + bytes(4) + b"PAR1",
        "encrypted.parquet": b"PARE" + whole[4:-4] + b"PARE",
        "csv.parquet": _separated(),
        "nested.parquet": nested.getvalue(),
        "empty.arrow": b"",
        "magic.arrow": b"ARROW1",
        "foot.arrow": arrow[:-10] + struct.pack("<i", -1) + b"ARROW1",
        "big.arrow": arrow[:-10] + struct.pack("<i", 2**31 - 1) + b"ARROW1",
        "stream.ipc": b"\xff\xff\xff\xff" + b"\x7f" * 8,
        "parquet.arrow": whole,
        "arrow.parquet": arrow,
        "cut.feather": good["lz4.feather"][:300],
        "stream-cut.arrow": good["stream.arrow"][:500],
        "text.arrow": b"hello",
        "zip.parquet": b"PK\x03\x04",
    }
    return Reader("columnar", good, odd, {}, _table_words, BYTES)


def json_lines() -> Reader:
    """JSON lines, and JSON lists."""
    rows = _rows()
    lines = "".join(json.dumps(row) + "\n" for row in rows).encode()
    listed = json.dumps(rows, indent=1).encode()

    def changed(data: bytes, draw: Random) -> bytes:
        kept = data.split(b"\n")
        at = draw.randrange(len(kept) - 1)
        kept[at] = json.dumps(revalued(json.loads(kept[at]), draw)).encode()
        return b"\n".join(kept)

    odd = {
        "empty.jsonl": b"",
        "null.jsonl": b"null",
        "number.jsonl": b"1",
        "list.jsonl": b"[]",
        "lists.jsonl": b"[1]\n[2]\n",
        "deep.jsonl": b'{"a":' * 5000 + b"1" + b"}" * 5000,
        "deep-list.json": b"[" * 100_000,
        "open.json": b"[" + lines,
        "surrogate.jsonl": b'{"a": "\\ud800", "y": "y"}\n{"a": "x", "y": "n"}\n' * 20,
        "nan.jsonl": lines.replace(b"2", b"NaN"),
        "surrogate-key.jsonl": b'{"\\ud800": 1, "y": "y"}\n{"\\ud800": 2, "y": "n"}\n' * 20,
        "nul.jsonl": lines + b"\0",
        "nul-key.jsonl": b'{"\\u0000": 1, "": 2, "y": "y"}\n{"\\u0000": 2, "y": "n"}\n' * 20,
        "infinite.jsonl": b'{"a": 1e999, "y": "y"}\n{"a": -Infinity, "y": "n"}\n' * 20,
        "two.jsonl": lines.replace(b"}\n", b"}"),
        "digits.jsonl": b'{"a": ' + b"9" * 5000 + b"}\n",
        "big.jsonl": b'{"a": 123456789012345678901234567890, "y": 1}\n' * 9,
        "twice.jsonl": b'{"a": 1, "a": 2, "y": "y"}\n{"a": 3, "y": "n"}\n' * 9,
        "single.jsonl": lines.replace(b'"', b"'"),
        "comma.json": listed.replace(b"\n]", b",\n]"),
        "cut.json": listed[:-1],
        "after.json": listed + b"]",
        "bom.jsonl": b"\xef\xbb\xbf" + lines,
        "utf16.jsonl": lines.decode().encode("utf-16"),
        "keys.jsonl": json.dumps({f"k{i}": i for i in range(100_000)}).encode(),
        "text.jsonl": b"hello\nyou\n",
        "csv.jsonl": _separated(),
        "nested.jsonl": b'{"a": [1, {"b": 2}], "y": "y"}\n{"a": {}, "y": "n"}\n' * 9,
        "nothing.jsonl": b"{}\n" * 9,
        "comment.jsonl": b"# x\n" + lines,
        "gz.jsonl": gzip.compress(lines, mtime=0)[:60],
    }
    good = {"t.jsonl": lines, "t.json": listed, "t.ndjson": lines}
    return Reader("json", good, odd, {}, _table_words, (*TEXT, changed, changed, changed, changed))


def _picture(form: str, side: int = 12, mode: str = "RGB", seed: int = 1, **options: Any) -> bytes:
    out = io.BytesIO()
    bands = len(mode) if mode in ("RGB", "RGBA", "LA", "CMYK") else 1
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, bands), np.uint8)
    image = Image.fromarray(pixels[..., 0] if bands == 1 else pixels, "L" if bands == 1 else mode)
    if mode in ("P", "1"):
        image = image.convert(mode)
    image.save(out, form, **options)
    return out.getvalue()


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG, its checksum right."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, *chunks: bytes, depth: int = 8, colour: int = 0) -> bytes:
    """A PNG with any header over any (unpacked) rows."""
    head = struct.pack(">IIBBBBB", width % 2**32, height % 2**32, depth, colour, 0, 0, 0)
    parts = [png_chunk(b"IHDR", head), *chunks, png_chunk(b"IDAT", zlib.compress(rows, 9)), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rechecked(data: bytes, draw: Random) -> bytes:
    """A PNG broken inside a chunk, whose checksum is made right again, so that the decoder itself must notice."""
    if not data.startswith(b"\x89PNG"):
        return draw.choice(BYTES)(data, draw)
    out, at, chunks = [data[:8]], 8, []
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        chunks.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    broken = draw.randrange(len(chunks))
    for number, (kind, content) in enumerate(chunks):
        out.append(png_chunk(kind, draw.choice(BYTES)(content, draw) if number == broken and content else content))
    return b"".join(out)


def pictures() -> Reader:
    """One broken picture among good ones, in class folders; or one that a run must name."""
    good = {
        "a.png": _picture("PNG"),
        "p.png": _picture("PNG", mode="P"),
        "t.png": _picture("PNG", mode="RGBA"),
        "b.png": _picture("PNG", mode="1"),
        "j.jpg": _picture("JPEG"),
        "g.jpg": _picture("JPEG", mode="L", progressive=True),
        "k.jpg": _picture("JPEG", mode="CMYK"),
        "f.gif": _picture("GIF", mode="P"),
        "m.bmp": _picture("BMP"),
        "w.webp": _picture("WEBP"),
        "l.webp": _picture("WEBP", lossless=True),
        "i.tif": _picture("TIFF", compression="tiff_lzw"),
        "u.tiff": _picture("TIFF"),
        "x.tga": _picture("TGA"),
        "n.ppm": _picture("PPM"),
        "q.jp2": _picture("JPEG2000"),
    }
    row = bytes(13)
    odd = {
        "empty.png": b"",
        "nul.jpg": bytes(500),
        "text.gif": b"hello",
        "csv.png": _separated(),
        "jpeg.png": good["j.jpg"],
        "zero.png": png(0, 0, b""),
        "wide.png": png(2**31 - 1, 1, row),
        "tall.png": png(1, -1, row),
        "max.png": png(-1, -1, row),
        "few.png": png(5000, 5000, row),
        "many.png": png(2, 2, bytes(100_000)),
        "depth.png": png(4, 4, bytes(20), depth=7),
        "colour.png": png(4, 4, bytes(20), colour=3),
        "sixteen.png": png(4, 4, bytes(36), depth=16),
        "text.png": png(12, 12, bytes(13 * 12), png_chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50_000_000)))),
        "icc.png": png(12, 12, bytes(13 * 12), png_chunk(b"iCCP", b"k\0\0" + zlib.compress(bytes(50_000_000)))),
        "exif.png": png(12, 12, bytes(13 * 12), png_chunk(b"eXIf", b"MM\0*\0\0\0\x08" + b"\xff" * 3000)),
        "magic.gif": b"GIF89a",
        "huge.gif": b"GIF89a" + b"\xff" * 60,
        "head.bmp": good["m.bmp"][:20],
        "riff.webp": b"RIFF\xff\xff\xff\xffWEBPVP8 ",
        "negative.bmp": good["m.bmp"][:18] + struct.pack("<ii", -5, -(2**31)) + good["m.bmp"][26:],
        "huge.bmp": good["m.bmp"][:18] + struct.pack("<ii", 2**31 - 1, 2**31 - 1) + good["m.bmp"][26:],
        "tall.webp": good["l.webp"][:21] + b"\xff\xff\xff\xff" + good["l.webp"][25:],
        "soi.jpg": b"\xff\xd8",
        "eoi.jpg": b"\xff\xd8\xff\xd9",
        "huge.jpg": good["j.jpg"].replace(b"\0\x0c\0\x0c", b"\xff\xff\xff\xff", 1),
        "zero.jpg": good["j.jpg"].replace(b"\0\x0c\0\x0c", bytes(4), 1),
        "loop.tif": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "tags.tif": b"II*\0\x08\0\0\0\xff\xff" + b"\xff" * 200,
        "huge.ppm": b"P6 99999999 99999999 255\n\0",
        "name.ppm": b"P6 3 -3 255\n" + bytes(30),
        "svg.png": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    beside = {f"{label}/good{i}.png": _picture("PNG", seed=i) for label in ("cat", "dog") for i in range(4)}

    def words(name: str, draw: Random) -> list[str]:
        return ["train", ".", "--bad-limit", draw.choice(("0.5", "0.05")), *FEW]

    placed = {f"cat/{name}": data for name, data in good.items()}, {f"cat/{name}": data for name, data in odd.items()}
    return Reader("pictures", *placed, beside, words, (*BYTES, rechecked, rechecked))


def _npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), allow_pickle=True)
    return out.getvalue()


def npy_header(text: bytes, version: bytes = b"\x01\0") -> bytes:
    """The head of an .npy file that says anything."""
    size = struct.pack("<H" if version == b"\x01\0" else "<I", len(text))
    return b"\x93NUMPY" + version + size + text


def arrays() -> Reader:
    """Pictures and labels in .npz and .npy."""
    draw = np.random.default_rng(3)
    x, y = draw.integers(0, 256, (24, 6, 6), np.uint8), np.arange(24) % 2
    good: Files = {}
    for name, save in (("a.npz", np.savez), ("c.npz", np.savez_compressed)):
        out = io.BytesIO()
        save(out, x=x, y=y)
        good[name] = out.getvalue()
    good |= {"x.npy": _npy(x), "images.npy": _npy(x.astype(np.float32))}
    plain = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }\n"
    odd = {
        "empty.npz": b"",
        "empty.npy": b"",
        "zip.npz": b"PK\x05\x06" + bytes(18),
        "npy.npz": good["x.npy"],
        "npz.npy": good["a.npz"],
        "x.npy": npy_header(plain % b"1000000000000, 8, 8") + bytes(64),
        "neg/x.npy": npy_header(plain % b"-24, 6, 6") + x.tobytes(),
        "zero/x.npy": npy_header(plain % b"0, 6, 6"),
        "code/x.npy": npy_header(b"__import__('os').system('echo')\n"),
        "deep/x.npy": npy_header(b"(" * 3000 + b"\n"),
        "dict/x.npy": npy_header(b"{}\n"),
        "none/x.npy": npy_header(b"None\n"),
        "object/x.npy": _npy(np.array([{}, None], object)),
        "long/x.npy": npy_header(b" " * 60_000),
        "v2/x.npy": npy_header(plain % b"24, 6, 6", b"\x02\0") + x.tobytes(),
        "v9/x.npy": npy_header(plain % b"24, 6, 6", b"\x09\0") + x.tobytes(),
        "void/x.npy": npy_header(b"{'descr': [('a', 'u1')], 'fortran_order': False, 'shape': (4, 3, 3)}\n") + bytes(36),
        "complex/x.npy": _npy(x.astype(complex)),
        "text/x.npy": _npy(x.astype(str)),
        "nan/x.npy": _npy(np.full((24, 6, 6), np.nan)),
        "inf/x.npy": _npy(np.full((24, 6, 6), np.inf)),
        "huge/x.npy": _npy(np.full((24, 6, 6), 1e308)),
        "half/x.npy": _npy(x.astype(np.float16)),
        "many/x.npy": npy_header(plain % (b"1," * 2000)),
        "float/x.npy": npy_header(plain % b"2.5, 6, 6") + bytes(90),
        "true/x.npy": npy_header(plain % b"True, 6, 6") + bytes(36),
        "dates/x.npy": _npy(x.astype("datetime64[s]")),
        "big/x.npy": npy_header(plain % b"99999999999999999999999, 6, 6"),
        "six/x.npy": _npy(np.zeros((4, 3, 3, 5))),
        "wide/x.npy": npy_header(b"{'descr': '<f99999999', 'fortran_order': False, 'shape': (24, 6, 6), }\n"),
        "bool/x.npy": _npy(x > 9),
    }
    beside = {f"{folder}y.npy": _npy(y) for folder in ("", *{f"{name.split('/')[0]}/" for name in odd if "/" in name})}
    beside["labels.npy"] = _npy(y)
    return Reader("numpy", good, odd, beside, lambda name, draw: ["train", name, *FEW], BYTES)


def recipes() -> Reader:
    """A recipe in TOML."""
    good = {
        "r.toml": b'[data]\nsource = "t.csv"\ntarget = ["y"]\ndrop = ["who"]\nkinds = {age = "number"}\n\n'
        b'[model]\nmodel = "mlp"\nhidden = [8, 4]\ndropout = 0.1\n\n'
        b'[train]\nepochs = 1\nlr = "auto"\nbatch_size = 8\npatience = 3\nunfreeze_at = []\n',
        "s.toml": b'[data]\nsource = "t.csv"\ntarget = ["y"]\n[data.limits]\npixels = 200000000\n'
        b"[train]\nlr = 0.01\nclip = 1.0\nseed = 3\n",
    }

    def changed(data: bytes, draw: Random) -> bytes:
        return tomli_w.dumps(revalued(tomllib.loads(data.decode()), draw)).encode()

    whole = good["r.toml"]
    odd = {
        "empty.toml": b"",
        "nul.toml": bytes(60),
        "utf16.toml": whole.decode().encode("utf-16"),
        "bom.toml": b"\xef\xbb\xbf" + whole,
        "bad.toml": whole + b"\xff",
        "deep.toml": b"a = " + b"[" * 10_000,
        "tables.toml": b"a = " + b"{a=" * 10_000,
        "keys.toml": b".".join([b"a"] * 10_000) + b" = 1",
        "head.toml": b"[" + b".".join([b"a"] * 10_000) + b"]",
        "section.toml": b"[dat]\nsource = 1",
        "flat.toml": b"source = 't.csv'",
        "array.toml": b"[[data]]\n",
        "twice.toml": whole + b"\n[data]\n",
        "digits.toml": b"[train]\nepochs = " + b"9" * 5000,
        "big.toml": b"[train]\nepochs = 99999999999999999999",
        "date.toml": b"[train]\nepochs = 2024-01-01",
        "inf.toml": b"[data]\nsource='t.csv'\ntarget='y'\n[train]\nlr = inf",
        "nan.toml": b"[data]\nsource='t.csv'\ntarget='y'\n[train]\nlr = nan",
        "list.toml": b"[data]\nsource = [1, 2]",
        "table.toml": b"[data]\nsource = {a = 1}",
        "number.toml": b"[data]\nsource = 3",
        "slash.toml": b"[data]\nsource = '/'",
        "name.toml": b"[data]\nsource = '" + b"x" * 5000 + b"'",
        "zero.toml": b'[data]\nsource = "a\\u0000b"',
        "folder.toml": b"[data]\nsource = '.'",
        "self.toml": b"[data]\nsource = 'self.toml'",
        "limit.toml": b"[data]\nsource='t.csv'\nlimits = {pixels = -1}",
        "limits.toml": b"[data]\nsource='t.csv'\nlimits = {columns = 1}",
        "limit-inf.toml": b"[data]\nsource='t.csv'\nlimits = {columns = inf}",
        "comment.toml": b"#" * 2_000_000,
        "kinds.toml": b"[data]\nsource='t.csv'\ntarget='y'\nkinds = {q = 'number'}",
        "model.toml": b"[data]\nsource='t.csv'\ntarget='y'\n[model]\nmodel = ''",
        "csv.toml": _separated(),
        "width.toml": b"[data]\nsource='t.csv'\ntarget='y'\n[model]\nmodel = 'mlp'\nhidden=[99999999999, 9999999999]",
        "hidden.toml": b"[data]\nsource='t.csv'\ntarget='y'\n[model]\nmodel = 'mlp'\nhidden=[0, -1]",
    }
    beside = {"t.csv": _separated()}
    return Reader("recipe", good, odd, beside, lambda name, draw: ["train", "--recipe", name], (*TEXT, *[changed] * 12))


def weights() -> Reader:
    """Published weights: safetensors files, and the index of a folder of them."""
    draw = np.random.default_rng(4)
    own = {"hidden.0.weight": (4, 10), "hidden.0.bias": (4,), "output.weight": (2, 4), "output.bias": (2,), "x": (0, 3)}
    whole = safetensors.numpy.save({name: draw.random(shape, np.float32) for name, shape in own.items()})
    index = json.dumps({"metadata": {}, "weight_map": {"hidden.0.weight": "part.safetensors"}}).encode()

    def header(data: bytes, draw: Random) -> bytes:
        if data == index:
            return json.dumps(revalued(json.loads(data), draw)).encode()
        length = int.from_bytes(data[:8], "little")
        text = json.dumps(revalued(json.loads(data[8 : 8 + length]), draw)).encode()
        return len(text).to_bytes(8, "little") + text + data[8 + length :]

    def made(text: bytes, content: bytes = b"") -> bytes:
        return len(text).to_bytes(8, "little") + text + content

    entry = b'{"a": {"dtype": "%s", "shape": [%s], "data_offsets": [%s]}}'
    odd = {
        "empty.safetensors": b"",
        "short.safetensors": b"\x01",
        "gb.safetensors": (100 << 30).to_bytes(8, "little") + b"{}",
        "max.safetensors": b"\xff" * 8 + b"{}",
        "none.safetensors": made(b""),
        "null.safetensors": made(b"null"),
        "list.safetensors": made(b"[]"),
        "object.safetensors": made(b"{}"),
        "deep.safetensors": made(b'{"a":' * 9000),
        "text.safetensors": made(b"hello"),
        "utf8.safetensors": made(b'{"\xff": 1}'),
        "shape.safetensors": made(entry % (b"F32", b"1000000000, 1000000000", b"0, 4"), bytes(4)),
        "overflow.safetensors": made(entry % (b"F32", b"4294967296, 4294967296", b"0, 0")),
        "negative.safetensors": made(entry % (b"F32", b"-1", b"0, 4"), bytes(4)),
        "offsets.safetensors": made(entry % (b"F32", b"1", b"4, 0"), bytes(4)),
        "beyond.safetensors": made(entry % (b"F32", b"1", b"0, 400"), bytes(4)),
        "dtype.safetensors": made(entry % (b"F99", b"1", b"0, 4"), bytes(4)),
        "small.safetensors": made(entry % (b"F4", b"2", b"0, 1"), bytes(1)),
        "bool.safetensors": made(entry % (b"BOOL", b"4", b"0, 4"), b"\x07\x01\0\x02"),
        "nan.safetensors": safetensors.numpy.save({"hidden.0.weight": np.full((4, 10), np.nan, np.float32)}),
        "many.safetensors": made(
            json.dumps(
                {f"t{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)}
            ).encode()
        ),
        "meta.safetensors": made(b'{"__metadata__": {"a": 1}}'),
        "twice.safetensors": made(b'{"a": 1, "a": 2}'),
        "pickle.pt": b"\x80\x04.",
        "zip.safetensors": b"PK\x03\x04" + bytes(90),
        "word.bin": b"x",
        "dims.safetensors": made(entry % (b"F32", b",".join([b"1"] * 3000), b"0, 4"), bytes(4)),
        "a.index.json": b"{}",
        "b.index.json": b'{"weight_map": {"a": "../x.safetensors"}}',
        "c.index.json": b'{"weight_map": {"a": 1}}',
        "d.index.json": b'{"weight_map": ' + b"[" * 9000,
        "e.index.json": b'{"weight_map": {"a": "a\\u0000.safetensors"}}',
        "f.index.json": b'{"weight_map": []}',
    }
    odd |= {f"value{i}.index.json": json.dumps({"weight_map": value}).encode() for i, value in enumerate(ODD_VALUES)}
    good = {"w.safetensors": whole, "model.safetensors.index.json": index}
    beside = {"t.csv": _separated(), "part.safetensors": whole}

    def words(name: str, draw: Random) -> list[str]:
        return [
            "train",
            "t.csv",
            "--target",
            "y",
            "--model",
            "mlp",
            "--hidden",
            "4",
            "--pretrained",
            name,
            "--epochs",
            "1",
        ]

    return Reader("weights", good, odd, beside, words, (*BYTES, *[header] * 8))


FILES: tuple[Callable[[], Reader], ...] = (separated, columnar, json_lines, pictures, arrays, recipes, weights)
