"""``python -m glia``: the command line, also for torchrun: ``torchrun --nproc-per-node 2 -m glia train data.csv``."""

from glia.cli.main import main

if __name__ == "__main__":
    main()
