"""What one experiment of the torture chamber found."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Result:
    """How often something was tried, and each time that it failed, a line each.

    promise: what must hold, one sentence. seconds: by the clock; cpu_seconds: of all processes together, 0 where nobody
    counted. figures: what else a reader wants to know, by name.
    """

    name: str
    promise: str
    tried: int
    failed: tuple[str, ...] = ()
    seconds: float = 0.0
    figures: dict[str, str] = field(default_factory=dict)
    cpu_seconds: float = 0.0

    @property
    def held(self) -> bool:
        """Was it tried at all, and did it never fail?"""
        return self.tried > 0 and not self.failed
