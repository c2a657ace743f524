export const dynamic = "force-dynamic";

/** Two events, the second when the visitor says that the first has come. */
let seen = () => {};

export function GET() {
  const { readable, writable } = new TransformStream();
  const writer = writable.getWriter();
  writer.write(new TextEncoder().encode("data: first\n\n"));
  seen = () => {
    writer.write(new TextEncoder().encode("data: second\n\n"));
    writer.close();
  };
  return new Response(readable, { headers: { "content-type": "text/event-stream" } });
}

export function POST() {
  seen();
  return new Response("seen");
}
