/**
 * An application that is busy: 5 ms of CPU a request.
 *
 * @module
 */
const headers = { "content-type": "text/plain" };

export default {
  fetch(): Response {
    const until = performance.now() + 5;
    while (performance.now() < until);
    return new Response("hello world\n", { headers });
  },
};
