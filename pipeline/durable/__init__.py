"""What makes rows come out exactly once: the protocol, the spec, and the parts that it commits."""
