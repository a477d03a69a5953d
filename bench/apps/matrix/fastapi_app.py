"""A FastAPI app that gives every request its number back."""

import os

from fastapi import FastAPI, Request

app = FastAPI()


@app.api_route("/{number:path}", methods=["GET", "POST"])
async def answer(number: str, request: Request):
    if request.method == "POST":
        number = (await request.body()).decode()
    return {"number": number, "worker": os.environ["NODESOCKD_WORKER_ID"], "suspended": False}
