"""How many of each class of jobs find a place, where places are of several kinds.

As many as possible find one: whom a later class could only displace moves to another kind
first. Augmenting paths, as of Ford and Fulkerson; each kind stands for many places at once.
"""

from collections import deque
from collections.abc import Sequence


class Matching:
    """Grows by `add`. Whoever has a place keeps one, if perhaps of another kind.

    spare: how many places of each kind are left. taken[class][kind]: how many it has.
    """

    def __init__(self, spare: Sequence[int], classes: int) -> None:
        self.spare = [*spare]
        self.taken: list[dict[int, int]] = [{} for _ in range(classes)]
        self._wide: list[dict[int, int]] = [{} for _ in range(classes)]
        """Members that take several places each."""

        self._fits: list[Sequence[int]] = [()] * classes
        self._holders: list[set[int]] = [set() for _ in spare]
        self._full: set[int] = set()
        """Kinds from which no chain leads to a spare place: a search that failed was there."""

    def open(self, kind: int, places: int) -> None:
        """There are so many more of a kind."""
        self.spare[kind] += places
        self._full.clear()

    def add(self, member: int, count: int, fits: Sequence[int]) -> int:
        """Find places for so many more of a class; how many found one.

        fits: the kinds it can use, the preferred first.
        """
        self._fits[member] = fits
        found = 0
        while found < count and (path := self._path(member)) is not None:
            found += self._shift(path, count - found)
        return found

    def has(self, member: int) -> int:
        """How many of a class have a place."""
        return sum(self.taken[member].values()) + sum(self._wide[member].values())

    def places(self, member: int) -> dict[int, int]:
        """How many of a class have a place of each kind."""
        found = {kind: count for kind, count in self.taken[member].items() if count}
        for kind, count in self._wide[member].items():
            found[kind] = found.get(kind, 0) + count
        return found

    def add_wide(self, member: int, count: int, kind: int, width: int) -> int:
        """As `add`, for members of which each takes several places of one kind. They stay."""
        found = min(count, self.spare[kind] // width)
        if found > 0:
            self.spare[kind] -= found * width
            self._wide[member][kind] = self._wide[member].get(kind, 0) + found
        return max(found, 0)

    def _path(self, member: int) -> list[tuple[int, int]] | None:
        """The shortest chain of (class, kind it moves to) that ends at a spare place."""
        came: dict[int, tuple[int, int] | None] = {member: None}
        queue = deque([member])
        seen = set(self._full)
        while queue:
            one = queue.popleft()
            for kind in self._fits[one]:
                if kind in seen:
                    continue
                seen.add(kind)
                if self.spare[kind] > 0:
                    return self._chain(one, kind, came)
                for other in self._holders[kind]:
                    if other not in came:
                        came[other] = (one, kind)
                        queue.append(other)
        self._full = seen
        return None

    def _chain(
        self, last: int, kind: int, came: dict[int, tuple[int, int] | None]
    ) -> list[tuple[int, int]]:
        chain = [(last, kind)]
        while (step := came[chain[-1][0]]) is not None:
            chain.append(step)
        return chain[::-1]

    def _shift(self, chain: Sequence[tuple[int, int]], most: int) -> int:
        """Move along the chain as many as every step of it bears."""
        _, last = chain[-1]
        bears = [self.taken[chain[i + 1][0]][chain[i][1]] for i in range(len(chain) - 1)]
        amount = min([most, self.spare[last], *bears])
        for number, (one, kind) in enumerate(chain):
            self._give(one, kind, amount)
            if number + 1 < len(chain):
                self._give(chain[number + 1][0], kind, -amount)
        self.spare[last] -= amount
        return amount

    def _give(self, member: int, kind: int, amount: int) -> None:
        has = self.taken[member].get(kind, 0) + amount
        self.taken[member][kind] = has
        if has:
            self._holders[kind].add(member)
        else:
            self._holders[kind].discard(member)
