"""Ten fixed pairs through recipes and strengths, scored by the judge: table, sheet and curves.

    python benchmarks/quality.py --recipe default draft 'tf-tutorial --strength 0.5' --size 256 --pairs 3
    python benchmarks/quality.py --recipe default --peer pastiche=DIR    # DIR/PHOTO-ART.png, made elsewhere
    python benchmarks/quality.py --recipe default tf-blog --cached --plot curves.png    # of what is there

A recipe may carry options of `brushwork stylize`; with --strength among them it is run at that one only.
Pictures that are there already are not painted again and scores are kept, so a run can be broken off and
continued, also with more pairs, recipes or strengths. Curves that lie below and left of another's are better
in both scores.
"""

import argparse
import hashlib
import json
import shlex
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from statistics import mean
from typing import NamedTuple

from PIL import Image

from brushwork.encode import encode_picture
from brushwork.images import Picture, read_picture
from brushwork.metrics import Judge, Scores, Yardstick
from brushwork.outputs import files
from brushwork.outputs.labels import Cell, labelled
from brushwork.surfaces.cli import call
from curves import Panel, plot

# Chosen by eye from all photos and paintings: subject and technique differ from pair to pair, and the first
# three differ most.
PAIRS = (
    ("kodak_kodim15_500.png", "van_gogh_self_portrait_1889.jpg"),  # portrait; oil, swirling strokes
    ("kodak_kodim08_500.png", "posada_calavera_oaxaquena.jpeg"),  # street; black relief print
    ("mate_Storm.jpg", "van_gogh_starry_night_google.jpg"),  # nightfall, nearly empty; oil, long strokes
    ("lomiri_friends_by_Aitzol_Berasategi.jpg", "delaunay_portrait_metzinger.jpg"),  # dogs; mosaic of dabs
    (
        "lomiri_aitzgorri_by_Aitzol_Berasategi.jpg",
        "met_435877_czanne_mont_sainte_victoire_and_the_viaduct.webp",
    ),
    ("kodak_kodim05_500.png", "leger_contrast_of_forms.jpg"),  # a crowd of motorcycles; cubism in colours
    ("kodak_kodim21_500.png", "sakai_hoitsu_plum.jpg"),  # lighthouse; ink on gold, much empty ground
    ("kodak_kodim12_500.png", "red_chalk_woman_in_peasant_dress.jpg"),  # people, plain sea; chalk on paper
    ("imageio_coffee.png", "gleizes_homme_au_balcon.jpg"),  # still life; cubism in browns
    ("kodak_kodim22_500.png", "monet_water_lilies_1919.jpg"),  # barn, pond; soft oil, many small spots
)
STRENGTHS = ("0.2", "0.35", "0.5", "0.65", "0.8")


class Point(NamedTuple):
    """One setting: a recipe at a strength, or a peer, whose strength is empty."""

    recipe: str
    strength: str

    def __str__(self) -> str:
        return f"{self.recipe} {self.strength}".strip()


@dataclass(frozen=True)
class Result:
    """One picture and its scores; seconds are those of painting it, None for a peer's."""

    pair: str
    point: Point
    path: Path
    content: float
    style: float
    seconds: float | None


def options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument(
        "--recipe", nargs="+", default=["default"], help="the first is compared with the others"
    )
    parser.add_argument("--strength", nargs="+", default=STRENGTHS)
    parser.add_argument("--peer", nargs="+", default=[], metavar="NAME=DIR", help="DIR/PHOTO-ART.png")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument(
        "--pairs",
        nargs="+",
        default=[str(len(PAIRS))],
        help="N: the first N; or parts of their names, such as kodim08 leger [10]",
    )
    parser.add_argument("--cached", action="store_true", help="paint nothing, take what is there")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="the curves [curves.png in the folder]")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="with photos/ and paintings/"
    )
    parser.add_argument("--out", type=Path, help="folder, continued [quality-SIZE]")
    parser.add_argument("--metric-weights", nargs="+", default=[], help="of the judge [downloaded]")
    given = parser.parse_args()
    if not (pairs := chosen(given.pairs)):
        parser.error(f"--pairs {' '.join(given.pairs)}: none of the {len(PAIRS)} pairs has such a name")
    given.pairs = pairs
    return given


def chosen(wanted: list[str]) -> list[tuple[str, str]]:
    """Pairs by their number from the first on, or by parts of their names; in the order of ``PAIRS``."""
    if len(wanted) == 1 and wanted[0].isdecimal():
        return list(PAIRS[: int(wanted[0])])
    return [pair for pair in PAIRS if any(word in f"{pair[0]} {pair[1]}" for word in wanted)]


