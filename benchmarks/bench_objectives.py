"""What the auxiliary objectives cost: steps of several objectives beside steps of retrieval alone, taken in turn.

    python benchmarks/bench_objectives.py --data ../shared/data

Each *way* trains the same encoder on the same batches. `naive` gives each view an encoder pass of its own over its own
gathered features, as a library of separate tasks would; `shared` is amity with every root at every step; `default` is what
`amity run` does. Prints the medians of paired ratios to retrieval alone.
"""
