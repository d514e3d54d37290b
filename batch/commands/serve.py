"""``seg-batch serve``: its options, and the service from its start to its end."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from batch.web.server import LOOPBACK, bound_socket, needs_web, run_server
from seglab.cli_support import GroupedCommand, NamedPath, PlainOption, command_errors, echo
from seglab.errors import SeglabError

if TYPE_CHECKING:
    import socket

    from batch.service.engine import Engine
    from batch.service.uploads import Limits
    from batch.settings import RunSettings
    from batch.web.guard import Guard

POSITIVE = click.IntRange(min=1)
MIB = 2**20
GROUPS = {
    "Address": ("host", "port", "public_name"),
    "The model and its device": ("model", "device", "compute", "exact", "postprocess", "processes"),
    "Limits": ("max_mib", "max_files", "max_pixels", "queue", "timeout"),
}
HELD_MIB = 1024
"""Megabytes that all requests together may hold, or the largest one alone."""
END_SECONDS = 10
"""After a stop, beyond the time that reading a request and making its masks may take."""
LONGEST_SECONDS = 86_400
option = functools.partial(click.option, cls=PlainOption)


@click.command(cls=GroupedCommand, groups=GROUPS)
@option(
    "--host", default="127.0.0.1", metavar="NAME", help="Address to listen on; 0.0.0.0 for all.  [default: 127.0.0.1]"
)
@option(
    "--port", type=click.IntRange(0, 65535), default=8000, metavar="N", help="Port; 0 for a free one.  [default: 8000]"
)
@option(
    "--public-name",
    multiple=True,
    callback=lambda _context, _option, names: tuple(map(_host_name, names)),
    metavar="NAME",
    help="Host name under which a proxy shows it; repeatable.",
)
@option("--model", type=NamedPath(), metavar="FILE", help="Model file.  [default: the package's own network]")
@option("--device", default="auto", metavar="NAME", help="auto, cpu, openvino, cuda:K, tensorrt.")
@option(
    "--compute",
    type=click.Choice(["fp32", "bf16", "int8"]),
    metavar="TYPE",
    help="fp32, bf16, int8.  [default: the fastest that passes]",
)
@option("--exact", is_flag=True, help="Decode and resize whole images: slower, the reference.")
@option("--postprocess", metavar="STEPS", help="Clean masks: largest, fill, or largest,fill.")
@option("--processes", type=POSITIVE, metavar="N", help="Processes per device.  [default: one per core or GPU]")
@option("--max-mib", type=POSITIVE, default=64, metavar="N", help="Refuse requests above N MiB.  [default: 64]")
@option("--max-files", type=POSITIVE, default=64, metavar="N", help="Refuse requests with more files.  [default: 64]")
@option("--max-pixels", type=POSITIVE, default=100_000_000, metavar="N", help="Refuse images above N pixels.")
@option("--queue", type=POSITIVE, default=256, metavar="N", help="Images that may wait or be in work.  [default: 256]")
@option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True, max=LONGEST_SECONDS),
    default=30.0,
    metavar="SECONDS",
    help="For a request to arrive, and for its masks.  [default: 30]",
)
@command_errors
def serve(host: str, port: int, public_name: tuple[str, ...], **options: Any) -> None:
    """Offer masks over HTTP, to people and to programs.

    The page outlines photographs that are dropped on it. Programs send photographs to /v1/masks and get PNG, or JSON
    with outlines and figures. The masks are those of `seg-batch run`. Nothing is stored. Ctrl-C ends the service when
    the photographs that it took are done.

    There is no login and no encryption: on other addresses than 127.0.0.1, put a server that has them in front of it.

    Example: seg-batch serve --port 8000
    """
    with needs_web():  # before the model is opened
        import batch.service.app
    from batch.service.engine import Engine
    from batch.service.metrics import Metrics
    from batch.web.guard import Guard

    with bound_socket(host, port) as listening:
        engine = Engine(_settings(options), options["queue"], lambda size: metrics.batches.observe(size))
        metrics = Metrics(lambda: engine.waiting)
        opened = engine.open()
        try:
            app = batch.service.app.create_app(engine, opened, _limits(options), metrics)
            described = f"{opened.path.name} on {opened.device.name}, {opened.device.precision}"
            guarded = Guard(app, LOOPBACK if host in LOOPBACK else None, public_name)
            _answer(guarded, listening, host, described, engine, 2 * options["timeout"] + END_SECONDS)
        finally:
            engine.close()  # again, if a second signal came
    if engine.failure is not None:
        raise SeglabError(f"The service ended: {engine.failure}")


def _host_name(text: str) -> str:
    """Return a host name. Raises :class:`click.BadParameter` for anything else."""
    if not re.fullmatch(r"[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9])?", text):
        raise click.BadParameter(
            f"{text!r} is not a host name; expected one like seg.example.org, without https:// and port."
        )
    return text


def _limits(options: dict[str, Any]) -> Limits:
    from batch.service.uploads import Limits

    most = options["max_mib"] * MIB
    return Limits(most, options["max_files"], max(most, HELD_MIB * MIB), options["timeout"])


def _answer(app: Guard, listening: socket.socket, host: str, described: str, engine: Engine, grace: float) -> None:
    """Answer requests until the end, and say at which address."""
    port = listening.getsockname()[1]
    if host not in LOOPBACK:
        echo(
            f"warning: anyone who reaches {host}, port {port}, can send photographs: there is no login and no "
            "encryption. Put a server that has them in front of it, such as nginx or Caddy.",
            err=True,
        )
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"

    def say() -> None:
        echo(f"Serving {described} at {address}   Ctrl-C ends it", err=True)

    run_server(app, listening, say, ended=engine.ended, abandon=engine.abandon, grace=grace, access_log=False)


def _settings(options: dict[str, Any]) -> RunSettings:
    from batch.settings import RunSettings

    steps = tuple(filter(None, (options["postprocess"] or "").split(",")))
    names = ("device", "compute", "exact", "processes", "max_pixels", "timeout")
    return RunSettings(
        ("uploads",),
        Path("uploads"),
        model=options["model"],
        postprocess=steps,
        **{name: options[name] for name in names},
    )
