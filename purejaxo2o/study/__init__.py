"""Recipes x tasks x settings x seeds: what a study is, its members, its folder, and running it."""
