"""What a model and one of its views have said to each other, so that nothing is lost and nothing is done twice.

Messages may be lost on the way, come late, or twice. Each side numbers what it says, takes the other's numbers in
their order and each once, and says again what the other does not have (`js/MESSAGES.md`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

KEPT = 1_000
"""Replies kept for a view that does not say that it has them; before these, it has to do without."""


class Exchange:
    """The kernel's end of the talk with one view.

    Attributes:
        taken: The number of the view's last command that was taken.
        greeted: Whether its hello was heard.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.greeted = False
        self._said = 0
        self._kept: deque[dict[str, Any]] = deque(maxlen=KEPT)
        self._gone = False

    def take(self, number: object) -> bool:
        """Whether a command is to be carried out now: it is the next one, or has no number."""
        if number is None:
            return True
        if number != self.taken + 1:
            return False
        self.taken += 1
        return True

    def number(self, content: Mapping[str, Any]) -> int | None:
        """The number of a reply, which is kept until the view has it; None for a view that said bye."""
        if self._gone:
            return None
        self._said += 1
        self._kept.append({**content, "reply": self._said})
        return self._said

    def heard(self, number: object) -> None:
        """The view has all replies up to this one."""
        while self._kept and isinstance(number, int) and self._kept[0]["reply"] <= number:
            self._kept.popleft()

    @property
    def unheard(self) -> list[dict[str, Any]]:
        """The replies that the view is not known to have."""
        return list(self._kept)

    def end(self) -> None:
        """The view said bye. What it said still counts: a command that comes late, or again, is none."""
        self._gone = True
        self._kept.clear()

    @property
    def standing(self) -> tuple[int, int, int]:
        """The last command that was taken, the last reply, and the first of those that are kept."""
        return self.taken, self._said, self._said - len(self._kept) + 1
