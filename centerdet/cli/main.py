"""The command ``centerdet``.

The module of a subcommand has two functions: one adds its parser, the other runs it and imports what it needs, so that
``--help`` is fast.
"""

from __future__ import annotations

import centerdet
from centerdet.cli.check import add_check
from centerdet.cli.errors import Parser, fail_cleanly
from centerdet.cli.evaluate import add_evaluate
from centerdet.cli.export import add_export
from centerdet.cli.predict import add_predict
from centerdet.cli.train import add_train


@fail_cleanly
def main(arguments: list[str] | None = None) -> None:
    """Runs the subcommand that the command line names."""
    parser = Parser(prog="centerdet", description=(centerdet.__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--version", action="version", version=f"centerdet {centerdet.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in (add_check, add_train, add_evaluate, add_predict, add_export):
        add(commands)
    options = parser.parse_args(arguments)
    options.run(options)
