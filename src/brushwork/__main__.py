"""``python -m brushwork``: the command line."""

from brushwork.surfaces.cli import main

if __name__ == "__main__":
    main()
