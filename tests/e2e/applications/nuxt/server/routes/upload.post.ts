export default defineEventHandler(async (event) => {
  const parts = await readMultipartFormData(event) ?? [];
  const title = parts.find(({ name }) => name === "title")?.data.toString();
  const { filename, data } = parts.find(({ name }) => name === "file")!;
  return { title, name: filename, size: data.length, last: data.at(-1) };
});
