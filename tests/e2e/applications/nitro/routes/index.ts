export default defineEventHandler((event) => {
  setHeader(event, "content-type", "text/html");
  return "<h1>Hello</h1>";
});
