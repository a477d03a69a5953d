"""A Quart app that gives every request its number back."""

import os

from quart import Quart, request

app = Quart(__name__)


@app.route("/", defaults={"number": ""}, methods=["GET", "POST"])
@app.route("/<path:number>", methods=["GET", "POST"])
async def answer(number):
    if request.method == "POST":
        number = (await request.get_data()).decode()
    return {"number": number, "worker": os.environ["NODESOCKD_WORKER_ID"], "suspended": False}
