"""`python -m dermasense.serve`: a bundle behind HTTP, with a page at `/`.

Research software, not a medical device.
"""

import os
import signal

from dermasense.cli import tool_command
from dermasense.errors import DermaSenseError

KEY = "DERMASENSE_API_KEY"


def main() -> None:
    """Runs what the command line asks for; see `--help`."""
    tool_command(start, "serve", texts=("bundle", "host"))


def start(settings: dict) -> None:
    """Loads the bundle and serves it until it is told to stop; then finishes what it took on.

    Raises:
        DermaSenseError: the extra is not installed, the bundle cannot be read, the port is taken.
    """
    try:
        import uvicorn

        from dermasense.serving.app import create_app
    except ImportError as error:
        raise DermaSenseError(
            f"{error.name} is not installed; pip install 'dermasense[serve]'."
        ) from None
    from dermasense.inference.model import load
    from dermasense.inference.prediction import DISCLAIMER
    from dermasense.serving.limits import Limits
    from dermasense.serving.telemetry import log_to_stderr

    limits = Limits(**settings["limits"])
    options = {key: settings[key] for key in ("device", "engine", "batch_size")}
    model = load(str(settings["bundle"]), **options)
    key = os.environ.get(KEY) or None
    app = create_app(model, limits, api_key=key, wait_seconds=settings["wait_ms"] / 1000)
    log_to_stderr()
    host, port = str(settings["host"]), int(settings["port"])
    shown = "no key is asked for" if key is None else f"with the key of {KEY}"
    print(f"http://{host}:{port}/ ({shown}). Ctrl-C stops it. {DISCLAIMER}", flush=True)
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=host,
            port=port,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=10,
            timeout_graceful_shutdown=int(limits.receive_seconds + limits.answer_seconds) + 1,
        )
    )
    for told in (signal.SIGTERM, signal.SIGINT):
        # uvicorn stops gracefully, then raises the signal once more for whoever was there before.
        signal.signal(told, signal.SIG_IGN)
    try:
        server.run()
    except SystemExit:  # uvicorn has said why in its log
        raise DermaSenseError(
            f"{host}:{port} cannot be served on; another program may hold the port: take port=..."
        ) from None


if __name__ == "__main__":
    main()
