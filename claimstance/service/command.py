"""The command ``claimstance serve``: its options, what it prints, and how it stops."""

from __future__ import annotations

import argparse
import ipaddress
import logging
import os
import signal
import socket
import sys
from dataclasses import fields

from claimstance.errors import ClaimstanceError
from claimstance.service import LOOK_EVERY_S, create_app, serve_extra
from claimstance.service.limits import MOST_CLAIMS, Limits

_GRACE_S = 10.0
_KEEP_ALIVE_S = 15
_BACKLOG = 1024
_LAST_PORT = 65_535


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the command to its parser."""
    parser.add_argument("bundle", metavar="DIR", help="exported model, such as exports/champion")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: %(default)s, this machine alone)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen at, 0 for any (default: %(default)s)")
    parser.add_argument(
        "--reload-every",
        type=float,
        default=LOOK_EVERY_S,
        metavar="SECONDS",
        help="look for a new bundle every so often; 0: on SIGHUP alone (default: %(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=float,
        default=_GRACE_S,
        metavar="SECONDS",
        help="finish what was begun for so long after SIGTERM (default: %(default)s)",
    )
    parser.add_argument("--quiet", action="store_true", help="print no line for each request")
    bounds = parser.add_argument_group("limits", "What goes beyond one is refused with the HTTP status that it names.")
    for bound in fields(Limits):
        bounds.add_argument(
            f"--{bound.name.replace('_', '-')}",
            type=type(bound.default),
            default=bound.default,
            metavar=bound.metadata["unit"],
            help=f"{bound.metadata['what']} (default: %(default)s)",
        )
    parser.set_defaults(run=serve)


def serve(options: argparse.Namespace) -> None:
    """Serve a bundle until SIGTERM or Ctrl-C.

    Raises:
        ClaimstanceError: the bundle, a limit or the address is wrong, or a package is missing.
    """
    if options.reload_every < 0 or options.grace < 0:
        raise ClaimstanceError("--reload-every and --grace are seconds, expected 0 or more")
    with serve_extra():
        import uvicorn
    limits = Limits(**{bound.name: getattr(options, bound.name) for bound in fields(Limits)})
    app = create_app(options.bundle, limits=limits, reload_every=options.reload_every)
    service = app.state.service
    listener = _listen(options.host, options.port)
    _log_to_stderr(quiet=options.quiet)

    class Server(uvicorn.Server):
        def handle_exit(self, sig, frame) -> None:
            # Not kept by uvicorn, which would raise it again after the shutdown: who has finished exits with 0.
            self.force_exit = self.should_exit
            self.should_exit = True
            service.close()

    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=options.grace,
        timeout_keep_alive=_KEEP_ALIVE_S,
        ws="none",
    )
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, lambda *_: service.current.hurry())
    _print_start(listener, options.bundle, service)
    Server(config).run(sockets=[listener])
    if service.busy:
        print(f"gave up on work that took longer than {options.grace:g} seconds", file=sys.stderr)
        sys.stdout.flush()
        sys.stderr.flush()
        # Python would wait for the threads.
        os._exit(0)


def _listen(host: str, port: int) -> socket.socket:
    # With the protocol named, or asyncio leaves Nagle's algorithm on and every answer takes 40 ms.
    listener = None
    try:
        if not 0 <= port <= _LAST_PORT:
            raise OSError(f"ports are 0 to {_LAST_PORT}")
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        raise ClaimstanceError(f"{host}:{port}: cannot listen there ({error}); name another --host or --port") from None
    if not ipaddress.ip_address(listener.getsockname()[0]).is_loopback:
        print(
            f"warning: {host} can be reached from other machines, and anybody who reaches it is answered; "
            f"put a proxy that asks who they are before it",
            file=sys.stderr,
        )
    return listener


def _log_to_stderr(*, quiet: bool) -> None:
    log = logging.getLogger("claimstance.service")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.handlers, log.propagate = [handler], False
    log.setLevel(logging.WARNING if quiet else logging.INFO)


def _print_start(listener: socket.socket, bundle: str, service) -> None:
    host, port = listener.getsockname()[:2]
    model, limits = service.current.loaded, service.limits
    print(f"serving at http://{f'[{host}]' if ':' in host else host}:{port}/   (Ctrl-C or SIGTERM ends it)")
    print(f"model   {model.predictor.manifest.name}, {bundle}, digest {model.digest}")
    print(
        f"limits  {limits.max_pairs:,} pairs of {limits.max_characters:,} characters a text, or an article of "
        f"{limits.max_article:,} characters and {MOST_CLAIMS} claims; {limits.max_body:,} bytes and {limits.timeout:g} seconds "
        f"a request; {limits.max_requests} requests at once on {limits.threads} thread{'s' if limits.threads > 1 else ''}",
        flush=True,
    )
