"""The program of the child process that runs llama.cpp: ``python llama_child.py`` with its settings on standard input.

It imports nothing of this package, prints one line with its address when the model is loaded, and ends when its
standard input closes: so it never outlives its parent, however that ends.
"""

from __future__ import annotations

import json
import os
import sys


def main() -> None:
    """Load the model, print the address, and wait until standard input closes."""
    settings = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # llama.cpp logs to standard output, too
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = settings["path"]
    params.n_ctx = settings["context_length"]
    params.n_batch = settings["batch"]
    params.n_ubatch = settings["batch"]
    params.n_parallel = 1
    params.cpuparams.n_threads = settings["threads"]
    params.cpuparams_batch.n_threads = settings["threads"]
    params.embedding = settings["embedding"]
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.port = 0
    server = xllamacpp.Server(params)
    answers.write(json.dumps({"address": server.listening_address}) + "\n")
    answers.flush()
    sys.stdin.read()
    os._exit(0)  # closing the server in order would wait for requests under way


if __name__ == "__main__":
    main()
