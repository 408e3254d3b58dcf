"""Growth plates: structures that may go, what is known of each, and the ledger that waves append to. Free of torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from pydantic import Field, ValidationError

from birdbone.compress.errors import BadLedgerError, UnknownStructureError
from birdbone.core import Settings

PlateStatus = Literal["found", "marked", "shed", "kept", "restored"]
"""`found`: looked at. `marked`: goes next. `shed`: gone. `kept`: protected, or spared by a person. `restored`: back."""

_NEXT: Mapping[PlateStatus, frozenset[PlateStatus]] = {
    "found": frozenset({"marked", "kept", "shed"}),
    "marked": frozenset({"shed", "kept", "found"}),
    "shed": frozenset({"restored"}),
    "kept": frozenset({"marked", "found"}),
    "restored": frozenset({"marked", "kept", "shed"}),
}


class GrowthPlate(Settings):
    """One structure that may go. What was not measured is None."""

    structure: str
    """Its name, as `structures.parse_structure` reads it."""
    kind: str
    """What it is."""
    layer: int
    """The layer that it lies in."""
    num_parameters: int = Field(ge=0)
    """Parameters that go with it."""
    f16_bytes: int = Field(ge=0)
    """The same in F16."""
    redundancy: float | None = None
    """Share of its work that a linear map of the others (of its input, for a block) gives as well, 0 to 1."""
    cosine: float | None = None
    """Of a block: mean cosine of what goes in and what comes out."""
    cka: float | None = None
    """Of a block: unbiased CKA of the same two."""
    importance: float | None = None
    """Of a unit: its share of the power that its block's last linear writes."""
    damage: float | None = None
    """Rise of the loss when it goes alone, in nats a token."""
    damage_basis: Literal["measured", "estimated"] | None = None
    """Whether the model was run without it, or the figure is a share of its block's."""
    status: PlateStatus = "found"
    """Where it stands."""
    reason: str = ""
    """Why it is kept, where it is."""

    @property
    def damage_per_mebibyte(self) -> float | None:
        """Rise of the loss for each MiB of F16 that it saves."""
        return None if self.damage is None or not self.f16_bytes else self.damage * 2**20 / self.f16_bytes


class PlateEvent(Settings):
    """One change of a plate."""

    wave: int = Field(ge=0)
    """The wave that made it; 0 before the first."""
    structure: str
    """Which plate."""
    before: PlateStatus
    """Where it stood."""
    after: PlateStatus
    """Where it stands now."""
    note: str = ""
    """Why, in words."""


class PlateLedger(Settings):
    """All plates of one model, and every change in the order in which it came. Nothing is ever taken out of it."""

    model: str
    """Name of the model that the plates were found in."""
    num_parameters: int = Field(ge=0)
    """Parameters of its decoder."""
    windows: int = Field(ge=0)
    """Calibration windows behind the figures."""
    window_tokens: int = Field(ge=0)
    """Tokens of each."""
    plates: tuple[GrowthPlate, ...]
    """As they stand now."""
    events: tuple[PlateEvent, ...] = ()
    """How they came to stand so."""

    def plate(self, structure: str) -> GrowthPlate:
        """Return the plate of a structure.

        Raises:
            UnknownStructureError: there is none.
        """
        for plate in self.plates:
            if plate.structure == structure:
                return plate
        raise UnknownStructureError(f"There is no growth plate {structure!r} in the ledger.", structure=structure)

    def count(self, status: PlateStatus) -> int:
        """Return how many plates stand so."""
        return sum(plate.status == status for plate in self.plates)

    def move(self, structures: Iterable[str], status: PlateStatus, *, wave: int, note: str = "") -> PlateLedger:
        """Return the ledger with plates moved to another status, and an event for each.

        Raises:
            UnknownStructureError: a structure has no plate.
            BadLedgerError: a plate cannot go from where it stands to there (shed ones can only be restored).
        """
        moved = {name: self.plate(name) for name in structures}
        for plate in moved.values():
            if status not in _NEXT[plate.status]:
                raise BadLedgerError(f"{plate.structure} is {plate.status}; it cannot become {status}.", hint="")
        plates = tuple(
            plate.model_copy(update={"status": status, "reason": note}) if plate.structure in moved else plate
            for plate in self.plates
        )
        events = tuple(
            PlateEvent(wave=wave, structure=name, before=plate.status, after=status, note=note)
            for name, plate in moved.items()
        )
        return self.model_copy(update={"plates": plates, "events": self.events + events})


def parse_ledger(text: str | bytes) -> PlateLedger:
    """Return the ledger that its JSON describes.

    Raises:
        BadLedgerError: it describes none.
    """
    try:
        return PlateLedger.model_validate_json(text)
    except ValidationError as error:
        raise BadLedgerError(f"This is no ledger of growth plates: {error.errors()[0]['msg']}.") from error
