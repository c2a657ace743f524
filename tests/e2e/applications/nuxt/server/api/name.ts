export default defineEventHandler(() => ({ name: "the server" }));
