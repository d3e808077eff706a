"""Methods of modular training; one file per method behind one protocol."""

from core.approaches.mwt import Mwt
from core.approaches.nemo import Nemo
from core.approaches.protocol import Approach, LossTerms
from core.approaches.standard import Standard
from core.specs import ApproachSpec, MwtSpec, NemoSpec

__all__ = ["Approach", "LossTerms", "create_approach"]


def create_approach(spec: ApproachSpec) -> Approach:
    """The method a specification asks for."""
    if isinstance(spec, MwtSpec):
        return Mwt(spec)
    if isinstance(spec, NemoSpec):
        return Nemo(spec)
    return Standard(spec)
