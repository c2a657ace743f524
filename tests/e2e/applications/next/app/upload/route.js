export async function POST(request) {
  const form = await request.formData();
  const file = form.get("file");
  const last = new Uint8Array(await file.slice(-1).arrayBuffer())[0];
  return Response.json({ title: form.get("title"), name: file.name, size: file.size, last });
}
