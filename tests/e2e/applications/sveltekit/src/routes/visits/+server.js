export function GET({ cookies }) {
  const visits = Number(cookies.get("visits") ?? 0) + 1;
  cookies.set("visits", String(visits), { path: "/", secure: false });
  return new Response(String(visits));
}
