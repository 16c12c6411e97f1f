"""The Lua script that keeps revoked tokens inside Redis."""
