"""Releases from Mozilla Data Collective, where Common Voice is published, through its own SDK (`datacollective`).

The SDK is optional: what it brings is an archive that a browser can download as well.
"""

from __future__ import annotations

import os
from pathlib import Path

from asrdemo.errors import ConfigError, CorpusError, NotFoundError

KEY = "MDC_API_KEY"
_SITE = "https://mozilladatacollective.com"
STEPS = (
    f"1. make an account at {_SITE} and agree to the terms on the dataset's page; "
    "2. pip install 'datacollective>=0.7,<0.8'; "
    f"3. create a key at {_SITE}/api-reference and set {KEY} to it; "
    "4. run this again. Or download the .tar.gz in a browser and give its path instead"
)


def download(dataset: str, home: Path, show_progress: bool = False) -> Path:
    """The archive of a dataset (its id or slug), under `<home>/downloads/`; what is there already is not fetched again,
    and a download that was interrupted goes on.

    show_progress: have the SDK draw its bar on the terminal.
    Raises ConfigError with the steps where the SDK or the key is missing or the key is refused, NotFoundError for an
    unknown dataset, CorpusError where the site cannot be reached and for what else goes wrong.
    """
    try:
        import datacollective
        import requests
        from datacollective.errors import DownloadError
    except ImportError as error:
        raise ConfigError(f"Mozilla Data Collective needs its SDK, which is not installed. Steps: {STEPS}.") from error
    if not os.environ.get(KEY):
        raise ConfigError(f"Mozilla Data Collective needs a key, and {KEY} is not set. Steps: {STEPS}.")
    folder = home / "downloads"
    try:
        name = datacollective.get_dataset_details(dataset).filename or ""
        if Path(name).name != name or not name:
            raise CorpusError(f"Dataset {dataset!r} has no archive with a plain file name, got {name!r}.")
        return Path(datacollective.download_dataset(dataset, str(folder), show_progress=show_progress))
    except datacollective.AuthenticationError as error:
        raise ConfigError(f"{KEY} was refused: it is wrong, expired or revoked. Steps: {STEPS}.") from error
    except PermissionError as error:
        raise ConfigError(
            f"Dataset {dataset!r} may not be downloaded with this key: {error}. Agree to its terms on its page at "
            f"{_SITE}, then run this again."
        ) from error
    except FileNotFoundError as error:
        raise NotFoundError(
            f"Mozilla Data Collective has no dataset {dataset!r}; its page shows the id under Download, API."
        ) from error
    except DownloadError as error:
        raise CorpusError(
            f"The download broke off; {error.remaining_bytes} are missing. Run it again to go on."
        ) from error
    except (requests.ConnectionError, requests.Timeout) as error:
        raise CorpusError(f"{_SITE} cannot be reached. Connect to the network and run this again.") from error
    except (requests.RequestException, RuntimeError, ValueError) as error:  # busy, changed, or no answer of its own
        raise CorpusError(f"Mozilla Data Collective did not give dataset {dataset!r}: {error}") from error
