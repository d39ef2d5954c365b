"""What stands around every request: log, counters, limits, headers, proxies."""
