"""Write ``docs/cli.md`` from the three command lines themselves: ``python -m docs.tools.cli_page``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "docs" / "cli.md"
COMMAND = "python -m docs.tools.cli_page"
WIDTH = 100  # characters; fixed, so that the terminal plays no part

INTRODUCTION = f"""\
# Command reference

<!-- Written by `{COMMAND}` from the commands themselves: change their help, not this file. -->

Exit codes: 0 all well; 1 set-up or gate failed; 2 usage; 3 finished, but some images failed (each is in the ledger);
130 interrupted (run again to continue). Data goes to stdout, messages and progress to stderr.
"""


def reference() -> str:
    """Return the whole reference as Markdown: every command of every group, in the order of its help."""
    from batch.cli import main as seg_batch
    from export.cli import main as seg_export
    from seglab.cli import main as seglab

    groups = {"seglab": seglab, "seg-export": seg_export, "seg-batch": seg_batch}
    sections = (section for name, group in groups.items() for section in _walk(group, name, None))
    return "\n".join([INTRODUCTION, *sections])


def _walk(command: click.Command, name: str, parent: click.Context | None) -> Iterator[str]:
    """Yield the section of a command, then those of its sub-commands."""
    context = click.Context(
        command,
        parent=parent,
        info_name=name,
        terminal_width=WIDTH,
        **{**command.context_settings, "max_content_width": WIDTH},
    )
    level = "##" if parent is None else "###"
    yield f"{level} {context.command_path}\n\n```text\n{command.get_help(context).strip()}\n```\n"
    if isinstance(command, click.Group):
        for child_name in command.list_commands(context):
            child = command.get_command(context, child_name)
            if child is not None and not child.hidden:
                yield from _walk(child, child_name, context)


@click.command()
def main() -> None:
    """Write docs/cli.md."""
    TARGET.write_text(reference(), encoding="utf-8")


if __name__ == "__main__":
    main()
