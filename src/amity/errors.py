"""Every deliberate error of amity, drawn as a tree.

    AmityError              a mistake that the user can mend; the CLI prints it as one paragraph and exits with 2
    ├── ConfigError         a config file, a flag, or a combination of settings
    ├── DataError           a table: missing, torn, of a wrong type, or with values that cannot stand
    ├── SplitError          a split that leaves a part empty or would leak
    ├── ArtifactError       a file of a run: absent, truncated, altered, or of another run
    ├── TrainingError       training that cannot start or has diverged
    ├── IndexingError       an index that misses its target recall
    ├── RetrievalError      a query that names nobody, or asks for what cannot be
    └── DeviceError         a device that is not there

Each message says what is wrong, what was found, and what to do.
"""


class AmityError(Exception):
    """A mistake that the user can mend."""


class ConfigError(AmityError):
    """A config file, a flag, or a combination of settings is wrong."""


class DataError(AmityError):
    """A table is missing, torn, of a wrong type, or holds values that cannot stand."""


class SplitError(AmityError):
    """A split leaves a part empty, or would let the future leak."""


class ArtifactError(AmityError):
    """A file of a run is absent, truncated, altered, or belongs to another run."""


class TrainingError(AmityError):
    """Training cannot start, or has diverged."""


class IndexingError(AmityError):
    """An index finds less than it must."""


class RetrievalError(AmityError):
    """A query names nobody, or asks for what cannot be."""


class DeviceError(AmityError):
    """A device was asked for that is not there."""
