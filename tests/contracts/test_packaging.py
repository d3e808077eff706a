"""What is shipped agrees with itself: version, changelog, lock files, images, settings, links."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, ClassVar

import pytest
import typer
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from service.cli.main import app
from service.platform.settings import Settings

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCKS = ("requirements.lock", "requirements-api.lock", "requirements-worker.lock")
PYTHONS = ("3.11.0", "3.11.9", "3.12.1", "3.13.0")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def entries(lock: str) -> list[tuple[Requirement, str]]:
    """Each entry of a lock file, with its whole text."""
    text = (ROOT / lock).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    return [(Requirement(line.split("--hash")[0].strip()), line) for line in lines]


def pins(lock: str, python: str) -> dict[str, str]:
    """Name -> pinned version on Linux for one Python version."""
    environment = {
        "python_version": python.rpartition(".")[0],
        "python_full_version": python,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    found: dict[str, str] = {}
    for requirement, _ in entries(lock):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            name = canonicalize_name(requirement.name)
            assert name not in found, f"{lock} pins {name} twice for Python {python}"
            found[name] = next(iter(requirement.specifier)).version
    return found


def declared(*extras: str) -> list[Requirement]:
    texts = list(PROJECT["dependencies"])
    for extra in extras:
        texts += PROJECT["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


class TestVersion:
    def test_the_changelog_begins_with_the_version(self) -> None:
        heads = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
        assert heads[0] == PROJECT["version"]

    def test_the_installed_distribution_has_the_version(self) -> None:
        assert installed_version("cleave") == PROJECT["version"], "run `make install`"

    def test_the_license_is_the_declared_one(self) -> None:
        assert PROJECT["license"] == "Apache-2.0"
        assert "Apache License" in (ROOT / "LICENSE").read_text()[:100]


class TestLocks:
    @pytest.mark.parametrize("lock", LOCKS)
    def test_each_entry_is_pinned_and_hashed(self, lock: str) -> None:
        for requirement, text in entries(lock):
            assert [specifier.operator for specifier in requirement.specifier] == ["=="], text[:80]
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", text), f"{lock}: {requirement.name} has no hash"

    @pytest.mark.parametrize("lock", LOCKS)
    def test_no_index_or_folder_is_named(self, lock: str) -> None:
        content = re.sub(r"#.*", "", (ROOT / lock).read_text())
        assert not re.search(r"--(extra-)?index-url|--find-links|file:|/", content)

    @pytest.mark.parametrize("python", PYTHONS)
    def test_every_declared_dependency_is_satisfied(self, python: str) -> None:
        locked = pins("requirements.lock", python)
        for requirement in declared(*PROJECT["optional-dependencies"]):
            assert requirement.specifier.contains(locked[canonicalize_name(requirement.name)]), requirement

    @pytest.mark.parametrize(
        ("lock", "extras"),
        [
            ("requirements-api.lock", ("postgres", "s3", "otel")),
            ("requirements-worker.lock", ("engine", "postgres", "s3", "otel")),
        ],
    )
    def test_the_images_install_the_tested_versions(self, lock: str, extras: tuple[str, ...]) -> None:
        image, tested = pins(lock, "3.12.1"), pins("requirements.lock", "3.12.1")
        assert image.items() <= tested.items()
        assert {canonicalize_name(requirement.name) for requirement in declared(*extras)} <= image.keys()

    def test_the_api_image_has_no_torch_and_the_worker_image_no_development_tools(self) -> None:
        api, worker = pins("requirements-api.lock", "3.12.1"), pins("requirements-worker.lock", "3.12.1")
        assert not {name for name in api if name.startswith(("torch", "nvidia", "numpy", "triton"))}
        assert not {"pytest", "mypy", "ruff", "torch-pruning"} & worker.keys()

    def test_torch_and_torchvision_are_the_pair_that_imports_together(self) -> None:
        locked = pins("requirements.lock", "3.11.9")
        assert (locked["torch"], locked["torchvision"]) == ("2.14.1", "0.29.2")


class TestContainers:
    TEXT = (ROOT / "docker-compose.yml").read_text()
    SERVICES: ClassVar[dict[str, Any]] = yaml.safe_load(TEXT)["services"]
    DOCKERFILE = (ROOT / "Dockerfile").read_text()

    def test_the_services_are_there(self) -> None:
        ours = {"migrate", "api", "dispatcher", "worker-train", "worker-short", "worker-train-gpu"}
        assert ours | {"postgres", "redis"} == self.SERVICES.keys()
        assert self.SERVICES["worker-train-gpu"]["profiles"] == ["gpu"]

    def test_compose_accepts_the_file(self, tmp_path: Path) -> None:
        program = shutil.which("docker-compose")
        if program is None:
            pytest.skip("docker-compose is not installed")
        path = tmp_path / "docker-compose.yml"
        path.write_text(self.TEXT.replace("\nname: cleave\n", "\n"))  # the first docker-compose knows no name
        secrets = {"POSTGRES_PASSWORD": "one", "CLEAVE_SECRET_KEY": "two"}
        command = [program, "--file", str(path), "--project-directory", str(ROOT), "config", "--quiet"]
        done = subprocess.run(
            command, env={**os.environ, **secrets}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr

    def test_the_linter_accepts_the_dockerfile(self) -> None:
        linter = Path(sys.executable).with_name("hadolint")
        command: list[str | Path] = [
            linter,
            "--ignore",
            "DL3042",
            ROOT / "Dockerfile",
        ]  # pip's cache is a mount
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def test_every_service_that_stays_has_a_health_check(self) -> None:
        """The API's is its image's."""
        checked = {
            name for name, service in self.SERVICES.items() if "test" in service.get("healthcheck", {})
        }
        assert checked == self.SERVICES.keys() - {"migrate", "api"}
        assert "/readyz" in self.DOCKERFILE.split("HEALTHCHECK")[1]

    def test_each_command_exists(self) -> None:
        group = typer.main.get_command(app)
        for name, service in self.SERVICES.items():
            if not service["image"].startswith("cleave-"):
                continue
            command = service.get("command", ["api"])
            found = group
            for word in command[:2] if command[0] == "db" else command[:1]:
                found = found.commands[word]  # type: ignore[attr-defined]  # typer's groups are click groups
            options = {option for parameter in found.params for option in parameter.opts}
            assert {word for word in command if word.startswith("--")} <= options, name

    def test_secrets_have_no_defaults(self) -> None:
        uses = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)([^}]*)\}", self.TEXT)
        assert uses
        assert all(rest.startswith(":?") for _, rest in uses), uses

    def test_only_known_settings_are_set(self) -> None:
        names = set(re.findall(r"^\s+(CLEAVE_\w+):", self.TEXT, flags=re.MULTILINE))
        names |= set(re.findall(r"\b(CLEAVE_\w+)=", self.DOCKERFILE))
        assert names
        assert {name.removeprefix("CLEAVE_").lower() for name in names} <= Settings.model_fields.keys()

    def test_both_images_run_as_an_ordinary_user(self) -> None:
        stages = re.findall(r"^FROM (\S+) AS (\S+)$", self.DOCKERFILE, flags=re.MULTILINE)
        bases = {name: base for base, name in stages}
        assert bases["api"] == bases["worker"] == "runtime"
        runtime = self.DOCKERFILE.split(" AS runtime\n")[1]
        assert "\nUSER 10001:10001\n" in runtime
        assert runtime.count("\nUSER ") == 1

    def test_what_the_build_copies_exists_and_is_sent(self) -> None:
        lines = (ROOT / ".dockerignore").read_text().splitlines()
        sent = {line[1:] for line in lines if line.startswith("!")}
        for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", self.DOCKERFILE, flags=re.MULTILINE):
            for source in sources.split():
                assert (ROOT / source).exists(), source
                assert source in sent, f".dockerignore holds {source} back"


class TestDocuments:
    def test_each_setting_is_documented(self) -> None:
        text = (ROOT / "docs/operations.md").read_text()
        rows = set(re.findall(r"^\| `CLEAVE_(\w+)`", text, flags=re.MULTILINE))
        assert {name.lower() for name in rows} == set(Settings.model_fields)

    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
    def test_relative_links_lead_somewhere(self, document: Path) -> None:
        for target in re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text()):
            assert (document.parent / target).exists(), target

    @pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
    def test_each_make_target_it_names_exists(self, document: Path) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
        assert set(re.findall(r"`make ([a-z-]+)", document.read_text())) <= targets
