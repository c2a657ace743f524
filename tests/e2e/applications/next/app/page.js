import { headers } from "next/headers";

export default async function Page() {
  const asked = await headers();
  return (
    <main>
      <h1>Hello</h1>
      <p>{asked.get("x-forwarded-proto")} from {asked.get("x-forwarded-for")}</p>
    </main>
  );
}
