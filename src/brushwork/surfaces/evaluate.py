"""What `brushwork evaluate` shows: a table, CSV, JSON and a sheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from brushwork.encode import encode_picture, format_of
from brushwork.evaluation import IDENTITY, STYLE_COPY, Row, evaluate, spread
from brushwork.images import Picture
from brushwork.jobs import Evaluate
from brushwork.outputs import files, sheets
from brushwork.surfaces.terminal import table

HEADINGS = ("", "content", "style", "tv/photo", "tv/painting")


def show_scores(
    job: Evaluate, *, csv_file: str | None, sheet: str | None, as_json: bool, overwrite: bool
) -> None:
    """Score a job's pictures; writes the table or JSON to stdout and the files that are asked for."""
    for name in filter(None, (csv_file, sheet)):
        files.check_place(Path(name), overwrite=overwrite)
    kind = format_of(Path(sheet)) if sheet else ""
    rows = list(evaluate(job))
    if as_json:
        files.write_standard_output(json.dumps(_report(rows)).encode() + b"\n")
    else:
        table([HEADINGS, *_lines(rows)])
    if csv_file:
        files.write(Path(csv_file), _csv(rows))
    if sheet:
        pictures = Picture(sheets.grid([row.picture for row in rows]))
        files.write(Path(sheet), encode_picture(pictures, kind))


def _results(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.name not in (IDENTITY, STYLE_COPY)]


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    lines = [(row.name, *(f"{value:.3f}" for value in asdict(row.scores).values())) for row in rows]
    results = _results(rows)
    if results[1:]:
        lines.append(("mean ± deviation", *(f"{m:.3f} ± {d:.3f}" for m, d in spread(results).values())))
    return lines


def _report(rows: Sequence[Row]) -> dict[str, object]:
    scores = [{"name": row.name, **asdict(row.scores)} for row in rows]
    statistics = {key: {"mean": m, "deviation": d} for key, (m, d) in spread(_results(rows)).items()}
    return {"rows": scores, "results": statistics}


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["name", *asdict(rows[0].scores)])
    writer.writeheader()
    writer.writerows({"name": row.name, **asdict(row.scores)} for row in rows)
    return text.getvalue().encode()
