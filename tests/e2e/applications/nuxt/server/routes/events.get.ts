/** Goes on with a stream of events. */
const waiting = new Map<unknown, () => void>();

/** Sends an event, and the second when somebody says that the first has come. */
export default defineEventHandler((event) => {
  const { id, seen } = getQuery(event);
  if (seen) {
    waiting.get(seen)?.();
    return "seen";
  }
  const stream = createEventStream(event);
  stream.push("first");
  waiting.set(id, async () => {
    await stream.push("second");
    await stream.close();
  });
  return stream.send();
});
