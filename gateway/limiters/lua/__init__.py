"""The Lua script that counts requests inside Redis."""
