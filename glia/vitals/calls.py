"""Calls: every call of a module, seen by one listener.

One patch of `nn.Module.__call__`, where torch's global hooks would cost more, show no keyword arguments before a call,
and make torch.compile warn.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Enter = Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]
Leave = Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]


class Calls:
    """While it is on, `enter` and `leave` are told of calls of modules on any thread."""

    def __init__(self, enter: Enter, leave: Leave):
        self.enter, self.leave = enter, leave
        self.inside = self.deep = False  # a call is running that was told of; calls within it are told of too
        self.on = False
        self.original: Any = None  # what `patch` wraps; both serve again as long as nobody else's patch came in between
        self.patch: Any = None

    def switch(self, on: bool) -> None:
        """Put the patch in place, or take it away; another observer's patch that lies on top is left alone."""
        if on and not self.on:
            if self.original is not nn.Module.__call__:
                self.original = nn.Module.__call__
                self.patch = self._patched(self.original)
            nn.Module.__call__ = self.patch  # type: ignore[method-assign]
            self.on = True
        elif not on and self.on and nn.Module.__call__ is self.patch:
            nn.Module.__call__ = self.original  # type: ignore[method-assign]
            self.on = False

    def _patched(self, original: Any) -> Any:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if (self.inside and not self.deep) or not self.on or torch.compiler.is_compiling():
                return original(module, *args, **kwargs)
            self.enter(module, args, kwargs)
            try:
                output = original(module, *args, **kwargs)
            except BaseException:
                self.leave(module, args, kwargs, None)
                raise
            self.leave(module, args, kwargs, output)
            return output

        return call
