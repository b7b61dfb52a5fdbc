"""Errors of the embedded stack. All are fatal: a half-started stack helps nobody."""

from schemas.errors import ConfigError, FatalError


class StackError(FatalError):
    """The embedded stack cannot run on this machine as it is."""

    code = "fatal.stack"


class MissingPackageError(StackError, ConfigError):
    """A Python package that carries one of the parts is not installed."""

    code = "fatal.stack.missing_package"


class MissingResourceError(StackError):
    """The machine has too little memory or disk space left."""

    code = "fatal.stack.missing_resource"


class DataDirectoryInUseError(StackError):
    """Another supervisor runs on the same data directory."""

    code = "fatal.stack.data_directory_in_use"


class DownloadError(StackError):
    """A jar could not be downloaded, or is not the one that was locked."""

    code = "fatal.stack.download"


class ForeignDirectoryError(StackError):
    """A data directory to be emptied holds files that are not ours."""

    code = "fatal.stack.foreign_directory"


class UnwritableDirectoryError(StackError):
    """The data directory or the cache cannot be made or written."""

    code = "fatal.stack.unwritable_directory"


class PartFailedError(StackError):
    """A part ended or did not become healthy while it was being started."""

    code = "fatal.stack.part_failed"


class PortTakenError(PartFailedError):
    """A part ended because another program listens on its port."""

    code = "fatal.stack.port_taken"
