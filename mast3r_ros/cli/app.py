# Copyright 2026 the mast3r_ros developers
# SPDX-License-Identifier: Apache-2.0
"""The command line: `mast3r_ros <verb>`, or `python -m mast3r_ros <verb>`.

Here stands what each verb takes; what it does is imported when it is asked for, so that help is
quick and nothing is needed that the verb does not use.
"""

from __future__ import annotations

import inspect
import itertools
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from mast3r_ros.cli import engines as verbs
from mast3r_ros.cli import train as training_verbs
from mast3r_ros.localization.options import RelocalizerOptions

_OPTIONS = "Options of the relocalizer"
_SOURCE = "What is read"

app = typer.Typer(
    help="Relocalizes camera images in metres against a few keyframes.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
evaluate = typer.Typer(help="Tell how well images with known poses are localized.")
maps = typer.Typer(help="Build maps and look into them.")
app.add_typer(evaluate, name="evaluate", no_args_is_help=True)
app.add_typer(maps, name="map", no_args_is_help=True)

FrontEndName = Annotated[
    str,
    typer.Option(
        "--front-end",
        help="How images are described and matched: sift, xfeat, mast3r or mast3r=CHECKPOINT.",
    ),
]
MapFrontEnd = Annotated[
    str | None,
    typer.Option(
        "--front-end",
        help="What the map was made with, where that was mast3r=CHECKPOINT.",
    ),
]
CameraFile = Annotated[
    Path | None,
    typer.Option("--camera", help="ROS calibration of the camera.", rich_help_panel=_SOURCE),
]
DepthScale = Annotated[
    float,
    typer.Option(
        help="Units of depth image files a metre: 1000 is millimetres; the TUM benchmark has 5000.",
        min=1e-6,
        rich_help_panel=_SOURCE,
    ),
]
JsonFile = Annotated[
    Path | None, typer.Option("--json", help="Write the figures here, not to standard output.")
]
ReportFile = Annotated[
    Path | None, typer.Option("--report", help="Write a page with pictures here (HTML).")
]
ImageTopic = Annotated[
    str | None,
    typer.Option(help="Image topic of a bag, where it has several.", rich_help_panel=_SOURCE),
]
DepthTopic = Annotated[
    str | None,
    typer.Option(help="Topic of a bag's registered depth images.", rich_help_panel=_SOURCE),
]
PoseTopic = Annotated[
    str | None,
    typer.Option(
        help="Topic of a bag's true camera poses; without it they are looked up in TF.",
        rich_help_panel=_SOURCE,
    ),
]
PoseFrame = Annotated[
    str | None,
    typer.Option(
        help="Frame whose poses the pose topic tells, where it is not the camera.",
        rich_help_panel=_SOURCE,
    ),
]
MapFrame = Annotated[
    str, typer.Option(help="Frame of TF that is the map.", rich_help_panel=_SOURCE)
]


def relocalizer_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for each of `RelocalizerOptions`; it takes them as `options`."""

    def wrapped(**given: Any) -> None:
        chosen = {field.name: given.pop(field.name) for field in fields(RelocalizerOptions)}
        try:
            options = RelocalizerOptions(**chosen)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error
        command(**given, options=options)

    signature = inspect.signature(command, eval_str=True)
    kept = [p for p in signature.parameters.values() if p.name != "options"]
    added = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[
                type(field.default),
                typer.Option(help=field.metadata["text"], rich_help_panel=_OPTIONS),
            ],
        )
        for field in fields(RelocalizerOptions)
    ]
    wrapped.__signature__ = signature.replace(parameters=[*kept, *added])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {p.name: p.annotation for p in [*kept, *added]}
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped


@evaluate.command("tum")
@relocalizer_options
def evaluate_tum(
    folder: Annotated[Path, typer.Argument(help="A folder in the layout of the TUM benchmark.")],
    map_every: Annotated[int, typer.Option(help="Every N-th image becomes a keyframe.", min=1)],
    options: RelocalizerOptions,
    front_end: FrontEndName = "xfeat",
    offset: Annotated[int, typer.Option(help="Number of the first keyframe.", min=0)] = 0,
    depth: Annotated[bool, typer.Option(help="Whether keyframes know their depth.")] = True,
    camera: CameraFile = None,
    depth_scale: DepthScale = 1000.0,
    json: JsonFile = None,
    report: ReportFile = None,
) -> None:
    """Map some images of an RGB-D folder with true poses, and localize the others."""
    from mast3r_ros.cli import commands
    from mast3r_ros.datasets import SourceOptions, open_dataset
    from mast3r_ros.evaluation import run

    source = SourceOptions(camera=camera, depth_scale=depth_scale)
    recording = list(open_dataset(folder, source).posed())
    mapped, queries = run.split(recording, map_every, offset)
    about = {
        "front_end": front_end,
        "map_every": map_every,
        "offset": offset,
        "depth": depth,
        "keyframes": len(mapped),
    }
    keyframes = commands.build_map(mapped, len(mapped), front_end, depth)
    commands.evaluate(keyframes, queries, len(queries), options, about, json, report)


@evaluate.command("bag")
@relocalizer_options
def evaluate_bag(
    bag: Annotated[Path, typer.Argument(help="A rosbag2, sqlite3 or mcap.")],
    map_path: Annotated[Path, typer.Option("--map", help="A saved map.")],
    options: RelocalizerOptions,
    front_end: MapFrontEnd = None,
    image_topic: ImageTopic = None,
    pose_topic: PoseTopic = None,
    pose_frame: PoseFrame = None,
    map_frame: MapFrame = "map",
    camera: CameraFile = None,
    json: JsonFile = None,
    report: ReportFile = None,
) -> None:
    """Localize the images of a bag in a map; the truth comes from TF or a pose topic."""
    from mast3r_ros.cli import commands
    from mast3r_ros.datasets import SourceOptions, open_dataset

    keyframes = commands.load_map(map_path, front_end)
    source = SourceOptions(
        camera=camera,
        image_topic=image_topic,
        pose_topic=pose_topic,
        pose_frame=pose_frame,
        map_frame=map_frame,
    )
    recording = open_dataset(bag, source)
    about = {"bag": str(bag), "map": str(map_path), "front_end": keyframes.front_end.name}
    commands.evaluate(keyframes, recording.posed(), len(recording), options, about, json, report)


@evaluate.command("pairs")
@relocalizer_options
def evaluate_pairs(
    source: Annotated[
        str,
        typer.Argument(
            help="`worlds`, which are rendered rooms that no training has seen, or an RGB-D folder "
            "in the layout of the TUM benchmark."
        ),
    ],
    options: RelocalizerOptions,
    front_end: Annotated[
        list[str] | None,
        typer.Option(
            help="sift, xfeat, mast3r or mast3r=CHECKPOINT; give several to compare them. By "
            "default xfeat."
        ),
    ] = None,
    count: Annotated[int, typer.Option(help="How many pairs.", min=1)] = 200,
    min_overlap: Annotated[
        float, typer.Option(help="Least share of the images that both show.", min=0.0, max=0.9)
    ] = 0.15,
    seed: Annotated[int, typer.Option(help="Another seed, other pairs.", min=0)] = 0,
    size: Annotated[str, typer.Option(help="Size of rendered images.")] = "640x480",
    depth: Annotated[bool, typer.Option(help="Whether keyframes know their depth.")] = True,
    camera: CameraFile = None,
    depth_scale: DepthScale = 1000.0,
    json: JsonFile = None,
    report: ReportFile = None,
) -> None:
    """Localize the second image of pairs against the first: matches, poses and confidence."""
    from mast3r_ros.cli import pairs as pairs_commands

    names = front_end or ["xfeat"]
    wide, _, high = size.partition("x")
    if not (wide.isdecimal() and high.isdecimal()):
        raise typer.BadParameter(f"--size {size}: give WIDTHxHEIGHT in pixels, as 640x480")
    front_ends = pairs_commands.open_front_ends(names)
    pairs, found = pairs_commands.read_pairs(
        source, count, seed, (int(wide), int(high)), min_overlap, camera, depth_scale
    )
    about = {"source": source, "min_overlap": min_overlap, "seed": seed}
    if source == pairs_commands.WORLDS:
        about["size"] = size
    pairs_commands.evaluate(pairs, found, front_ends, options, depth, about, json, report)


@maps.command("build")
def map_build(
    source: Annotated[
        Path,
        typer.Argument(help="A folder in the TUM layout, a folder of images (--poses), or a bag."),
    ],
    target: Annotated[Path, typer.Argument(help="The folder to save the map to.")],
    front_end: FrontEndName = "xfeat",
    every: Annotated[int, typer.Option(help="Take every N-th image.", min=1)] = 1,
    depth: Annotated[bool, typer.Option(help="Whether to use depth where there is some.")] = True,
    poses: Annotated[
        Path | None,
        typer.Option(
            help="Lines `image tx ty tz qx qy qz qw`, map <- camera; needs --camera.",
            rich_help_panel=_SOURCE,
        ),
    ] = None,
    camera: CameraFile = None,
    depth_scale: DepthScale = 1000.0,
    image_topic: ImageTopic = None,
    depth_topic: DepthTopic = None,
    pose_topic: PoseTopic = None,
    pose_frame: PoseFrame = None,
    map_frame: MapFrame = "map",
) -> None:
    """Build a map from images with known poses."""
    from mast3r_ros.cli import commands
    from mast3r_ros.datasets import SourceOptions, open_dataset

    reading = SourceOptions(
        camera=camera,
        poses=poses,
        depth_scale=depth_scale,
        image_topic=image_topic,
        depth_topic=depth_topic,
        pose_topic=pose_topic,
        pose_frame=pose_frame,
        map_frame=map_frame,
    )
    recording = open_dataset(source, reading)
    chosen = itertools.islice(recording.posed(), 0, None, every)
    keyframes = commands.build_map(chosen, -(-len(recording) // every), front_end, depth)
    keyframes.save(target)
    typer.echo(f"{len(keyframes)} keyframes saved to {target}")


@maps.command("info")
def map_info(
    path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    front_end: MapFrontEnd = None,
) -> None:
    """Tell what a map holds."""
    from mast3r_ros.cli import commands

    commands.map_info(path, front_end)


@app.command()
@relocalizer_options
def localize(
    map_path: Annotated[Path, typer.Argument(metavar="MAP", help="A saved map.")],
    image: Annotated[Path, typer.Argument(help="An image file.")],
    options: RelocalizerOptions,
    front_end: MapFrontEnd = None,
    camera: Annotated[
        Path | None,
        typer.Option(help="Its ROS calibration; by default the camera that the map was made with."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Answer in JSON.")] = False,
) -> None:
    """Localize one image in a map. Exit status 1 where there is no pose to trust."""
    from mast3r_ros.cli import commands

    if not commands.localize(map_path, image, front_end, camera, options, json):
        raise typer.Exit(1)


@app.command()
def demo(
    folder: Annotated[
        Path, typer.Option(help="Where downloads, the bag and the report go.")
    ] = Path("demo"),
    front_end: FrontEndName = "xfeat",
) -> None:
    """Localize real photographs through the node, then rooms by color alone; write reports."""
    from mast3r_ros.demo import run

    if not run.demo(folder, front_end):
        raise typer.Exit(1)


@app.command()
def doctor() -> None:
    """Tell what is installed, what can run with it, and what to do about the rest."""
    from mast3r_ros.cli import doctor

    if not doctor.examine():
        raise typer.Exit(1)


verbs.register(app)
training_verbs.register(app)


def main() -> None:
    """Run the command line; what a user can mend ends in one line, not in a traceback."""
    try:
        app()
    except Exception as error:
        if not _is_for_users(error):
            raise
        typer.secho(f"{type(error).__name__}: {error}", fg="red", err=True)
        sys.exit(1)


def _is_for_users(error: Exception) -> bool:
    """Whether the package itself, or the system, says what is wrong."""
    return isinstance(error, OSError) or type(error).__module__.startswith("mast3r_ros.")
