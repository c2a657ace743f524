export function GET({ cookies }) {
  const visits = (cookies.get("visits")?.number() ?? 0) + 1;
  cookies.set("visits", String(visits), { path: "/" });
  return new Response(String(visits));
}
