"""Tools and where they run.

Authors import from here; workers also import `toolkit.pool.HostPool` and `toolkit.handler`. Tool code runs in hosts,
child processes of the worker, so a tool that blocks, uses up CPU or memory or ends its process fails alone.
"""

from toolkit.agent import Agent, agent
from toolkit.agent_context import AgentContext, Call, Message, Reply, Result, SyncAgentContext
from toolkit.catalogue import AgentSpec, ToolSpec
from toolkit.completion import Completion
from toolkit.context import AsyncToolContext, ToolContext
from toolkit.errors import (
    CallCancelled,
    NotFinished,
    ToolArgumentsInvalid,
    ToolCrashed,
    ToolDefinitionError,
    ToolError,
    ToolHostsUnavailable,
    ToolIncomplete,
    ToolTimeout,
    ToolUnknown,
)
from toolkit.records import Records
from toolkit.tool import Tool, tool
from toolkit.uploads import FileInfo, UploadedFile

__all__ = [
    "Agent",
    "AgentContext",
    "AgentSpec",
    "AsyncToolContext",
    "Call",
    "CallCancelled",
    "Completion",
    "FileInfo",
    "Message",
    "NotFinished",
    "Records",
    "Reply",
    "Result",
    "SyncAgentContext",
    "Tool",
    "ToolArgumentsInvalid",
    "ToolContext",
    "ToolCrashed",
    "ToolDefinitionError",
    "ToolError",
    "ToolHostsUnavailable",
    "ToolIncomplete",
    "ToolSpec",
    "ToolTimeout",
    "ToolUnknown",
    "UploadedFile",
    "agent",
    "tool",
]
