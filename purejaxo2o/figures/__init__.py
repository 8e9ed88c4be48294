"""From results to statistics, tables and pictures."""
