"""Methods of modular training; one file per method behind one protocol."""

from core.approaches.cleave import Cleave
from core.approaches.moda import Moda
from core.approaches.mwt import Mwt
from core.approaches.nemo import Nemo
from core.approaches.protocol import Approach, LossTerms
from core.approaches.standard import Standard
from core.specs import ApproachSpec, CleaveSpec, ModaSpec, MwtSpec, NemoSpec

__all__ = ["Approach", "LossTerms", "create_approach"]


def create_approach(spec: ApproachSpec) -> Approach:
    """The method a specification asks for."""
    match spec:
        case CleaveSpec():
            return Cleave(spec)
        case MwtSpec():
            return Mwt(spec)
        case NemoSpec():
            return Nemo(spec)
        case ModaSpec():
            return Moda(spec)
        case _:
            return Standard(spec)