def points(recipes: Iterable[str], strengths: Iterable[str]) -> Iterator[tuple[Point, list[str]]]:
    """Each setting with its options for `brushwork stylize`."""
    for text in recipes:
        name, *more = shlex.split(text)
        own = [more.pop(at + 1) for at in [i for i, word in enumerate(more) if word == "--strength"][:1]]
        label = " ".join([name, *(word for word in more if word != "--strength")])
        more = [word for word in more if word != "--strength"]
        for strength in own or strengths:
            yield Point(label, strength), ["--recipe", name, "--strength", strength, *more]


def pair_name(photo: Path, art: Path) -> str:
    """As results are named."""
    return f"{photo.stem}-{art.stem}"


def paint(photo: Path, art: Path, out: Path, more: list[str]) -> None:
    """Paint one picture through the command line, and note beside it the seconds it took."""
    out.parent.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    if call(["stylize", str(photo), "--style", f"{art}:1", "-o", str(out), "--quiet", *more]):
        raise SystemExit(f"{out} was not painted")
    out.with_suffix(".seconds").write_text(f"{time.perf_counter() - began:.1f}", encoding="utf-8")


def folder_of(point: Point) -> Path:
    """Below the output folder; `brushwork evaluate` takes it as it is."""
    return Path(point.recipe.replace("--", "").replace(" ", "_").replace("/", "_")) / point.strength


class Scoring:
    """Scores of pictures, kept in a file by the pictures' hashes: a copied folder has them too."""

    def __init__(self, weights: list[str], file: Path) -> None:
        self._file, self._weights = file, weights
        self._kept: dict[str, dict[str, float]] = json.loads(file.read_text()) if file.exists() else {}
        self._yardstick = cache(self._make)
        self._judge = cache(Judge.load)

    def _make(self, photo: Path, art: Path, size: tuple[int, int]) -> Yardstick:
        judge = self._judge(tuple(self._weights))
        return Yardstick(judge, read_picture(photo).pixels, read_picture(art).pixels, size)

    def score(self, path: Path, photo: Path, art: Path) -> Scores:
        """The scores of one picture."""
        key = f"{pair_name(photo, art)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        if key not in self._kept:
            picture = read_picture(path).pixels
            height, width = picture.shape[-2:]
            self._kept[key] = asdict(self._yardstick(photo, art, (height, width)).score(picture))
            files.write(self._file, json.dumps(self._kept, indent=0).encode())
        return Scores(**self._kept[key])


def collect(given: argparse.Namespace, out: Path) -> list[Result]:
    """Paint and score everything, pair by pair, so that a run broken off has whole pairs."""
    results: list[Result] = []
    scoring = Scoring(given.metric_weights, out / "scores.json")
    for photo_name, art_name in given.pairs:
        photo, art = given.data / "photos" / photo_name, given.data / "paintings" / art_name
        name = pair_name(photo, art)
        wanted = [
            (p, more, out / folder_of(p) / f"{name}.png") for p, more in points(given.recipe, given.strength)
        ]
        peers = [(Point(peer.partition("=")[0], ""), Path(peer.partition("=")[2])) for peer in given.peer]
        for _, more, path in wanted:
            if not path.exists() and not given.cached:
                paint(photo, art, path, ["--size", str(given.size), *more])
        for point, path in [(p, path) for p, _, path in wanted] + [(p, d / f"{name}.png") for p, d in peers]:
            if not path.exists():
                print(f"{point} has no {path}")
                continue
            if point.strength:
                check_size(path, given.size)
            scores, noted = scoring.score(path, photo, art), path.with_suffix(".seconds")
            seconds = float(noted.read_text()) if noted.exists() else None
            results.append(Result(name, point, path, scores.content, scores.style, seconds))
            print(f"{name} {point}: content {scores.content:.3f} style {scores.style:.3f}", flush=True)
    return results


def check_size(path: Path, size: int) -> None:
    """Exit when a picture that is there was painted at another size than is asked for."""
    with Image.open(path) as image:
        if max(image.size) != size:
            raise SystemExit(f"{path} is {max(image.size)} px, not {size}: give another --out")


def settings(results: list[Result]) -> dict[Point, list[Result]]:
    """The results of each setting, in the order in which they came."""
    points = dict.fromkeys(r.point for r in results)
    return {point: [r for r in results if r.point == point] for point in points}


def common(results: list[Result]) -> set[str]:
    """The pairs that every setting has."""
    return set.intersection(*({r.pair for r in found} for found in settings(results).values()))


