"""What a model is made of: where its linears lie, and which of them read the same input.

Run: `python examples/describe_a_model.py [MODEL]`; MODEL is `starter`, a folder, a file or a hub id.
"""

from __future__ import annotations

import sys

from birdbone.models import load_model


def main(arguments: list[str]) -> None:
    architecture = load_model(arguments[0] if arguments else "starter").architecture
    print(f"{architecture.family}: {architecture.num_layers} layers, hidden size {architecture.hidden_size}")
    print(f"{architecture.num_heads} heads over {architecture.num_kv_heads} key-value heads of {architecture.head_dim}")
    layer = architecture.layers[0]
    for slot in (*layer.attention, *layer.feed_forward):
        print(f"  {slot.role:<10} {slot.out_features:>6} x {slot.in_features:<6} {slot.path}")
    for group in layer.input_groups:
        print(f"  one statistic serves {', '.join(path.rsplit('.', 1)[-1] for path in group.linears)}")


if __name__ == "__main__":
    main(sys.argv[1:])
