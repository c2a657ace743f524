import { createCookie } from "react-router";

const cookie = createCookie("visits");

export async function loader({ request }) {
  const visits = Number(await cookie.parse(request.headers.get("cookie")) ?? 0) + 1;
  return new Response(String(visits), { headers: { "set-cookie": await cookie.serialize(visits) } });
}
