"""Is the model hub there? Asked once, with a limit, because its client retries for minutes."""

import os
import socket
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

SECONDS = 8.0


def unreachable(cfg: Mapping[str, Any], seconds: float = SECONDS) -> str:
    """Why the weights of a pretrained_cfg cannot be fetched, or "" where they may be.

    A proxy named in the environment is tried in place of the hub. huggingface_hub repeats each of
    its requests five times and timm tries two file names: 46 s without a name server, minutes
    behind a firewall that drops packets.

    Args:
        cfg: `pretrained_cfg` of a timm model.
        seconds: how long to wait for a connection, the look-up of the name included.
    """
    repository, url = cfg.get("hf_hub_id"), cfg.get("url")
    if not (repository or url):
        return ""
    if repository:
        import huggingface_hub.constants as constants

        if constants.HF_HUB_OFFLINE:
            return "HF_HUB_OFFLINE is set and the cache lacks them"
        url = constants.ENDPOINT
    target = urlsplit(url)
    proxy = getproxies().get(target.scheme)
    if proxy and not proxy_bypass(target.hostname or ""):
        target = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    port = target.port or (443 if target.scheme == "https" else 80)
    return _refusal(target.hostname or "", port, seconds)


def cached(cfg: Mapping[str, Any]) -> str | None:
    """Path of the weights in the hub's local cache, or None."""
    repository = cfg.get("hf_hub_id")
    if not repository:
        return None
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = repository.partition("@")
    names = (cfg.get("hf_hub_filename"), "model.safetensors", "pytorch_model.bin")
    for name in filter(None, names):
        found = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(found, str) and os.path.exists(found):
            return found
    return None


def _refusal(host: str, port: int, seconds: float) -> str:
    """Why no connection opens in time, or ""; a thread, for the look-up of a name has no limit."""
    answer = [f"no answer from {host}:{port} in {seconds:g} s"]

    def connect() -> None:
        try:
            socket.create_connection((host, port), timeout=seconds).close()
            answer[0] = ""
        except OSError as error:
            answer[0] = f"no connection to {host}: {error.strerror or error}"

    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(seconds)
    return answer[0]
