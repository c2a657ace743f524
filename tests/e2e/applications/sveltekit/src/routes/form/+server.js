import { json } from "@sveltejs/kit";

export const POST = async ({ request }) => json(Object.fromEntries(await request.formData()));
