"""Every option is also an environment variable: --max-body 5M is MIEN_MAX_BODY=5M; options take precedence. The token
can only be set by MIEN_TOKEN.

Exit codes: 2 failed, the message says why; 130 Ctrl-C. On SIGTERM accepted requests are finished.

Next: open the URL in a browser, or curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' ADDRESS/v1/predict
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from mien.cli import DONE
from mien.errors import MissingExtraError

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


def arguments(parser: ArgumentParser) -> None:
    """Declare the options of ``mien serve``: the fields of ``Settings``."""
    from dataclasses import fields

    from mien.web.settings import Settings, flag_of

    for one in fields(Settings):
        if one.metadata["flag"]:
            default = ",".join(one.default) if isinstance(one.default, tuple) else f"{one.default}"
            text = f"{one.metadata['help']} (default: {default})" if default else one.metadata["help"]
            parser.add_argument(flag_of(one), dest=one.name, metavar="V", help=text)


def run(options: Namespace) -> int:
    """Serve until the process is stopped."""
    from mien.web.settings import Settings

    flags = {name: value for name, value in vars(options).items() if value is not None}
    settings = Settings.from_environment(os.environ, flags)
    try:
        from mien.web import server
    except ModuleNotFoundError as error:
        raise MissingExtraError.for_extra(f"mien serve (no {error.name})", "serve") from error
    if not settings.token and not _only_here(settings.host):
        sys.stderr.write(f"mien: note: {settings.host} is open to the network, and no MIEN_TOKEN is set\n")
    server.run(settings, _announce)
    return DONE


def _only_here(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")


def _announce(address: str) -> None:
    sys.stdout.write(f"Mien is ready: {address}  (Ctrl-C stops it)\n")
    sys.stdout.flush()
