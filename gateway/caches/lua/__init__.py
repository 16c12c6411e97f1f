"""The Lua script that keeps answers inside Redis."""
