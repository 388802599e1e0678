"""`python app.py`: read the registry, build the page, serve it."""

import logging
import os
import sys

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when gradio is imported

from asrdemo import registry, settings
from asrdemo.errors import AsrDemoError
from asrdemo.transcribe import Transcriber
from asrdemo.ui.build import build_ui, launch_options, warm_up


def main() -> None:
    """Serve until interrupted. The first checkpoint is loaded meanwhile."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asrdemo").setLevel(logging.INFO)
    try:
        chosen = settings.read()
        transcriber = Transcriber(registry.read(chosen.registry), chosen)
        page = build_ui(transcriber, chosen)
    except AsrDemoError as error:
        sys.exit(f"error: {error}")
    page.launch(prevent_thread_lock=True, **launch_options(chosen))
    warm_up(transcriber)
    page.block_thread()


if __name__ == "__main__":
    main()
