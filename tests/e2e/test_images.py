"""What the two images hold and run, without a container engine: clean environments, an unprivileged user.

The base system, the layers and the read-only root are not covered. The worker's environment takes torch and
the rest of its lock file from the interpreter that runs the tests, for it is 5.5 GB.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
USER = 10001
COPIED = ("pyproject.toml", "README.md", "LICENSE", "core", "service", "worker", "migrations")
PIP = (sys.executable, "-m", "pip")
WHO: dict[str, Any] = {"user": USER, "group": USER, "extra_groups": []} if os.getuid() == 0 else {}
VERSION = f"{sys.version_info[0]}.{sys.version_info[1]}"
pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(1200)]


@dataclass(frozen=True)
class Image:
    """One image's environment; its commands run as the images' user, if these tests may choose one."""

    environment: Path
    data: Path

    def install(self, *arguments: str | Path) -> None:
        call(*PIP, "--python", self.environment / "bin" / "python", "install", "--quiet", *arguments)

    def start(self, *arguments: str, program: str = "cleave") -> subprocess.Popen[str]:
        settings = {"CLEAVE_DATA_DIR": str(self.data), "CLEAVE_LOG_FORMAT": "json", "HOME": str(self.data)}
        base = {"PATH": f"{self.environment}/bin:/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [str(self.environment / "bin" / program), *arguments], cwd=self.data, env={**base, **settings},
            stdout=subprocess.PIPE, text=True, start_new_session=True, **WHO,
        )  # fmt: skip

    def run(self, *arguments: str, program: str = "cleave") -> tuple[int, str]:
        with self.start(*arguments, program=program) as process:
            output, _ = process.communicate(timeout=120)
        return process.returncode, output

    @contextmanager
    def running(self, *arguments: str) -> Iterator[dict[str, str]]:
        """The process once it is ready, as its line of JSON says; it has to end well when it is told to."""
        process = self.start(*arguments, "--json")
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
            process.send_signal(signal.SIGTERM)
            # uvicorn cleans up and then lets the signal end it.
            assert process.wait(60) in {0, -signal.SIGTERM}, arguments
        finally:
            process.kill()
            process.communicate()


def call(*command: str | Path, cwd: Path | None = None) -> None:
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Open to every user, which pytest's own temporary folders are not."""
    made = Path(tempfile.mkdtemp(prefix="cleave-images-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def wheel(folder: Path) -> Path:
    """Built as the Dockerfile does, from what it copies."""
    source = folder / "source"
    source.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    call(*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder / "wheels", ".", cwd=source)
    [built] = (folder / "wheels").glob("cleave-*.whl")
    return built


@pytest.fixture(scope="module")
def data(folder: Path) -> Path:
    made = folder / "data"
    made.mkdir(mode=0o750)
    if os.getuid() == 0:
        os.chown(made, USER, USER)
    return made


@pytest.fixture(scope="module")
def python() -> str:
    """An interpreter of the tests' version that the images' user may run: the tests' own may be in a home."""
    for found in (sys.executable, shutil.which(f"python{VERSION}", path="/usr/local/bin:/usr/bin")):
        with suppress(OSError):
            command = [str(found), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
            told = subprocess.run(command, capture_output=True, text=True, check=False, **WHO)
            if told.stdout.strip() == VERSION:
                return str(found)
    pytest.skip(f"the user {USER} may run no Python {VERSION} here")


@pytest.fixture(scope="module")
def api(folder: Path, wheel: Path, data: Path, python: str) -> Image:
    environment = folder / "api"
    call(python, "-m", "venv", "--without-pip", environment)
    image = Image(environment, data)
    image.install("--require-hashes", "-r", ROOT / "requirements-api.lock")
    image.install("--no-deps", wheel)
    call(*PIP, "--python", environment / "bin" / "python", "check")
    return image


@pytest.fixture(scope="module")
def worker(folder: Path, wheel: Path, data: Path, python: str) -> Image:
    environment = folder / "worker"
    call(python, "-m", "venv", "--without-pip", environment)
    image = Image(environment, data)
    image.install("--no-deps", wheel)
    [site] = environment.glob("lib/python*/site-packages")
    # A plain path: the .pth files in it, such as that of an editable install of these sources, are not read.
    (site / "torch-and-the-rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return image


def test_each_images_commands_run_as_an_ordinary_user(api: Image, worker: Image) -> None:
    code, _ = api.run("-c", "import torch", program="python")
    assert code != 0
    for image in (api, worker):
        code, where = image.run("-c", "import service; print(service.__path__[0])", program="python")
        assert where.startswith(str(image.environment)), "the wheel, not these sources"
    code, told = api.run("db", "upgrade", "--json")
    assert (code, set(json.loads(told))) == (0, {"revision"})
    with api.running("api", "--port", "0") as ready, api.running("dispatcher"):
        assert httpx.get(f"{ready['url']}/readyz", trust_env=False).status_code == 200
        with worker.running("worker", "--queue", "short"), worker.running("worker", "--device", "cpu"):
            code, told = api.run("workers", "list", "--json")
            assert code == 0
            workers = {(tuple(w["queues"]), w["device"]) for w in json.loads(told)}
            assert workers == {(("short",), "auto"), (("train",), "cpu")}
            key = json.loads(api.run("keys", "create", "--json")[1])["api_key"]
            answer = httpx.get(
                f"{ready['url']}/v1/workers", headers={"X-API-Key": key}, trust_env=False
            ).json()
            assert [entry["idle"] for entry in answer["data"]] == [1, 1]
    if os.getuid() == 0:
        owners = {path.stat().st_uid for path in api.data.rglob("*")}
        assert owners == {USER}
