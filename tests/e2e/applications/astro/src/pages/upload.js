export async function POST({ request }) {
  const form = await request.formData();
  const file = form.get("file");
  const bytes = new Uint8Array(await file.arrayBuffer());
  return Response.json({ title: form.get("title"), name: file.name, size: bytes.length, last: bytes.at(-1) });
}
