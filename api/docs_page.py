"""The page `/api/docs`: describes the API, with forms that call it."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse

from accounts import page_headers

router = APIRouter(include_in_schema=False)

FILES = "/api/docs/files"


@router.get("/api/docs")
def page(request: Request) -> HTMLResponse:
    root, app = request.scope.get("root_path", ""), request.app
    answer = get_swagger_ui_html(
        openapi_url=f"{root}{app.openapi_url}",
        title=app.title,
        swagger_js_url=f"{root}{FILES}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{FILES}/swagger-ui.css",
        swagger_favicon_url=f"{root}/public/favicon.svg",
        swagger_ui_parameters={"validatorUrl": None},  # the default tells another host our address
    )
    html = bytes(answer.body).decode()
    return HTMLResponse(html, headers=page_headers(html, frame_ancestors=app.state.frame_ancestors))
