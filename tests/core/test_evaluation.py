"""Figures of a network against small examples worked by hand."""

import torch
from torch import nn

from core.evaluation import (
    best_threshold,
    classification_metrics,
    multiply_accumulates,
    one_vs_rest,
    parameter_count,
    positions,
)


def test_positions_follow_the_order_of_the_outputs() -> None:
    assert positions(torch.tensor([3, 8, 5]), [8, 3, 5]).tolist() == [1, 0, 2]


def test_accuracy_counts_samples_and_classes() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 1.0]])
    labels = torch.tensor([7, 2, 2, 2])
    metrics = classification_metrics(logits, labels, [7, 2], ["seven", "two"], "test")
    assert [(m.name, m.class_name, m.value) for m in metrics] == [
        ("accuracy", None, 0.75),
        ("class_accuracy", "seven", 1.0),
        ("class_accuracy", "two", 2 / 3),
    ]
    assert {m.split for m in metrics} == {"test"}


def test_a_class_without_samples_has_no_accuracy() -> None:
    metrics = classification_metrics(
        torch.tensor([[1.0, 0.0]]), torch.tensor([0]), [0, 1], ["a", "b"], "validation"
    )
    assert [m.class_name for m in metrics] == [None, "a"]


def test_best_threshold_maximises_f1() -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.2, 0.1])
    positive = torch.tensor([True, False, True, False, False])
    threshold = best_threshold(scores, positive)
    assert 0.2 < threshold < 0.7
    found = one_vs_rest(scores, positive, threshold)
    assert (found.precision, found.recall) == (2 / 3, 1.0)
    others = [one_vs_rest(scores, positive, t).f1 for t in (0.05, 0.15, 0.75, 0.85)]
    assert found.f1 > max(others)


def test_best_threshold_never_splits_equal_scores() -> None:
    scores = torch.tensor([1.0, 1.0, 1.0, 0.0])
    positive = torch.tensor([True, False, False, False])
    assert best_threshold(scores, positive) == 0.5


def test_a_silent_detector_scores_zero() -> None:
    found = one_vs_rest(torch.zeros(3), torch.tensor([True, False, False]), 1.0)
    assert (found.precision, found.recall, found.f1) == (0.0, 0.0, 0.0)


def test_cost_of_a_network_counted_by_hand() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 5))
    assert parameter_count(network) == (3 * 4 * 9 + 4) + (256 * 5 + 5)
    assert multiply_accumulates(network, (3, 8, 8)) == 3 * 4 * 9 * 64 + 256 * 5
