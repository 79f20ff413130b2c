"""Link prediction on Citeseer as the field reports it: MRR beside the published rows, in both of HeaRT's settings.

    python experiments/heart.py ../shared/data/heart_citeseer [--seeds 5] [-c experiments/heart.toml]

Each of 455 test citations is ranked against negatives: the same 455 random ones ("existing"), or 500 hard ones of its
own (HeaRT, Li et al., 2023, arXiv 2306.10453). The rank is the mean of the best and the worst that ties allow. Common
neighbours, Adamic-Adar and resource allocation check the harness: their published rows are to come out exactly. The
encoder trains on the train part, its step is chosen by recall on the valid part, as everywhere, and its settings were
by MRR there, as the published ones are; a citation's score is the inner product of two vectors. Node labels are left
out, as in the published experiments.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.sparse import csr_matrix

import amity
from amity.config import load_config

SETTINGS = Path(__file__).parent / "heart.toml"
NODES = 3327
PUBLISHED = {
    "existing": {"CN": 28.34, "AA": 29.37, "RA": 27.61, "GAT": 48.69, "SAGE": 47.84, "GAE": 63.33, "NCNC": 64.03},
    "HeaRT": {"CN": 8.42, "AA": 10.82, "RA": 10.84, "GAT": 19.58, "GCN": 21.09, "GAE": 25.25, "NCN": 28.65},
}
DESCRIPTION = {
    "nodes": {"paper": {"columns": {"label": "ignore", "features": "bag"}}},
    "edges": {
        "cites": {
            "source": "paper",
            "target": "paper",
            "tables": {"train": "train_pos.parquet", "valid": "valid_pos.parquet", "test": "test_pos.parquet"},
        }
    },
}


def main() -> None:
    """Print a table of both settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder heart_citeseer")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("-c", "--config", type=Path, default=SETTINGS, help="settings of the encoder and its training")
    given = parser.parse_args()
    rows = heuristics(given.data)
    trained = [encode(given.data, given.config, seed) for seed in range(given.seeds)]
    scores = {
        setting: [judge(given.data, setting, by_vectors(vectors)) for vectors in trained] for setting in PUBLISHED
    }
    for setting, published in PUBLISHED.items():
        print(f"\n{setting}: MRR x 100\n\n| | here | published |\n|---|---:|---:|")
        for name, score in rows.items():
            print(f"| {name} | {judge(given.data, setting, score):.2f} | {published[name]:.2f} |")
        own = scores[setting]
        print(f"| amity, {given.seeds} seeds | {np.mean(own):.2f} ± {np.std(own, ddof=1):.2f} | |")
        for name in [name for name in published if name not in rows]:
            print(f"| {name} | | {published[name]:.2f} |")


def pairs(path: Path) -> np.ndarray:
    """Two columns: the ends of each row."""
    table = pq.read_table(path)
    return np.stack([table["src"].to_numpy(), table["dst"].to_numpy()], axis=1)


def heuristics(data: Path) -> dict:
    """By name: a function from pairs to scores, over the train citations without self-loops."""
    edges = pairs(data / "train_pos.parquet")
    edges = edges[edges[:, 0] != edges[:, 1]]
    both = np.concatenate([edges, edges[:, ::-1]])
    adjacency = csr_matrix((np.ones(len(both)), both.T), shape=(NODES, NODES))
    adjacency.data[:] = 1.0
    degrees = np.maximum(np.asarray(adjacency.sum(1)).ravel(), 1.0)
    weights = {"CN": np.ones(NODES), "AA": 1 / np.log(np.maximum(degrees, 2.0)), "RA": 1 / degrees}
    products = {name: adjacency.multiply(weight[None, :]).tocsr() @ adjacency for name, weight in weights.items()}
    return {name: _lookup(product) for name, product in products.items()}


def _lookup(product: csr_matrix):
    return lambda asked: np.asarray(product[asked[:, 0], asked[:, 1]]).ravel()


def encode(data: Path, settings: Path, seed: int) -> np.ndarray:
    """The vectors of all papers by a model that was trained with a seed, in the order of their ids."""
    config = load_config(settings, {"seed": seed, "ingestion": DESCRIPTION, "splitting": {"by": "given"}})
    with tempfile.TemporaryDirectory() as scratch:
        graph = amity.read_graph(data, config.ingestion, storage=Path(scratch) / "graph")
        split = amity.split(graph, by="given", seed=seed, storage=Path(scratch) / "split")
        embeddings = amity.embed(amity.train(split, config), split.train, config.embedding)
        rows = np.array([graph.row(node) for node in range(NODES)])
        return np.array(embeddings.vectors[rows], np.float64)


def by_vectors(vectors: np.ndarray):
    """Inner products as scores."""
    return lambda asked: np.einsum("pd,pd->p", vectors[asked[:, 0]], vectors[asked[:, 1]])


def judge(data: Path, setting: str, score) -> float:
    """MRR x 100 of the test citations."""
    positives = score(pairs(data / "test_pos.parquet"))
    if setting == "existing":
        negatives = np.broadcast_to(score(pairs(data / "test_neg.parquet")), (len(positives), len(positives)))
    else:
        negatives = score(pairs(data / "heart_test_neg.parquet")).reshape(len(positives), -1)
    better, as_good = (negatives > positives[:, None]).sum(1), (negatives >= positives[:, None]).sum(1)
    return float(100 * (1 / (1 + (better + as_good) / 2)).mean())


if __name__ == "__main__":
    main()
