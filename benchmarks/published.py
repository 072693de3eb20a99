"""The keras-example recipe against the losses its document printed.

    brushwork stylize paris.jpg --style starry_night.jpg --recipe keras-example --trace trace.jsonl
    python benchmarks/published.py trace.jsonl

The document prints the loss before each hundredth step, which is the trace's evaluation of that number.
"""

import json
import sys
from pathlib import Path

# keras.io/examples/generative/neural_style_transfer, "Iteration N: loss=…", of paris.jpg and starry_night.jpg
# at 400 rows.
PUBLISHED = {
    100: 11018.04,
    200: 8514.05,
    300: 7571.61,
    400: 7064.10,
    500: 6736.23,
    600: 6501.67,
    700: 6323.20,
    800: 6181.40,
    900: 6065.31,
    1000: 5967.78,
    1500: 5647.71,
    2000: 5470.91,
    2500: 5360.07,
    3000: 5285.49,
    3500: 5232.98,
    4000: 5194.58,
}


def main(trace: Path) -> None:
    """Print published and measured losses side by side."""
    lines = (json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines())
    measured = {line["evaluation"]: line for line in lines}
    print("| step | published | measured | difference | seconds |\n|---:|---:|---:|---:|---:|")
    for step, loss in PUBLISHED.items():
        if step in measured:
            ours, seconds = measured[step]["total"], measured[step]["seconds"]
            print(f"| {step} | {loss:.2f} | {ours:.2f} | {100 * (ours / loss - 1):+.2f} % | {seconds:.0f} |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
