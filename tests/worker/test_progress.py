from core.reports import Progress
from worker.progress import ProgressMeter


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def train(step: int, total: int = 100) -> Progress:
    return Progress(phase="train", step=step, total=total, epoch=1, epochs=5)


def test_eta_is_unknown_until_enough_was_seen_then_steps_left_times_step_time() -> None:
    clock = Clock()
    meter = ProgressMeter(clock)
    etas = []
    for step in range(6):
        etas.append(meter.read(train(step))["eta_seconds"])
        clock.now += 2.0
    assert etas == [None, None, None, None, 192.0, 190.0]


def test_eta_follows_a_change_of_pace() -> None:
    clock = Clock()
    meter = ProgressMeter(clock)
    for step in range(80):
        meter.read(train(step))
        clock.now += 1.0 if step < 20 else 3.0
    eta = meter.read(train(80))["eta_seconds"]
    assert 58 < eta < 61


def test_percent_never_falls_and_short_phases_leave_it() -> None:
    meter = ProgressMeter()
    steps = [Progress(phase="load", step=0, total=1), train(50), train(40)]
    steps.append(Progress(phase="save", step=0, total=1))
    assert [meter.read(step)["percent"] for step in steps] == [0.0, 50.0, 50.0, 50.0]


def test_a_zero_total_is_no_division() -> None:
    read = ProgressMeter().read(Progress(phase="train", step=0, total=0))
    assert (read["percent"], read["eta_seconds"]) == (0.0, None)
