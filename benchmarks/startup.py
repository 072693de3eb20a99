"""Cold start of the command line: median wall seconds of `brushwork --help`.

python benchmarks/startup.py [runs]
"""

import statistics
import subprocess
import sys
import time
from pathlib import Path


def main(runs: int) -> None:
    """Print the median and the range; the first run, which compiles bytecode, is not counted."""
    command = [str(Path(sys.executable).with_name("brushwork")), "--help"]
    times: list[float] = []
    for _ in range(runs + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - began)
    counted = sorted(times[1:])
    print(f"brushwork --help: {statistics.median(counted):.3f} s ({counted[0]:.3f} to {counted[-1]:.3f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 11)
