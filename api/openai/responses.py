from fastapi import APIRouter

router = APIRouter()
ADDRESS = "/chat-stream"
