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
        self.original: Any = None
        self.patch: Any = None
        self.original_of_patch: Any = None  # the same patch serves as long as nobody else's is in between

    def switch(self, on: bool) -> None:
        """Put the patch in place, or take it away; another observer's patch that lies on top is left alone."""
        if on and self.original is None:
            if self.original_of_patch is not nn.Module.__call__:
                self.original_of_patch = nn.Module.__call__
                self.patch = self._patched(self.original_of_patch)
            self.original = self.original_of_patch
            nn.Module.__call__ = self.patch  # type: ignore[method-assign]
        elif not on and self.original is not None and nn.Module.__call__ is self.patch:
            nn.Module.__call__ = self.original  # type: ignore[method-assign]
            self.original = None

    def _patched(self, original: Any) -> Any:
        def call(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if (self.inside and not self.deep) or self.original is None or torch.compiler.is_compiling():
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
