import type { ServeInfo } from "runfcgi";

/** Visitors of this worker: with threads=1, all of them. */
const visitors = new Set<WebSocket>();

const page = `<!doctype html><meta charset="utf-8"><title>Chat</title>
<form><input name="text" autocomplete="off"></form><ul></ul>
<script>
  const [form] = document.forms;
  function connect() {
    const socket = new WebSocket(location.href.replace(/^http/, "ws"));
    socket.onmessage = ({ data }) => document.querySelector("ul").append(Object.assign(document.createElement("li"), { textContent: data }));
    // New code closes it with 1001.
    socket.onclose = () => setTimeout(connect, 1000);
    form.onsubmit = () => (socket.send(form.text.value), form.reset(), false);
  }
  connect();
</script>`;

export default (request: Request, info: ServeInfo): Response => {
  if (request.headers.get("upgrade") !== "websocket") {
    return new Response(page, { headers: { "content-type": "text/html; charset=utf-8" } });
  }
  // Browsers send cookies from other sites, too: only pages of this one may connect.
  const origin = request.headers.get("origin");
  if (origin !== null && origin !== new URL(request.url).origin) return new Response("Not from there\n", { status: 403 });
  const { socket, response } = info.upgradeWebSocket(request);
  socket.onopen = () => visitors.add(socket);
  socket.onclose = () => visitors.delete(socket);
  socket.onmessage = ({ data }) => {
    for (const visitor of visitors) visitor.send(String(data).slice(0, 1000));
  };
  return response;
};
