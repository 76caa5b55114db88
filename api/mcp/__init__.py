"""The MCP server: what any MCP client can call. The MCP servers whose tools we call are in the toolkit."""
