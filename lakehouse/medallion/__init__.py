"""Silver and gold: pure functions from frames to frames, and for each stage one function that reads, calls them and writes."""
