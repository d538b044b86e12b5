"""What every page has: templates that escape all they are given, and a policy that loads nothing from elsewhere."""

import base64
import hashlib

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_OURS = "glia.report"


def environment(room: str = _OURS) -> Environment:
    """Templates of a room, and the report's."""
    return Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((room, _OURS))]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def source(pages: Environment, *names: str) -> Markup:
    """Files of our own, one after the other, that go into the page as they are."""
    loader = pages.loader
    return Markup("\n".join(loader.get_source(pages, name)[0] if loader else "" for name in names))


def policy(style: str, script: str | None = None) -> str:
    """Content-Security-Policy: this one style sheet, this script if any, pictures within the page, nothing else."""
    scripts = "" if script is None else f"script-src '{_hash(script)}'; "
    return (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; {scripts}base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
