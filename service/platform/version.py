"""The version of the installed distribution."""

from importlib.metadata import PackageNotFoundError, version


def service_version() -> str:
    """The distribution's version; a marked one in a checkout that was never installed."""
    try:
        return version("cleave")
    except PackageNotFoundError:
        return "0+checkout"
