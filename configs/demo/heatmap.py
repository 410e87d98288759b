"""Draw which experts the demo's languages use, as the README shows it.

python -m configs.demo.heatmap [out/demo] [notebooks/routing-demo.png]
"""

import sys

import pandas as pd

from pipeline.reporting.figures import routing_heatmap


def main(output: str = "out/demo", picture: str = "notebooks/routing-demo.png") -> None:
    experts = pd.read_parquet(f"{output}/router/experts.parquet")
    routing_heatmap(experts).savefig(picture, dpi=130, metadata={"Software": None})


if __name__ == "__main__":
    main(*sys.argv[1:3])
