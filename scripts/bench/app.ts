/**
 * The benchmark's application: what its peers do, in a fetch handler.
 *
 * @module
 */
const large = new Uint8Array(64 * 1024).fill("x".charCodeAt(0));
const headers = { "content-type": "text/plain" };

export default {
  fetch(request: Request): Response | Promise<Response> {
    if (request.url.includes("/wait")) return new Promise(() => {});
    return new Response(request.url.includes("/large") ? large : "hello world\n", { headers });
  },
};
