"""What is tested of every program, written with Flask."""
import threading
from flask import Flask, Response, jsonify, redirect, request

app = Flask(__name__)
waiting = {}


@app.get("/")
def page():
    return "<h1>Hello</h1>"


@app.get("/visits")
def visits():
    count = str(int(request.cookies.get("visits", 0)) + 1)
    response = Response(count)
    response.set_cookie("visits", count)
    return response


@app.post("/form")
def form():
    return jsonify(request.form.to_dict())


@app.post("/upload")
def upload():
    file = request.files["file"]
    content = file.read()
    return jsonify(title=request.form["title"], name=file.filename, size=len(content), last=content[-1])


@app.get("/old")
def old():
    return redirect("/new?a=1")


@app.get("/throw")
def throw():
    raise ValueError("raised for a test")


@app.get("/events")
def events():
    if "seen" in request.args:
        waiting[request.args["seen"]].set()
        return "seen"
    event = waiting[request.args["id"]] = threading.Event()

    def stream():
        yield "data: first\n\n"
        event.wait(60)
        yield "data: second\n\n"

    return Response(stream(), mimetype="text/event-stream")
