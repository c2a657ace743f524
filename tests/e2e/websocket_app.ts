/** An application that sends everything back over a WebSocket, and closes with the code that is asked for. */
import process from "node:process";
import type { ServeInfo } from "../../mod.ts";

export default {
  fetch(request: Request, info: ServeInfo): Response {
    const { pathname } = new URL(request.url);
    if (pathname === "/hints") return new Response(String(info.earlyHints({ link: "</style.css>; rel=preload; as=style" })));
    if (pathname !== "/socket") return new Response(pathname);
    const { socket, response } = info.upgradeWebSocket(request, { protocol: "echo" });
    socket.binaryType = "arraybuffer";
    socket.onopen = () => socket.send(JSON.stringify({ url: socket.url, visitor: info.remoteAddr.hostname, pid: process.pid }));
    socket.onmessage = ({ data }) => {
      const [, code, reason] = typeof data === "string" ? /^close (\d+) (.*)$/.exec(data) ?? [] : [];
      if (code === undefined) socket.send(data);
      else socket.close(Number(code), reason);
    };
    return response;
  },
};
