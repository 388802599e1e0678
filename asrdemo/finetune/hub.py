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
    except errors.OfflineModeIsEnabled as error:  # a ConnectionError too
        raise TrainingError(f"While {doing}: HF_HUB_OFFLINE is set, so nothing is sent. Unset it.") from error
    except errors.HFValidationError as error:
        raise TrainingError(f"While {doing}: {_first_line(error)}") from error
    except (errors.HTTPError, ConnectionError, TimeoutError, RuntimeError) as error:
        # an upload that fails comes as RuntimeError, with what happened behind it (from hf_xet without)
        cause = error.__cause__ if isinstance(error, RuntimeError) and error.__cause__ else error
        raise TrainingError(f"While {doing}: {_why(cause, scope)}") from error


def _why(error: BaseException, scope: str) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code if error.response is not None else 0
        why = _STATUS.get(status) or f"the Hub answered {status}: {_first_line(error)}"
        return f"{why}." + (f" It needs the scope {scope!r}." if status in (401, 403) else "")
    if isinstance(error, errors.HTTPError | ConnectionError | TimeoutError):
        return f"the Hub cannot be reached ({type(error).__name__}). Try again."
    return f"{_first_line(error)}. Try again."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
