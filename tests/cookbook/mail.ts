import { spawn } from "node:child_process";
import process from "node:process";

/** Hands a mail to the machine's mail server, by the program that PHP's mail() uses. */
async function send(to: string, subject: string, text: string): Promise<void> {
  const encoded = `=?UTF-8?B?${Buffer.from(subject).toString("base64")}?=`;
  const head = [`To: ${to}`, `Subject: ${encoded}`, "MIME-Version: 1.0", "Content-Type: text/plain; charset=utf-8"];
  const child = spawn(process.env.SENDMAIL ?? "/usr/sbin/sendmail", ["-t", "-i"], { stdio: ["pipe", "ignore", "inherit"] });
  const ended = new Promise<number | null>((resolve, reject) => child.once("error", reject).once("close", resolve));
  child.stdin.on("error", () => {});
  child.stdin.end(`${head.join("\n")}\n\n${text}\n`);
  const status = await ended;
  if (status !== 0) throw new Error(`sendmail ended with ${status}`);
}

export default async (request: Request): Promise<Response> => {
  if (request.method !== "POST") return new Response("POST a form with subject and text\n");
  const form = await request.formData();
  // The receiver is not the visitor's choice, and what visitors write is in no head as it is.
  await send("webmaster@example.org", String(form.get("subject") ?? ""), String(form.get("text") ?? ""));
  return new Response("Sent\n");
};
