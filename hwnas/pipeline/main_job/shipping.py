"""After the report: the files of the chosen network that an app ships, made as `hwnas export RUN` makes them.

They decide nothing: a search whose export fails is whole all the same, and the export can be asked for again.
"""

from __future__ import annotations

from hwnas.pipeline.exports.job import export_network
from hwnas.pipeline.exports.options import ExportOptions
from hwnas.pipeline.stages import Outcome
from targets.errors import HwnasError

from .run_context import RunContext

FOLDER = "export"


def ship_chosen(context: RunContext) -> Outcome:
    """Write RUN/export/; where that fails, the record says why."""
    options = ExportOptions(
        source=str(context.path),
        target=context.config.target,
        home=context.home,
        out=context.path / FOLDER,
    )
    try:
        folder, manifest = export_network(options)
    except HwnasError as error:
        context.run.log.warn(
            f"the chosen network is not exported for apps: {error}; "
            f"try again with `hwnas export {context.path}`"
        )
        return Outcome({"failure": str(error)})
    for sentence in manifest["findings"]:
        context.run.log(sentence)
    context.run.log(
        f"for apps: {folder / manifest['recommended']}; {folder / 'README.md'} says how to use it"
    )
    return Outcome({"failure": None, "recommended": manifest["recommended"]}, (f"{FOLDER}/manifest.json",))
