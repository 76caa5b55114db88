"""The model side: the chat turn, the models, and tool calls as steps of a job."""
