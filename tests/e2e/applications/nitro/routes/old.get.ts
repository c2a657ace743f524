export default defineEventHandler((event) => sendRedirect(event, "/new?a=1", 302));
