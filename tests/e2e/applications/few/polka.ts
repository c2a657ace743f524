/** Polka as its documentation starts it. */
import polka from "polka";

const app = polka();

const textOf = async (request) => (await Array.fromAsync(request)).join("");

app.get("/", (_request, response) => {
  response.writeHead(200, { "content-type": "text/html" });
  response.end("<h1>Hello</h1>");
});
app.get("/visits", (request, response) => {
  const visits = Number(/visits=(\d+)/.exec(request.headers.cookie ?? "")?.[1] ?? 0) + 1;
  response.setHeader("set-cookie", `visits=${visits}`);
  response.end(String(visits));
});
app.post(
  "/form",
  async (request, response) => response.end(JSON.stringify(Object.fromEntries(new URLSearchParams(await textOf(request))))),
);
app.post("/upload", async (request, response) => {
  const [, title, , name, text] = /name="title"\r\n\r\n(.*?)\r\n([^]*?)filename="(.*?)"[^]*?\r\n\r\n([^]*?)\r\n--XX--/.exec(
    await textOf(request),
  );
  response.end(JSON.stringify({ title, name, size: text.length, last: text.charCodeAt(text.length - 1) }));
});
app.get("/old", (_request, response) => {
  response.writeHead(302, { location: "/new?a=1" });
  response.end();
});
app.get("/throw", () => {
  throw new Error("thrown for a test");
});

app.listen(3000, (error) => {
  if (error) throw error;
});
