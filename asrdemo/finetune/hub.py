"""The Hugging Face Hub as training uses it: one client, and its errors in our words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from asrdemo.errors import TrainingError

if TYPE_CHECKING:
    from huggingface_hub import HfApi

LOGIN = "set HF_TOKEN, or log in with `hf auth login`"
_STATUS = {
    401: f"the Hub does not accept the token: {LOGIN}, with one that is valid",
    402: "the account has no credit; add some at https://huggingface.co/settings/billing",
    403: "the token may not do that: make one that may, at https://huggingface.co/settings/tokens",
    404: "it is not there, or the token may not see it",
    409: "it exists already",
    413: "the Hub says that it is too large",
    429: "the Hub has had too many requests; try again in some minutes",
}


def client() -> HfApi:
    """A client with the token of HF_TOKEN or `hf auth login`, for HF_ENDPOINT. Raises TrainingError without a token."""
    from huggingface_hub import HfApi, get_token

    token = get_token()
    if not token:
        raise TrainingError(f"There is no Hugging Face token: {LOGIN}.")
    return HfApi(token=token)


def quiet() -> None:
    """For a process whose output is a run's log: no progress bars and hints in it."""
    from huggingface_hub.utils import disable_progress_bars, logging

    disable_progress_bars()
    logging.set_verbosity_error()


@contextmanager
def talking(doing: str, scope: str = "write") -> Iterator[None]:
    """Whatever the Hub or the network says becomes a TrainingError. doing: `creating the repository x`; scope: what the
    token must be allowed to do."""
    from huggingface_hub import errors

    try:
        yield
    except errors.HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        why = _STATUS.get(status) or f"the Hub answered {status}: {str(error).strip().splitlines()[0][:200]}"
        needs = f" It needs the scope {scope!r}." if status in (401, 403) else ""
        raise TrainingError(f"While {doing}: {why}.{needs}") from error
    except errors.OfflineModeIsEnabled as error:
        raise TrainingError(f"While {doing}: HF_HUB_OFFLINE is set, so nothing is sent. Unset it.") from error
    except errors.HFValidationError as error:
        raise TrainingError(f"While {doing}: {str(error).splitlines()[0]}") from error
    except (errors.HTTPError, ConnectionError, TimeoutError) as error:
        raise TrainingError(f"While {doing}: the Hub cannot be reached ({type(error).__name__}). Try again.") from error
