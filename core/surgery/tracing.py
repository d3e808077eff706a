"""From an nn.Module to a flat torch.fx graph of leaf layers, and the shapes of its values."""

import copy
import inspect
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.proxy import TraceError

from core.errors import InputShapeError, UntraceableModelError
from core.surgery.inplace import InPlaceProxy, is_in_place_call, is_in_place_operator, read_results
from core.surgery.layers import LEAF_LAYERS

_TRACING_FAILURES = (
    TraceError, TypeError, ValueError, RuntimeError, AttributeError, LookupError, NotImplementedError,
)  # fmt: skip


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        if isinstance(m, LEAF_LAYERS) or getattr(m, "fx_leaf", False) or _asks_for_the_mode(m):
            return True
        return super().is_leaf_module(m, module_qualified_name)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return InPlaceProxy(node, self)


def trace(model: nn.Module) -> fx.GraphModule:
    """The model as a graph of torch.nn layers (and our leaf layers), which it shares with the model.

    Layers keep their qualified names and their train/eval state. The graph is that of evaluation, whatever
    the mode: a layer that acts otherwise in training stays one node; a block of layers that does so
    (auxiliary heads, F.dropout) is always as in evaluation.

    Raises:
        UntraceableModelError: The forward method depends on data, or takes or returns more than one tensor;
            or a hook computes a layer's weight.
    """
    tracer = _Tracer()
    with evaluation_mode(model):
        try:
            graph = tracer.trace(model, concrete_args=_defaults(model))
        except _TRACING_FAILURES as error:
            raise UntraceableModelError(f"{_where(error)}: {error}") from error
    _drop_inputs_with_defaults(graph)
    _require_one_tensor(graph)
    traced = fx.GraphModule(tracer.root, graph)
    _require_own_weights(traced)
    read_results(traced, partial(is_in_place_call, traced))
    return finish(traced)


def trace_copy(model: nn.Module) -> fx.GraphModule:
    """Like `trace`, sharing nothing with the model."""
    traced, copies = trace(model), dict[int, Any]()  # copies: layers with two names stay one layer
    for content in ("_modules", "_parameters", "_buffers"):
        setattr(traced, content, copy.deepcopy(getattr(traced, content), copies))
    return traced


def finish(network: fx.GraphModule) -> fx.GraphModule:
    """Make an edited graph runnable: drop what nothing reads, check it, compile it. In place."""
    drop_dead_code(network)
    network.delete_all_unused_submodules()
    for layer in network.modules():
        # Containers that fx makes, and layers that surgery adds, start in train mode.
        if type(layer) is nn.Module or isinstance(layer, LEAF_LAYERS):
            layer.training = network.training
    network.graph.lint()
    network.recompile()
    return network


def drop_dead_code(network: fx.GraphModule) -> None:
    """Remove the nodes that nothing reads and that change nothing. In place."""
    network.graph.eliminate_dead_code(lambda node: node.is_impure() or is_in_place_operator(node))


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Every layer in eval mode inside the block; each one's own mode is restored."""
    modes = {layer: layer.training for layer in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for layer, training in modes.items():
            layer.training = training


def value_shapes(network: fx.GraphModule, input_shape: Sequence[int]) -> dict[fx.Node, tuple[int, ...]]:
    """The shape of each tensor in the graph for a batch of two images of `input_shape` (C, H, W).

    Raises:
        InputShapeError: The network cannot take such images.
    """
    recorder = _ShapeRecorder(network)
    like = next(network.parameters(), torch.empty(0))
    try:
        with evaluation_mode(network), torch.no_grad():  # running statistics must not see this batch
            recorder.run(like.new_zeros((2, *input_shape)))
    except (RuntimeError, AssertionError) as error:
        raise InputShapeError(f"the network does not take images of shape {tuple(input_shape)}") from error
    return recorder.shapes


class _ShapeRecorder(fx.Interpreter):
    def __init__(self, network: fx.GraphModule) -> None:
        super().__init__(network)
        self.extra_traceback = False
        self.shapes: dict[fx.Node, tuple[int, ...]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor):
            self.shapes[n] = tuple(result.shape)
        return result


def _asks_for_the_mode(layer: nn.Module) -> bool:
    """Whether a layer's forward reads `self.training`, and no layers with weights of their own lie inside it.

    Such a layer (stochastic depth) must stay one node: a trace follows one mode only.
    """
    code = getattr(type(layer).forward, "__code__", None)
    inside = any(True for child in layer.children() for _ in child.parameters())
    return code is not None and "training" in code.co_names and not inside


def _where(error: BaseException) -> str:
    """The last line of the user's own code in a tracing failure."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "torch" not in Path(f.filename).parts and f.filename != __file__]
    frame = own[-1] if own else frames[-1]
    return f"{Path(frame.filename).name}, line {frame.lineno} ({frame.line})"


def _require_own_weights(network: fx.GraphModule) -> None:
    """Hooks that put a weight together from other tensors would undo a cut, and such a weight has no copy."""
    for node in network.graph.find_nodes(op="call_module"):
        layer = network.get_submodule(str(node.target))
        for name, value in vars(layer).items():
            if isinstance(value, Tensor):
                raise UntraceableModelError(_HOOKED.format(layer=node.target, tensor=name))


_HOOKED = (
    "{tensor} of layer {layer!r} is neither a parameter nor a buffer: a hook computes it, as those of "
    "torch.nn.utils.weight_norm, spectral_norm and prune do. Remove the hook (remove_weight_norm, "
    "remove_spectral_norm, prune.remove) or use torch.nn.utils.parametrizations."
)


def _defaults(model: nn.Module) -> dict[str, Any] | None:
    """What the forward method's optional inputs are when a caller gives images alone."""
    if isinstance(model, fx.GraphModule):
        return None
    inputs = list(inspect.signature(model.forward).parameters.values())[1:]
    return {
        p.name: p.default for p in inputs if p.default is not p.empty and p.kind != p.KEYWORD_ONLY
    } or None


def _drop_inputs_with_defaults(graph: fx.Graph) -> None:
    """torch.fx keeps an input for each default, read by nothing but assertions about its value."""
    derived: list[fx.Node] = []
    for node in graph.nodes:
        default = node.op == "placeholder" and bool(node.args)
        if default or (node.all_input_nodes and all(source in derived for source in node.all_input_nodes)):
            derived.append(node)
    if graph.output_node() not in derived:
        for node in reversed(derived):
            graph.erase_node(node)


def _require_one_tensor(graph: fx.Graph) -> None:
    inputs = graph.find_nodes(op="placeholder")
    if len(inputs) != 1:
        raise UntraceableModelError(f"the network takes {len(inputs)} inputs; it should take one batch")
    if not isinstance(graph.output_node().args[0], fx.Node):
        raise UntraceableModelError("the network must return one tensor of logits")
