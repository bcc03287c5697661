#!/usr/bin/env python3
"""Start the stand-in from any folder; in the image this file is also `/usr/local/bin/vllm`.

python images/vllm-standin/standin.py serve MODEL --port 8101 --served-model-name small
"""

import sys

from vllm_standin.server import main

if __name__ == "__main__":
    sys.exit(main())
