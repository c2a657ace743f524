import { cookies } from "next/headers";

export async function GET() {
  const jar = await cookies();
  const visits = String(Number(jar.get("visits")?.value ?? 0) + 1);
  jar.set("visits", visits);
  return new Response(visits);
}
