"""The losses reproduce the reference values of the published codes, and stay finite where those do not."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core.approaches.losses import mwt_losses, nemo_contrastive


def balanced(batch: int, classes: int) -> Tensor:
    return torch.arange(batch) % classes


def one_hot(labels: Tensor) -> Tensor:
    return F.one_hot(labels).float()


def masks_of(kind: str, labels: Tensor) -> Tensor:
    if kind == "one-hot":
        return one_hot(labels)
    return torch.full((len(labels), 5), 0.7 if kind == "identical" else 0.0)


def with_similarities(labels: Tensor, alike: float, different: float) -> Tensor:
    """Masks of cosine `alike` for equal and `different` for other labels: rows of that matrix's root."""
    same = (labels[:, None] == labels[None, :]).double()
    gram = different + (alike - different) * same
    gram.fill_diagonal_(1.0)
    values, vectors = torch.linalg.eigh(gram)
    return torch.mul(vectors, values.clamp_min(0).sqrt())


def naive_contrastive(mask: Tensor, labels: Tensor, temperature: float) -> float:
    """The published formula, written with plain loops."""
    rows = F.normalize(mask.double(), dim=1, eps=1e-12)
    losses = []
    for i in range(len(labels)):
        pos = neg = 0.0
        for j in range(len(labels)):
            similarity = float(rows[i] @ rows[j])
            same = bool(labels[i] == labels[j])
            pos += float(torch.exp(torch.tensor(similarity * same / temperature, dtype=torch.float64)))
            neg += float(torch.exp(torch.tensor(similarity * (not same) / temperature, dtype=torch.float64)))
        losses.append(-torch.log(torch.tensor((pos + 1e-8) / (pos + neg + 1e-8))).item())
    return sum(losses) / len(losses)


class TestNemo:
    @pytest.mark.parametrize(
        ("batch", "classes", "zero_terms", "expected"),
        [
            (8, 2, True, {"one-hot": 0.01330, "identical": 0.69315, "zero": 0.69315}),
            (128, 8, True, {"one-hot": 0.05019, "identical": 2.04007, "zero": 0.69315}),
            (120, 10, True, {"one-hot": 0.06159, "identical": 2.25043, "zero": 0.69315}),
            (120, 10, False, {"one-hot": 0.05887, "identical": 2.30259, "zero": 2.30259}),
        ],
    )
    def test_class_masks(
        self, batch: int, classes: int, zero_terms: bool, expected: dict[str, float]
    ) -> None:
        labels = balanced(batch, classes)
        for kind, value in expected.items():
            loss = nemo_contrastive([masks_of(kind, labels)], labels, 0.2, zero_terms)
            assert loss.item() == pytest.approx(value, abs=1e-4), kind

    @pytest.mark.parametrize(
        ("temperature", "zero_terms", "expected"),
        [
            (0.1, True, [2.3022, 0.0005, 0.0398, 0.0073, 0.0058, 0.0589]),
            (0.2, True, [2.2504, 0.0616, 0.4592, 0.2198, 0.3817, 0.5323]),
            (0.5, True, [1.6329, 0.4763, 0.8021, 0.6688, 0.6691, 0.9376]),
            (0.2, False, [2.3026, 0.0589, 0.5016, 0.2301, 0.5418, 0.5532]),
        ],
    )
    def test_similarity_table(self, temperature: float, zero_terms: bool, expected: list[float]) -> None:
        """The reference has |P| = 12.8: batches of 130 with ten classes have 13, hence the tolerance."""
        labels = balanced(130, 10)
        pairs = [(1, 1), (1, 0), (0.8, 0.3), (0.9, 0.2), (0, 0), (1, 0.5)]
        for (alike, different), value in zip(pairs, expected, strict=True):
            mask = with_similarities(labels, alike, different)
            loss = nemo_contrastive([mask], labels, temperature, zero_terms).item()
            assert loss == pytest.approx(value, rel=0.02, abs=3e-4), (alike, different)

    def test_equals_the_published_formula_on_random_masks(self) -> None:
        torch.manual_seed(0)
        labels = torch.tensor([0, 0, 1, 2, 2, 2])
        mask = (torch.randn(6, 4) + 0.5).tanh().relu()
        loss = nemo_contrastive([mask], labels, 0.3).item()
        assert loss == pytest.approx(naive_contrastive(mask, labels, 0.3), abs=1e-5)

    def test_batches_of_one_class_and_of_all_different_classes(self) -> None:
        same, distinct = torch.zeros(8, dtype=torch.int64), torch.arange(8)
        assert nemo_contrastive([masks_of("identical", same)], same, 0.2).item() == pytest.approx(
            0.00672, abs=1e-5
        )
        assert nemo_contrastive([one_hot(distinct)], distinct, 0.2).item() == pytest.approx(0.0502, abs=1e-4)
        identical = masks_of("identical", distinct)
        assert nemo_contrastive([identical], distinct, 0.2).item() == pytest.approx(2.0401, abs=1e-4)

    def test_units_have_equal_weight_whatever_their_width(self) -> None:
        labels = balanced(120, 10)
        loss = nemo_contrastive([one_hot(labels), masks_of("identical", labels)], labels, 0.2).item()
        assert loss == pytest.approx((0.06159 + 2.25043) / 2, abs=1e-4)

    def test_without_self_term_lonely_anchors_are_left_out(self) -> None:
        labels = torch.tensor([0, 0, 1])
        mask = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        loss = nemo_contrastive([mask], labels, 1.0, zero_terms=False, self_term=False).item()
        # Anchors 0 and 1: pos = e^1 (the other one), neg = e^0. Anchor 2 has no positive.
        assert loss == pytest.approx(torch.log1p(torch.exp(torch.tensor(-1.0))).item(), abs=1e-6)

    @pytest.mark.parametrize("zero_terms", [True, False])
    @pytest.mark.parametrize("self_term", [True, False])
    def test_gradients_are_finite_at_the_lowest_temperature(self, zero_terms: bool, self_term: bool) -> None:
        for labels in (torch.arange(6), torch.zeros(6, dtype=torch.int64), balanced(6, 2)):
            mask = torch.rand(6, 4).requires_grad_()
            loss = nemo_contrastive([mask, mask * 0], labels, 0.01, zero_terms, self_term)
            (gradient,) = torch.autograd.grad(loss, mask)
            assert loss.isfinite()
            assert gradient.isfinite().all()

    def test_gradient_is_the_derivative(self) -> None:
        labels = torch.tensor([0, 0, 1, 1, 2])
        mask = (torch.rand(5, 3, dtype=torch.float64) + 0.1).requires_grad_()
        assert torch.autograd.gradcheck(lambda m: nemo_contrastive([m], labels, 0.5), (mask,))


