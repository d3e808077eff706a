"""What a process loads: the API and the worker's supervisor must start without torch."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "numpy", "sklearn", "matplotlib", "opentelemetry.sdk")


@pytest.mark.parametrize(
    ("module", "also_forbidden"),
    [
        ("service.app", ("celery", "worker")),
        ("service.dispatcher", ("worker",)),
        ("service.processes", ("worker",)),
        ("worker.app", ("fastapi",)),
        ("worker.tasks", ()),
        ("worker.runner", ("fastapi", "celery", "sqlalchemy")),
        ("core.specs", ("service", "fastapi")),
    ],
)
def test_light_processes_stay_light(module: str, also_forbidden: tuple[str, ...]) -> None:
    code = f"import {module}, sys; print([m for m in {(*HEAVY, *also_forbidden)!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_traces_nothing_of_opentelemetry_is_loaded() -> None:
    code = """if True:
        import sys
        from service.platform import tracing
        from service.platform.settings import Diagnostics
        tracing.start(Diagnostics(otel=False), "api")
        with tracing.span("work"):
            tracing.note({"cleave.job.id": "job_1"})
            print([m for m in sys.modules if m.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
