"""The model side: the chat turn, the models it asks, and the tools that it calls as steps of a job."""
