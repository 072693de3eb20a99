"""What `brushwork evaluate` shows: a table, CSV, JSON and a sheet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from brushwork.encode import LONGEST, check_format, encode_picture, format_of
from brushwork.errors import OutputError
from brushwork.evaluation import (
    Row,
    Spread,
    art_fids,
    art_network,
    by_pair,
    evaluate,
    spread_of_pairs,
    spread_of_results,
)
from brushwork.images import Picture
from brushwork.jobs import Evaluate
from brushwork.metrics import ArtFid, Judge
from brushwork.metrics.inception import FEATURES
from brushwork.outputs import files
from brushwork.outputs.labels import Cell, labelled
from brushwork.pairs import find_pairs
from brushwork.surfaces.terminal import say, table

HEADINGS = ("content", "style", "tv/photo", "tv/painting", "")
ART_HEADINGS = ("ArtFID", "LPIPS", "FID", "")
ART_NOTE = (
    "ArtFID is (1 + LPIPS)·(1 + FID) of whole sets. LPIPS is VGG16's here; published values of ArtFID have "
    "AlexNet's and do not compare with these. "
    # Covariances of fewer samples than features lack rank, and FID of two samples of one source is not 0.
    f"FID of fewer than {FEATURES} pictures is too high: compare only sets of equal numbers."
)
ACROSS = 8  # pictures in a row of the sheet
MAX_ROWS = 100  # of the sheet: more make no picture that a program opens
TALLEST = 320  # pixels of a row, at most


def show_scores(
    job: Evaluate, *, csv_file: str | None, sheet: str | None, as_json: bool, overwrite: bool
) -> None:
    """Score a job's pictures; writes the table or JSON to stdout and the files that are asked for."""
    if csv_file and sheet and Path(csv_file).resolve() == Path(sheet).resolve():
        raise OutputError(f"--csv and --sheet both want {sheet}: give each its own name")
    for name in filter(None, (csv_file, sheet)):
        files.check_place(Path(name), overwrite=overwrite)
    if sheet:
        check_format(Path(sheet), 1, 1)
    pairs, strays = find_pairs(job.content, job.style, job.results)
    inception = art_network(job, pairs)
    rows = list(evaluate(job, Judge.load(job.metric_weights), pairs, inception))
    sets = art_fids(rows)
    if as_json:
        report = _report(rows, sets) | {"strays": list(map(str, strays))}
        files.write_standard_output(json.dumps(report).encode() + b"\n")
    else:
        _tabulate(rows, sets)
    if strays:
        say(f"not scored, for their names PHOTO-ART fit no pair, or several: {', '.join(map(str, strays))}")
    if csv_file:
        files.write(Path(csv_file), _csv(rows))
    if sheet:
        _write_sheet(Path(sheet), rows)


def _lines(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    pairs, results = by_pair(rows), spread_of_results(rows)
    for pair, found in pairs.items():
        if pairs.keys() - {pair}:
            lines.append(("", "", "", "", f"{pair}:"))
        lines += [_line(row) for row in found]
        if found[3:]:
            lines.append(_mean("mean ± deviation", results[pair]))
    if pairs.keys() - {rows[0].pair}:
        lines.append(_mean(f"mean of {len(pairs)} pairs", spread_of_pairs(results)))
    return lines


def _tabulate(rows: Sequence[Row], sets: dict[str, ArtFid]) -> None:
    table([HEADINGS, *_lines(rows)])
    if sets:
        table([("",), ART_HEADINGS, *_art_lines(sets)])
        say(ART_NOTE)


def _art_lines(sets: dict[str, ArtFid]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for name, one in sets.items():
        told = f"{one.pictures} {name}" + ("" if name == "results" else " as results")
        if one.pictures < FEATURES and name != "paintings":
            told += " (few: FID is too high)"
        lines.append((f"{one.artfid:.3f}", f"{one.lpips:.3f}", f"{one.fid:.3f}", told))
    return lines


def _line(row: Row) -> tuple[str, ...]:
    """The name stands last, where it wraps and is not cut."""
    return (*(f"{value:.3f}" for value in asdict(row.scores).values()), Path(row.name).name)


def _mean(name: str, spread: Spread) -> tuple[str, ...]:
    return (*(f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in spread.values()), name)


def _report(rows: Sequence[Row], sets: dict[str, ArtFid]) -> dict[str, object]:
    results = spread_of_results(rows)
    artfid: dict[str, object] = {name: {"artfid": one.artfid, **asdict(one)} for name, one in sets.items()}
    return {
        "rows": [{"pair": row.pair, "name": row.name, **asdict(row.scores)} for row in rows],
        "pairs": {pair: _named(spread) for pair, spread in results.items()},
        "results": _named(spread_of_pairs(results)),
        "artfid": {**artfid, "note": ART_NOTE} if sets else None,
    }


def _named(spread: Spread) -> dict[str, dict[str, float]]:
    return {key: {"mean": mean, "deviation": deviation} for key, (mean, deviation) in spread.items()}


def _csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, ["pair", "name", *asdict(rows[0].scores)])
    writer.writeheader()
    writer.writerows({"pair": row.pair, "name": row.name, **asdict(row.scores)} for row in rows)
    return text.getvalue().encode()


def _write_sheet(place: Path, rows: Sequence[Row]) -> None:
    """Each pair's pictures in rows, names and scores under them, as many rows as the format holds."""
    lines: list[list[Cell]] = []
    for found in by_pair(rows).values():
        cells = [_cell(row) for row in found]
        lines += [cells[at : at + ACROSS] for at in range(0, len(cells), ACROSS)]
    kind = format_of(place)
    room = min(MAX_ROWS, LONGEST.get(kind, MAX_ROWS * TALLEST) // TALLEST)
    if lines[room:]:
        say(f"{place} shows the first {room} of {len(lines)} rows")
    files.write(place, encode_picture(Picture(labelled(lines[:room])), kind))


def _cell(row: Row) -> Cell:
    return Cell(row.picture, (row.label, f"content {row.scores.content:.2f}  style {row.scores.style:.2f}"))
