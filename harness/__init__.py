"""From an encoder to a signed result: embedding, probes, metrics, results, leaderboard."""
