"""The errors a user can meet. Each message says what was got, what is expected, and what to do.

AsrDemoError
├── ConfigError            models.yaml, a recipe or a setting is wrong
├── NotFoundError          an id, file or folder that does not exist
├── AudioError             a file or recording that cannot become a clip
│   └── MissingFfmpegError   readable, but only with ffmpeg installed
├── CorpusError            a corpus folder that cannot be read
├── CheckpointError        a checkpoint that cannot be loaded
│   └── NeedsNetworkError    it is on the Hub, and the Hub cannot be reached
├── DecodingError          decoder options that do not fit, or a broken language model
├── LanguageModelError     a language model that cannot be built or read
├── ResultError            an evaluation result that cannot be read, continued or merged
├── ToolError              another program (sclite, espeak-ng) that fails or gives no usable answer
├── TrainingError          a run that cannot start or go on
├── BusyError              something runs that must end first
└── Cancelled              the user asked to stop
"""


class AsrDemoError(Exception):
    """Base of all errors whose message is meant for the user's eyes."""


class ConfigError(AsrDemoError):
    """A configuration file or setting is wrong."""


class NotFoundError(AsrDemoError):
    """Something was asked for by name that does not exist."""


class AudioError(AsrDemoError):
    """Audio that cannot be turned into a clip."""


class MissingFfmpegError(AudioError):
    """A container that only ffmpeg can read, on a machine without ffmpeg."""


class CorpusError(AsrDemoError):
    """A corpus folder that cannot be read."""


class CheckpointError(AsrDemoError):
    """A checkpoint that cannot be loaded."""


class NeedsNetworkError(CheckpointError):
    """A checkpoint on the Hub while the Hub cannot be reached."""


class DecodingError(AsrDemoError):
    """Decoder options that do not fit the emissions or each other."""


class LanguageModelError(AsrDemoError):
    """A language model that cannot be built or read."""


class ResultError(AsrDemoError):
    """An evaluation result that cannot be read, continued or merged."""


class ToolError(AsrDemoError):
    """Another program that fails, hangs, or gives an answer that cannot be used."""


class TrainingError(AsrDemoError):
    """A training run that cannot start or go on."""


class BusyError(AsrDemoError):
    """Something runs that must end first."""


class Cancelled(AsrDemoError):
    """The user asked to stop."""
