"""Discovery at work: the only part of `registry` besides backends and the agent that has a loop."""
