"""`python -m vllm_standin serve MODEL --flags`."""

import sys

from vllm_standin.server import main

sys.exit(main())
