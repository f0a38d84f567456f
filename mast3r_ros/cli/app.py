# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command line: `mast3r_ros <verb>`, or `python -m mast3r_ros <verb>`.

Each verb is imported with its options alone; what it does is imported when it runs, so that help is
quick and nothing is needed that the verb does not use.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from mast3r_ros.cli import engines, map_check, map_exchange, map_refine, map_update, maps, train
from mast3r_ros.cli.benchmark import benchmark
from mast3r_ros.cli.drives import evaluate_drives
from mast3r_ros.cli.evaluate import evaluate
from mast3r_ros.cli.gap import evaluate_gap
from mast3r_ros.cli.localize import localize
from mast3r_ros.cli.maps import FrontEndName
from mast3r_ros.cli.options import with_paths_expanded
from mast3r_ros.cli.output import JsonFile, console, write_json
from mast3r_ros.cli.pairs import evaluate_pairs
from mast3r_ros.common.errors import UserError
from mast3r_ros.common.missing import remedy

# Exit status of an error that the user can put right; click has the same for wrong usage.
_USER_ERROR = 2


class _Verbs(TyperGroup):
    """Verbs of one word, or of two."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """`evaluate pairs` is a verb, `evaluate` is another one."""
        two = " ".join(args[:2])
        return super().resolve_command(ctx, [two, *args[2:]] if two in self.commands else args)


app = typer.Typer(
    cls=_Verbs,
    help="Relocalize camera images in meters in a map of a few keyframes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("localize")(localize)
app.command("evaluate")(evaluate)
app.command("evaluate pairs")(evaluate_pairs)
app.command("evaluate drives")(evaluate_drives)
app.command("evaluate gap")(evaluate_gap)
app.command("benchmark")(benchmark)
app.add_typer(maps.app, name="map", no_args_is_help=True)


@app.command()
def demo(
    out: Annotated[
        Path,
        typer.Option("--out", metavar="PATH", help="Folder of downloads, the bag and the reports."),
    ] = Path("demo"),
    front_end: FrontEndName = "xfeat",
    act: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Run this part only: photographs, rooms or drive. Repeatable."
        ),
    ] = None,
    json: JsonFile = None,
) -> None:
    """Localize real photographs through the node, rendered rooms with RGB only, and a drive."""
    from mast3r_ros.demo import run

    results = run.demo(out, front_end, act or ())
    write_json(results, json)
    if not all(results.values()):
        raise typer.Exit(1)


@app.command()
def doctor(json: JsonFile = None) -> None:
    """Show what is installed, what can run, and what to install for the rest."""
    from mast3r_ros.cli import doctor

    found = doctor.examine()
    doctor.show(found, console if str(json) == "-" else Console())
    write_json({title: [f.as_json() for f in part] for title, part in found.items()}, json)
    if not doctor.core_runs(found):
        raise typer.Exit(1)


engines.register(app)
map_exchange.register(maps.app)
map_refine.register(maps.app)
map_check.register(maps.app)
map_update.register(maps.app)
train.register(app)
for _verb in (*app.registered_commands, *maps.app.registered_commands):
    assert _verb.callback is not None
    _verb.callback = with_paths_expanded(_verb.callback)


def main() -> None:
    """Run the command line.

    What a user can put right is one message and exit status 2; any other exception is a bug and
    shows its traceback.
    """
    try:
        app()
    except UserError as error:
        _end(str(error))
    except ModuleNotFoundError as error:
        what = remedy(error)
        if what is None:
            raise
        _end(what)
    except OSError as error:
        # Without a file's name it is not about something that the user named.
        if error.filename is None:
            raise
        _end(f"{error.filename}: {error.strerror}")


def _end(message: str) -> None:
    typer.secho(f"error: {message}", fg="red", err=True)
    sys.exit(_USER_ERROR)
