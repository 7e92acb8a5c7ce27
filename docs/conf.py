"""How Sphinx builds this folder: ``make docs``."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "gpu_spawner"
author = "The gpu_spawner founders"
extensions = ["myst_parser", "generated_reference"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "gpu_spawner"
exclude_patterns = ["extensions"]
nitpicky = True
