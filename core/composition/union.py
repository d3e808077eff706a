"""Modules from a model: one class, several classes, or the union of existing modules."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

from torch import Tensor, fx

from core.errors import UnsupportedFormError
from core.masks import ModuleMask
from core.specs import ModuleForm
from core.surgery.extraction import CutPlan, Extraction
from core.surgery.masking import fold_amplitudes, has_generators, remove_generators


@dataclass(frozen=True)
class ModuleOptions:
    """The form of a module. `amplitudes` (unit -> (n,) mean mask value) are folded into a static module."""

    form: ModuleForm
    amplitudes: Mapping[str, Tensor] | None = None


def union(masks: Iterable[ModuleMask]) -> ModuleMask:
    """The neurons that any of the modules keeps (MwT, "on-demand reuse")."""
    return reduce(lambda a, b: a | b, masks)


class ModuleCutter:
    """Cuts modules out of one trained model; what a form needs to know of the model is found out once."""

    def __init__(self, model: fx.GraphModule, input_shape: tuple[int, int, int]) -> None:
        self._model, self._input_shape = model, input_shape
        self._plans: dict[ModuleForm, CutPlan] = {}

    def build(self, mask: ModuleMask, classes: Sequence[int], options: ModuleOptions) -> Extraction:
        """Cut `mask` out; the outputs are the model's logits of `classes`, in that order.

        Raises:
            UnsupportedFormError: a gated module of a model without mask generators.
        """
        if options.form not in self._plans:
            network = prepare(self._model, ModuleOptions(options.form))
            self._plans[options.form] = CutPlan(network, self._input_shape)
        amplitudes = options.amplitudes if options.form == "static" else None
        return self._plans[options.form].extract(mask, classes=classes, amplitudes=amplitudes)


def build_module(
    model: fx.GraphModule,
    mask: ModuleMask,
    classes: Sequence[int],
    input_shape: tuple[int, int, int],
    options: ModuleOptions,
) -> Extraction:
    """One module; see `ModuleCutter.build`."""
    return ModuleCutter(model, input_shape).build(mask, classes, options)


def default_form(model: fx.GraphModule) -> ModuleForm:
    """The form that loses nothing at the cut: gated where the model has mask generators."""
    return "gated" if has_generators(model) else "static"


def prepare(model: fx.GraphModule, options: ModuleOptions) -> fx.GraphModule:
    """The full-width network whose hard-masked form the module must equal: the reference of exactness."""
    if options.form == "gated":
        if not has_generators(model):
            raise UnsupportedFormError(
                "a model trained without mask generators has no gated modules; ask for static"
            )
        return model
    network = remove_generators(model)
    return network if options.amplitudes is None else fold_amplitudes(network, options.amplitudes)
