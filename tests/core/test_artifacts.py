"""A network restored from disk is the network that was saved, bit for bit; anything damaged is refused."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor, fx

from core import architectures
from core.approaches import create_approach
from core.architectures import registry
from core.artifacts import (
    RECIPE,
    WEIGHTS,
    ModulePart,
    Recipe,
    load,
    read_recipe,
    save_network,
)
from core.composition.union import ModuleOptions, build_module
from core.errors import ArtifactError
from core.export import export_program
from core.masks import ModuleMask
from core.specs import ApproachSpec, ModuleForm, MwtSpec, NemoSpec
from core.units import find_units
from tests.fixtures.blocks import Unaffine

CLASSES = [str(n) for n in range(10)]


def _recipe(
    name: str, shape: tuple[int, int, int], approach: ApproachSpec, part: ModulePart | None
) -> Recipe:
    channels = shape[0]
    return Recipe(
        architecture=name,
        model_classes=CLASSES,
        classes=CLASSES if part is None else [CLASSES[index] for index in part.class_indices],
        input_shape=shape,
        mean=[0.3] * channels,
        std=[0.4] * channels,
        approach=approach,
        dataset="digits",
        dataset_digest="0" * 64,
        seed=0,
        train_samples=1257,
        versions={},
        module=part,
    )


def _trained_looking(
    name: str, shape: tuple[int, int, int], approach: ApproachSpec, seed: int
) -> fx.GraphModule:
    """A modular network whose statistics and parameters are all non-trivial."""
    torch.manual_seed(seed)
    network = create_approach(approach).attach(architectures.create(name, 10, shape), 10).eval()
    with torch.no_grad():
        for key, value in network.state_dict().items():
            if key.endswith("running_var"):
                value.uniform_(0.5, 2)
            elif value.is_floating_point() and value.ndim == 1:
                value.add_(torch.randn_like(value) * 0.2)
    return network


def _random_mask(network: fx.GraphModule, seed: int) -> ModuleMask:
    generator = torch.Generator().manual_seed(seed)
    bits = {unit.name: torch.rand(unit.width, generator=generator) < 0.4 for unit in find_units(network)}
    for kept in bits.values():
        kept[0] = True
    return ModuleMask(bits)


def _part(form: ModuleForm, mask: ModuleMask, classes: Sequence[int]) -> ModulePart:
    return ModulePart(
        form=form, fold_amplitudes=False, threshold=0.9, class_indices=list(classes), mask=mask.to_json()
    )


# Hundreds of megabytes each, and the same kinds of layers as the others.
_LARGE = ("resnet34", "resnet50", "vit_small", "deit_small")
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in _LARGE else []) for name in architectures.names()
]


def _images(shape: tuple[int, int, int]) -> Tensor:
    return torch.rand(3, *shape, generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_model_survives_the_disk(name: str, tmp_path: Path) -> None:
    shape = (1, 8, 8) if name == "small_cnn" else (3, 32, 32)
    network = _trained_looking(name, shape, MwtSpec(), seed=1)
    save_network(network, _recipe(name, shape, MwtSpec(), None), tmp_path)
    restored = load(tmp_path)
    with torch.no_grad():
        assert torch.equal(restored.network(_images(shape)), network(_images(shape)))


@pytest.mark.parametrize("form", ["static", "gated"])
@pytest.mark.parametrize("name", NAMES)
def test_a_module_survives_the_disk(name: str, form: ModuleForm, tmp_path: Path) -> None:
    shape = (1, 8, 8) if name == "small_cnn" else (3, 32, 32)
    network = _trained_looking(name, shape, NemoSpec(), seed=2)
    mask = _random_mask(network, seed=3)
    module = build_module(network, mask, [3, 8], shape, ModuleOptions(form)).network.eval()
    save_network(module, _recipe(name, shape, NemoSpec(), _part(form, mask, [3, 8])), tmp_path)
    restored = load(tmp_path)
    saved, loaded = module.state_dict(), restored.network.state_dict()
    assert list(saved) == list(loaded)
    assert all(torch.equal(saved[key], loaded[key]) for key in saved)
    with torch.no_grad():
        assert torch.equal(restored.network(_images(shape)), module(_images(shape)))
    assert restored.recipe.mask is not None
    assert restored.recipe.mask.digest() == mask.digest()


def test_folded_amplitudes_survive_the_disk(tmp_path: Path) -> None:
    shape = (1, 8, 8)
    network = _trained_looking("small_cnn", shape, NemoSpec(), seed=4)
    mask = _random_mask(network, seed=4)
    amplitudes = {unit.name: torch.rand(unit.width) for unit in find_units(network)}
    plain = build_module(network, mask, [1], shape, ModuleOptions("static")).network.eval()
    folded = build_module(network, mask, [1], shape, ModuleOptions("static", amplitudes)).network.eval()
    save_network(folded, _recipe("small_cnn", shape, NemoSpec(), _part("static", mask, [1])), tmp_path)
    with torch.no_grad():
        images = _images(shape)
        assert not torch.allclose(plain(images), folded(images))
        assert torch.equal(load(tmp_path).network(images), folded(images))


def test_amplitudes_folded_into_a_normalisation_without_weights_survive_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(registry._PACKAGES, "blocks", lambda _name, _classes, _shape: Unaffine())
    network = _trained_looking("blocks:Unaffine", (3, 8, 8), NemoSpec(), seed=4)
    mask = _random_mask(network, seed=4)
    amplitudes = {unit.name: torch.rand(unit.width) for unit in find_units(network)}
    options = ModuleOptions("static", amplitudes)
    folded = build_module(network, mask, [1], (3, 8, 8), options).network.eval()
    part = _part("static", mask, [1]).model_copy(update={"fold_amplitudes": True})
    save_network(folded, _recipe("blocks:Unaffine", (3, 8, 8), NemoSpec(), part), tmp_path)
    with torch.no_grad():
        images = _images((3, 8, 8))
        assert torch.equal(load(tmp_path).network(images), folded(images))


def test_a_download_loads_under_the_names_it_is_offered_by(tmp_path: Path) -> None:
    network = _trained_looking("small_cnn", (1, 8, 8), MwtSpec(), seed=1)
    save_network(network, _recipe("small_cnn", (1, 8, 8), MwtSpec(), None), tmp_path)
    (tmp_path / RECIPE).rename(tmp_path / "small_cnn-digits-mwt.recipe.json")
    (tmp_path / WEIGHTS).rename(tmp_path / "small_cnn-digits-mwt.safetensors")
    (tmp_path / "small_cnn-digits-mwt.statistics.safetensors").write_bytes(b"")
    with torch.no_grad():
        assert torch.equal(load(tmp_path).network(_images((1, 8, 8))), network(_images((1, 8, 8))))
    (tmp_path / "another.safetensors").write_bytes(b"")
    with pytest.raises(ArtifactError, match="needs one"):
        load(tmp_path)


def test_loading_leaves_the_random_state_alone(tmp_path: Path) -> None:
    network = _trained_looking("small_cnn", (1, 8, 8), MwtSpec(), seed=1)
    save_network(network, _recipe("small_cnn", (1, 8, 8), MwtSpec(), None), tmp_path)
    before = torch.get_rng_state()
    load(tmp_path)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("damage", ["truncate", "flip", "foreign"])
def test_damaged_weights_are_refused(damage: str, tmp_path: Path) -> None:
    recipe = _recipe("small_cnn", (1, 8, 8), MwtSpec(), None)
    save_network(_trained_looking("small_cnn", (1, 8, 8), MwtSpec(), seed=1), recipe, tmp_path)
    weights = tmp_path / WEIGHTS
    content = bytearray(weights.read_bytes())
    if damage == "truncate":
        content = content[: len(content) // 2]
    elif damage == "flip":
        content[-1] ^= 1
    else:
        save_network(_trained_looking("small_cnn", (1, 8, 8), MwtSpec(), seed=2), recipe, tmp_path / "other")
        content = bytearray((tmp_path / "other" / WEIGHTS).read_bytes())
    weights.write_bytes(content)
    with pytest.raises(ArtifactError, match="sha256"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["", "{}", '{"format": "cleave/99"}', "[1]", "\x80"])
def test_a_file_that_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(text, encoding="latin-1")
    with pytest.raises(ArtifactError):
        read_recipe(tmp_path / RECIPE)


def test_the_exported_program_agrees_and_takes_any_batch(tmp_path: Path) -> None:
    shape = (1, 8, 8)
    network = _trained_looking("small_cnn", shape, NemoSpec(), seed=6)
    mask = _random_mask(network, seed=6)
    module = build_module(network, mask, [3, 5, 8], shape, ModuleOptions("gated")).network.eval()
    recipe = _recipe("small_cnn", shape, NemoSpec(), _part("gated", mask, [3, 5, 8]))
    export_program(module, recipe, tmp_path / "m.pt2")
    facts = {"cleave.json": ""}
    program = torch.export.load(tmp_path / "m.pt2", extra_files=facts).module()
    for count in (1, 2, 7):
        images = torch.rand(count, *shape)
        with torch.no_grad():
            expected = module((images - 0.3) / 0.4)
            torch.testing.assert_close(program(images), expected, atol=1e-5, rtol=1e-4)
    assert '"classes": ["3", "5", "8"]' in facts["cleave.json"]
