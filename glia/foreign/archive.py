"""The outside of a checkpoint: a zip archive of plain members, or one pickle; looked at before it is unpickled."""

import zipfile
from pathlib import PurePosixPath
from typing import IO

from glia.errors import GliaError

MEMBERS = 100_000
RATIO = 20  # bytes out for each byte in; weights hardly shrink, torch.save does not even try
SIGNATURE = b"PK\x03\x04"
SAFE_HEADER = b'{"'  # a safetensors file: eight bytes of length, then JSON


def check(file: IO[bytes]) -> None:
    """Raises GliaError for what is no checkpoint of torch.save, or a hostile archive."""
    head = file.read(16)
    file.seek(0)
    if head[8:10] == SAFE_HEADER:
        raise GliaError("this is a safetensors file already", hint="--pretrained FILE")
    if head.startswith(SIGNATURE):
        _check_zip(file)
        file.seek(0)
    elif head[:1] != b"\x80":  # what every pickle since protocol 2 begins with
        raise GliaError("no checkpoint of torch.save", got=f"a file that begins with {head[:8]!r}")


def _check_zip(file: IO[bytes]) -> None:
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, OverflowError) as error:
        raise GliaError("the archive is damaged", got=error) from None
    if len(members) > MEMBERS:
        raise GliaError("the archive has too many members", got=f"{len(members):,}", expected=f"at most {MEMBERS:,}")
    names = [member.filename for member in members]
    if len(set(names)) < len(names):
        raise GliaError("the archive has two members of one name")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise GliaError("the archive names a file outside itself", got=repr(member.filename[:80]))
        if member.flag_bits & 1:
            raise GliaError("the archive is encrypted", got=repr(member.filename[:80]))
        if member.file_size > RATIO * max(member.compress_size, 1):
            got = f"{member.filename[:80]!r}: {member.file_size:,} bytes out of {member.compress_size:,}"
            raise GliaError("the archive unpacks to far more than it is", got=got, expected=f"at most {RATIO} to 1")
