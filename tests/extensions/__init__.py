"""Extensions as users write them: outside of the package, against its public names only."""
