"""What a person is answered: candidates by their raw ids, best first."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Candidates:
    """The candidates of one query, best first; prints as a table."""

    query: int | str
    """The raw id that asked, as it was given."""
    kind: str
    """What kind of node the candidates are."""
    ids: tuple[int | str, ...]
    """Their raw ids."""
    scores: tuple[float, ...]
    """Their inner products with the query."""

    def __len__(self) -> int:
        return len(self.ids)

    def __str__(self) -> str:
        width = max([len(self.kind), *(len(str(raw_id)) for raw_id in self.ids)])
        lines = [f"{len(self)} candidates for {self.query}", f"{'rank':>4}  {self.kind:<{width}}    score"]
        lines += [
            f"{place:>4}  {raw_id!s:<{width}}  {score:>7.4f}"
            for place, (raw_id, score) in enumerate(zip(self.ids, self.scores, strict=True), start=1)
        ]
        return "\n".join(lines)