class TestMwt:
    @pytest.mark.parametrize(
        ("kind", "expected"), [("one-hot", (0.0, 0.0)), ("identical", (0.0, 1.0)), ("zero", (1.0, 0.0))]
    )
    def test_class_masks(self, kind: str, expected: tuple[float, float]) -> None:
        labels = balanced(120, 10)
        cohesion, coupling = mwt_losses([masks_of(kind, labels)], labels)
        assert (cohesion.item(), coupling.item()) == pytest.approx(expected, abs=1e-5)

    def test_random_masks(self) -> None:
        torch.manual_seed(1)
        labels = balanced(128, 10)
        cohesion, coupling = mwt_losses([(torch.randn(128, 512) + 1).tanh().relu()], labels)
        assert (cohesion.item(), coupling.item()) == pytest.approx((0.255, 0.745), abs=0.01)

    def test_hand_computed_pairs(self) -> None:
        """Pairs: (0,1) same, cosine 0.6; (0,2) and (1,2) different, cosines 0 and 0.8."""
        mask = torch.tensor([[1.0, 0.0], [3.0, 4.0], [0.0, 2.0]])
        cohesion, coupling = mwt_losses([mask], torch.tensor([5, 5, 9]))
        assert (cohesion.item(), coupling.item()) == pytest.approx((0.4, 0.4), abs=1e-6)

    @pytest.mark.parametrize(("labels", "expected"), [([0, 1, 2], (0.0, 1.0)), ([4, 4, 4], (0.0, 0.0))])
    def test_a_batch_without_such_pairs_adds_nothing(
        self, labels: list[int], expected: tuple[float, float]
    ) -> None:
        """The published code divides by zero here and the run dies."""
        cohesion, coupling = mwt_losses([torch.ones(3, 2)], torch.tensor(labels))
        assert (cohesion.item(), coupling.item()) == pytest.approx(expected, abs=1e-6)

    def test_gradient_is_the_derivative(self) -> None:
        labels = torch.tensor([0, 0, 1, 1, 2])
        mask = (torch.rand(5, 3, dtype=torch.float64) + 0.1).requires_grad_()
        assert torch.autograd.gradcheck(lambda m: mwt_losses([m], labels), (mask,))
