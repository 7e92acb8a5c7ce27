"""``python -m gpu_spawner.cli``: the command where its script is not on the path."""

import sys

from gpu_spawner.cli.command_line import main

sys.exit(main())
