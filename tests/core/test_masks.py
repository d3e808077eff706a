"""ModuleMask: set algebra, measures, and the stored form."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ArtifactError, MaskMismatchError
from core.masks import ModuleMask
from core.units import Unit


def mask(**units: str) -> ModuleMask:
    """mask(a="110") keeps neurons 0 and 1 of unit a."""
    return ModuleMask({name: torch.tensor([bit == "1" for bit in bits]) for name, bits in units.items()})


_BITS = st.text("01", min_size=5, max_size=5)
masks = st.builds(lambda a, b: mask(a=a, b=b * 3), _BITS, _BITS)


class TestAlgebra:
    def test_union_and_intersection_are_per_neuron(self) -> None:
        assert mask(a="1100") | mask(a="1010") == mask(a="1110")
        assert mask(a="1100") & mask(a="1010") == mask(a="1000")

    @given(masks, masks)
    def test_union_keeps_what_either_keeps(self, a: ModuleMask, b: ModuleMask) -> None:
        assert (a | b) & a == a
        assert a | b == b | a
        assert (a | b).retention_rate() + (a & b).retention_rate() == pytest.approx(
            a.retention_rate() + b.retention_rate()
        )

    @pytest.mark.parametrize("other", [mask(a="11"), mask(b="110"), mask(a="110", b="1")])
    def test_refuses_masks_of_other_networks(self, other: ModuleMask) -> None:
        with pytest.raises(MaskMismatchError):
            _ = mask(a="110") | other

    def test_refuses_soft_masks(self) -> None:
        with pytest.raises(MaskMismatchError, match="'a'"):
            ModuleMask({"a": torch.tensor([0.5, 1.0])})


class TestMeasures:
    def test_by_hand(self) -> None:
        a, b = mask(x="1100", y="1"), mask(x="0110", y="1")
        assert a.retention_rate() == 3 / 5
        assert a.jaccard(b) == 2 / 4
        assert a.kept("x").tolist() == [0, 1]

    def test_empty_masks_are_alike(self) -> None:
        assert mask(a="00").jaccard(mask(a="00")) == 1

    def test_full_keeps_everything_in_unit_order(self) -> None:
        full = ModuleMask.full([Unit("z", None, 3, 2), Unit("a", None, 2, 3)])
        assert full == ModuleMask.full({"z": 2, "a": 3}) == mask(z="11", a="111")
        assert list(full) == ["z", "a"]


class TestIdentity:
    def test_is_immutable(self) -> None:
        bits = torch.tensor([True, False])
        one = ModuleMask({"a": bits})
        digest = one.digest()
        bits[1] = True
        one["a"][1] = True
        assert one.kept("a").tolist() == [0]
        assert ModuleMask(dict(one)).digest() == digest

    def test_digest_tells_units_widths_and_bits_apart(self) -> None:
        different = [mask(a="10"), mask(a="01"), mask(a="100"), mask(b="10"), mask(a="1", b="0")]
        assert len({one.digest() for one in different}) == len(different) == len(set(different))

    @given(masks)
    def test_json_round_trip(self, one: ModuleMask) -> None:
        restored = ModuleMask.from_json(json.loads(json.dumps(one.to_json(), sort_keys=True)))
        assert restored == one
        assert list(restored) == list(one)

    @pytest.mark.parametrize(
        "damage", [{"width": 90}, {"width": 0}, {"bits": "!!"}, {"bits": "AA"}, {"name": "b"}, {"width": "4"}]
    )
    def test_refuses_damaged_json(self, damage: dict[str, object]) -> None:
        data = mask(a="1100", b="1").to_json()
        data["units"][0] |= damage
        with pytest.raises(ArtifactError):
            ModuleMask.from_json(data)
