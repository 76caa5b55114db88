"""The MCP server, for any MCP client. The client of other MCP servers is in the toolkit."""