def means(results: list[Result]) -> dict[Point, tuple[float, float]]:
    """Mean (content, style) of each setting over the pairs that all have. Exits when there are none."""
    pairs = common(results)
    if not pairs:
        raise SystemExit("no pair has a picture of every recipe and peer: nothing can be compared")
    compared = settings([r for r in results if r.pair in pairs])
    return {point: (mean(r.content for r in f), mean(r.style for r in f)) for point, f in compared.items()}


def lead(ours: Iterable[tuple[float, float]], theirs: tuple[float, float]) -> float:
    """By how much our best setting is better in the worse of both scores; negative where none is."""
    return max(min(theirs[0] - content, theirs[1] - style) for content, style in ours)


def verdicts(results: list[Result], reference: str) -> list[str]:
    """For each other setting: is there a strength of the reference at least as good in both scores?"""
    average = means(results)
    lines: list[str] = []
    for point, scores in average.items():
        if point.recipe == reference:
            continue
        on_mean = lead([s for p, s in average.items() if p.recipe == reference], scores)
        pairs = {r.pair: _lead_on(r, results, reference) for r in results if r.point == point}
        short = {pair: by for pair, by in pairs.items() if by < 0}
        word = "at least as good in both" if on_mean >= 0 else "NOT as good"
        line = f"{reference} against {point}: {word} on the mean ({on_mean:+.3f}), "
        line += f"on {len(pairs) - len(short)} of {len(pairs)} pairs"
        lines.append(line + "".join(f"; {pair} {by:+.3f}" for pair, by in short.items()))
    return lines


def _lead_on(result: Result, results: list[Result], reference: str) -> float:
    same = [r for r in results if r.pair == result.pair and r.point.recipe == reference]
    return lead([(r.content, r.style) for r in same], (result.content, result.style))


def table(results: list[Result], judged: list[str]) -> str:
    """Markdown: the means, the verdicts, every picture."""
    lines = [f"Means over {len(common(results))} pairs.", ""]
    lines += ["| setting | content | style | seconds |", "|---|---:|---:|---:|"]
    for point, (content, style) in means(results).items():
        taken = [r.seconds for r in results if r.point == point and r.seconds is not None]
        lines.append(f"| {point} | {content:.3f} | {style:.3f} | {f'{mean(taken):.1f}' if taken else ''} |")
    lines += [
        "",
        *(f"- {line}" for line in judged),
        "",
        "| pair | setting | content | style |",
        "|---|---|---:|---:|",
    ]
    lines += [f"| {r.pair} | {r.point} | {r.content:.3f} | {r.style:.3f} |" for r in results]
    return "\n".join(lines) + "\n"


def sheet(results: list[Result], data: Path) -> bytes:
    """Rows are pairs: photo, painting, then every setting with its scores."""
    rows: list[list[Cell]] = []
    for photo, art in PAIRS:
        of_pair = [r for r in results if r.pair == pair_name(Path(photo), Path(art))]
        if of_pair:
            known = [
                Cell(read_picture(data / folder / name).pixels, (Path(name).stem, ""))
                for folder, name in (("photos", photo), ("paintings", art))
            ]
            rows.append([*known, *(_cell(result) for result in of_pair)])
    return encode_picture(Picture(labelled(rows, cell=220)), "PNG")


def _cell(r: Result) -> Cell:
    return Cell(read_picture(r.path).pixels, (str(r.point), f"content {r.content:.2f}  style {r.style:.2f}"))


def panel(scores: dict[Point, tuple[float, float]]) -> Panel:
    """Scores as curves: by recipe, then by strength."""
    recipes = dict.fromkeys(point.recipe for point in scores)
    return {r: {p.strength: at for p, at in scores.items() if p.recipe == r} for r in recipes}


def main() -> None:
    """Paint, score, write."""
    given = options()
    out: Path = given.out or Path(f"quality-{given.size}")
    out.mkdir(parents=True, exist_ok=True)
    results = collect(given, out)
    if not results:
        raise SystemExit(f"nothing of these pairs is in {out}")
    judged = verdicts(results, next(points(given.recipe, given.strength))[0].recipe)
    (out / "quality.md").write_text(table(results, judged), encoding="utf-8")
    of_all = [pair for pair in dict.fromkeys(r.pair for r in results) if pair in common(results)]
    rows = [asdict(r) | {"point": str(r.point), "path": str(r.path)} for r in results]
    (out / "quality.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    (out / "sheet.png").write_bytes(sheet(results, given.data))
    plot(
        panel(means(results)),
        {pair: panel({r.point: (r.content, r.style) for r in results if r.pair == pair}) for pair in of_all},
        f"mean over {len(of_all)} pairs",
        given.plot or out / "curves.png",
    )
    print((out / "quality.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
