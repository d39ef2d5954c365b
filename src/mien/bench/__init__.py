"""Benchmark this machine: pipeline stages, whole processes, and peak throughput; needs the base install only."""
