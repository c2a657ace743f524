const INTERVAL_MS = 1000;

export default (request: Request): Response => {
  let timer: ReturnType<typeof setInterval> | undefined;
  const stop = () => clearInterval(timer);
  const events = new ReadableStream<string>({
    start(controller) {
      const send = () => controller.enqueue(`data: ${new Date().toISOString()}\n\n`);
      // When the connection ends, browsers come back after 2 s: also after new code was loaded.
      controller.enqueue("retry: 2000\n\n");
      send();
      timer = setInterval(send, INTERVAL_MS);
      request.signal.addEventListener("abort", stop);
    },
    cancel: stop,
  });
  return new Response(events.pipeThrough(new TextEncoderStream()), {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
  });
};
