/** Goes on with a stream of events. */
const waiting = new Map();

/** Sends an event, and the second when somebody says that the first has come. */
export function GET({ url }) {
  const { searchParams } = url;
  const seen = searchParams.get("seen");
  if (seen) {
    waiting.get(seen)?.();
    return new Response("seen");
  }
  const encoder = new TextEncoder();
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(encoder.encode("data: first\n\n"));
      waiting.set(searchParams.get("id"), () => {
        controller.enqueue(encoder.encode("data: second\n\n"));
        controller.close();
      });
    },
  });
  return new Response(stream, { headers: { "content-type": "text/event-stream" } });
}
