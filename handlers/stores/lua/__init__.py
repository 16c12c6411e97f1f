"""Lua scripts that run inside Redis, and what runs them there."""
