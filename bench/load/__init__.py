"""What makes load: wrk with its Lua scripts, and clients of our own for what wrk can't do."""
