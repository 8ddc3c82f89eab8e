"""What a network costs: its parameters, multiply-accumulates and latency."""
